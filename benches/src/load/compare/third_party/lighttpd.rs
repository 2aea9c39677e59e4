//! lighttpd: one process with one event loop, sendfile and no log.

use super::{Found, Installation, Kind, ThirdParty, descriptors, plain};
use crate::{Placement, Server};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

pub(super) fn find(directory: &Path, root: &Path) -> io::Result<Found> {
    Installation::find("lighttpd", directory, root, |lighttpd| {
        let version = lighttpd.ask("-v")?;
        let version = version.split_whitespace().next().unwrap_or_default();
        Ok(ThirdParty {
            name: "lighttpd".into(),
            note: format!("{version}, one process, sendfile, its stat cache as by default, no log"),
            configuration: config(lighttpd)?,
            kind: Kind::Lighttpd(lighttpd.clone()),
        })
    })
}

pub(super) fn start(
    lighttpd: &Installation,
    mut command: Command,
    placement: Placement,
) -> io::Result<Server> {
    // Its standard input is a socket that listens already: there is no port to guess.
    let listener = server_core::listen("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let config = lighttpd.write("lighttpd.conf", &config(lighttpd)?)?;
    command.arg(&lighttpd.program).args(["-D", "-f"]).arg(config);
    command.stdin(Stdio::from(OwnedFd::from(listener))).stderr(lighttpd.log()?);
    let server = Server::spawn_at(&mut command, addr, placement)?;
    drop(command); // and the socket in it
    lighttpd.answers(server)
}

fn config(lighttpd: &Installation) -> io::Result<String> {
    // In its strings a backslash before a quote is the only escape. The slash keeps the last quote from being one.
    let path =
        |path: &Path| Ok::<_, io::Error>(format!("\"{}/\"", plain(path)?.replace('"', "\\\"")));
    // The greatest counts that it takes.
    Ok(format!(
        "server.bind = \"/dev/stdin\"
server.listen-backlog = 4096
server.document-root = {}
server.errorlog = \"/dev/stderr\"
server.upload-dirs = ( {} )
server.max-worker = 0
server.max-fds = {}
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 3600
server.network-backend = \"sendfile\"
server.stat-cache-engine = \"simple\"
",
        path(&lighttpd.root)?,
        path(&lighttpd.directory)?,
        descriptors(),
    ))
}
