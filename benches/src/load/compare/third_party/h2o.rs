//! H2O with one thread and no log.

use super::{Found, Installation, Kind, ThirdParty, quoted};
use crate::{Placement, Server};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

pub(super) fn find(directory: &Path, root: &Path) -> io::Result<Found> {
    Installation::find("h2o", directory, root, |h2o| {
        let version = h2o.ask("-v")?;
        Ok(ThirdParty {
            name: "h2o".into(),
            note: format!(
                "{}, one thread, no sendfile (it has none), its file cache as by default, no log",
                version.replace(" version", "")
            ),
            configuration: config(h2o, 0)?,
            kind: Kind::H2o(h2o.clone()),
        })
    })
}

pub(super) fn start(
    h2o: &Installation,
    mut command: Command,
    placement: Placement,
) -> io::Result<Server> {
    // It takes over a socket that listens already, as from the program Server::Starter. That is its standard
    // output, which it does not use; it replaces its standard input.
    let listener = server_core::listen("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let config = h2o.write("h2o.conf", &config(h2o, addr.port())?)?;
    command.arg(&h2o.program).args(["-m", "worker", "-c"]).arg(config);
    command.env("SERVER_STARTER_PORT", format!("{addr}=1"));
    command.stdin(Stdio::null()).stdout(Stdio::from(OwnedFd::from(listener))).stderr(h2o.log()?);
    let server = Server::spawn_at(&mut command, addr, placement)?;
    drop(command); // and the socket in it
    h2o.answers(server)
}

fn config(h2o: &Installation, port: u16) -> io::Result<String> {
    // Otherwise it becomes `nobody`, which cannot read a directory that is ours alone.
    let user = if rustix::process::geteuid().is_root() { "user: root\n" } else { "" };
    // The crash handler is a process in Perl that stays; what it uses would count as the server's.
    Ok(format!(
        "{user}num-threads: 1
max-connections: 65536
http1-request-timeout: 3600
limit-request-body: 0
crash-handler: /nonexistent
listen: {{ host: 127.0.0.1, port: {port} }}
hosts:
  default:
    paths:
      /:
        file.dir: {}
        file.send-compressed: OFF
        file.mime.setdefaulttype: application/octet-stream
",
        quoted(&h2o.root)?
    ))
}
