//! Caddy on one thread of Go, without its administration, TLS and logs.

use super::{Found, Installation, Kind, ThirdParty, plain};
use crate::{Placement, Server};
use rustix::net::sockopt::set_socket_reuseport;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with};
use serde_json::json;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

pub(super) fn find(directory: &Path, root: &Path) -> io::Result<Found> {
    Installation::find("caddy", directory, root, |caddy| {
        let version = caddy.ask("version")?;
        let version = version.split_whitespace().next().unwrap_or_default();
        let version = version.trim_start_matches('v');
        Ok(ThirdParty {
            name: "caddy".into(),
            note: format!(
                "Caddy {version}, GOMAXPROCS=1, sendfile, no file cache (it has none), no log"
            ),
            configuration: config(caddy, 0)?,
            kind: Kind::Caddy(caddy.clone()),
        })
    })
}

pub(super) fn start(
    caddy: &Installation,
    mut command: Command,
    placement: Placement,
) -> io::Result<Server> {
    // It takes over no socket. It binds its own with SO_REUSEPORT, so a port can be kept for it meanwhile.
    let (reserved, addr) = reserve()?;
    let config = caddy.write("caddy.json", &config(caddy, addr.port())?)?;
    command.arg(&caddy.program).args(["run", "--config"]).arg(config);
    command.env("GOMAXPROCS", "1");
    for home in ["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"] {
        command.env(home, &caddy.directory);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(caddy.log()?);
    let server = Server::spawn_at(&mut command, addr, placement)?;
    let server = caddy.answers(server);
    drop(reserved);
    server
}

/// A port that only programs of this user can listen on, as long as the socket lives.
pub(super) fn reserve() -> io::Result<(OwnedFd, SocketAddr)> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    set_socket_reuseport(&socket, true)?;
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let addr = SocketAddr::try_from(getsockname(&socket)?)?;
    Ok((socket, addr))
}

fn config(caddy: &Installation, port: u16) -> io::Result<String> {
    let server = json!({
        "listen": [format!("127.0.0.1:{port}")],
        "protocols": ["h1"],
        "idle_timeout": "1h",
        "automatic_https": { "disable": true },
        "routes": [{ "handle": [{ "handler": "file_server", "root": plain(&caddy.root)? }] }],
    });
    let config = json!({
        "admin": { "disabled": true, "config": { "persist": false } },
        "logging": { "logs": { "default": { "level": "ERROR" } } },
        "storage": { "module": "file_system", "root": plain(&caddy.directory)? },
        "apps": { "http": { "grace_period": "1s", "servers": { "files": server } } },
    });
    Ok(serde_json::to_string_pretty(&config)?)
}
