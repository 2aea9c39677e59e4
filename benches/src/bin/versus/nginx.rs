//! nginx as the yardstick: one worker, sendfile, no log.

use super::myself;
use benches::{Placement, Server, tether};
use rustix::io::{FdFlags, fcntl_setfd};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An nginx that can be started.
pub struct Nginx {
    program: PathBuf,
    root: PathBuf,
    /// For its configuration and all that it writes.
    folder: PathBuf,
}

impl Nginx {
    /// Makes the program a folder of its own in `folder`.
    pub fn prepare(program: PathBuf, folder: &Path, root: &Path) -> io::Result<Nginx> {
        let folder = folder.join("nginx");
        fs::create_dir(&folder)?;
        Ok(Nginx { program, root: root.to_owned(), folder })
    }

    /// Starts it in the server's place.
    pub fn start(&self, placement: Placement) -> io::Result<Server> {
        // The socket listens before nginx starts, which takes it over as it would from an older nginx in
        // an upgrade. So there is no port to guess, and nothing to wait for: clients queue.
        let listener = file_service::listen("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let config = self.folder.join("nginx.conf");
        fs::write(&config, self.config(addr.port()))?;
        let mut command = myself("become")?;
        command
            .arg(&self.program)
            .arg("-p")
            .arg(&self.folder)
            .args(["-e", "stderr", "-c"])
            .arg(&config)
            .env("NGINX", format!("{};", listener.as_raw_fd()))
            .stdin(Stdio::null())
            .stderr(Stdio::null()); // its notices; an nginx that fails is seen by the first request
        tether::mark(&mut command);
        fcntl_setfd(&listener, FdFlags::empty())?;
        let child = placement.at_server(|| command.spawn())?;
        Ok(Server::adopt(child, addr))
    }

    /// What it says of its version.
    pub fn version(&self) -> io::Result<String> {
        let output = Command::new(&self.program).arg("-v").output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        Ok(text.trim().trim_start_matches("nginx version: ").to_owned())
    }

    fn config(&self, port: u16) -> String {
        // Its worker must be able to read a folder that is ours alone.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let (folder, root) = (self.folder.display(), self.root.display());
        format!(
            "worker_processes 1; daemon off; {user}
pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    keepalive_timeout 75; keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }}
}}
"
        )
    }
}
