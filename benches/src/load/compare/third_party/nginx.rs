//! nginx with one worker, sendfile and no log.

use super::{Found, Installation, Kind, ThirdParty, quoted};
use crate::{Placement, Server};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

pub(super) fn find(directory: &Path, root: &Path) -> io::Result<Found> {
    Installation::find("nginx", directory, root, |nginx| {
        let version = nginx.ask("-v")?;
        Ok(ThirdParty {
            name: "nginx".into(),
            note: format!(
                "{}, one worker, sendfile, tcp_nopush, no log",
                version.trim_start_matches("nginx version: ")
            ),
            configuration: config(nginx, 0)?,
            kind: Kind::Nginx(nginx.clone()),
        })
    })
}

pub(super) fn start(
    nginx: &Installation,
    mut command: Command,
    placement: Placement,
) -> io::Result<Server> {
    // The socket listens before nginx starts, which takes it over as its standard input, as it
    // would from an older nginx in an upgrade. So there is no port to guess: clients queue.
    let listener = server_core::listen("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    let config = nginx.write("nginx.conf", &config(nginx, addr.port())?)?;
    command.arg(&nginx.program).arg("-p").arg(&nginx.directory);
    command.args(["-e", "stderr", "-c"]).arg(config);
    command.env("NGINX", "0;");
    command.stdin(Stdio::from(OwnedFd::from(listener))).stderr(nginx.log()?);
    let server = Server::spawn_at(&mut command, addr, placement)?;
    drop(command); // and the socket in it
    nginx.answers(server)
}

/// Its configuration on a port.
fn config(nginx: &Installation, port: u16) -> io::Result<String> {
    // Its worker must be able to read a directory that is ours alone.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    let path = |name: &str| quoted(&nginx.directory.join(name));
    let root = quoted(&nginx.root)?;
    // It replaces variables in this path, and has no way to write the sign itself.
    if root.contains('$') {
        return Err(io::Error::other(format!("nginx cannot serve {root}: the path holds a $")));
    }
    Ok(format!(
        "worker_processes 1; daemon off; {user}
pid {}; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    keepalive_timeout 75; keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path {}; proxy_temp_path {};
    fastcgi_temp_path {}; uwsgi_temp_path {}; scgi_temp_path {};
    server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }}
}}
",
        path("pid")?,
        path("body")?,
        path("proxy")?,
        path("fastcgi")?,
        path("uwsgi")?,
        path("scgi")?,
    ))
}
