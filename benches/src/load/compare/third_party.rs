//! Third-party servers, started with a fair configuration that anybody can read.
//!
//! Fair means that each is set up as its own manual would for this work: nginx with one worker, sendfile
//! and no log; Python's servers with a backlog as long as ours, replies in one write and no delay, and no
//! limit on threads and processes. All of them answer GET alone, over HTTP on connections that stay.

use crate::{Placement, Server};
use rustix::io::{FdFlags, fcntl_setfd};
use std::env;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An nginx that can be started: one worker, sendfile, no log.
#[derive(Clone, Debug)]
struct Nginx {
    program: PathBuf,
    root: PathBuf,
    /// For its configuration and all that it writes.
    directory: PathBuf,
}

impl Nginx {
    /// Makes a directory of its own for the program, in `directory`.
    fn prepare(program: PathBuf, directory: &Path, root: &Path) -> io::Result<Nginx> {
        let directory = directory.join("nginx");
        fs::create_dir(&directory)?;
        Ok(Nginx { program, root: root.to_owned(), directory })
    }

    fn start(&self, mut r#become: Command, placement: Placement) -> io::Result<Server> {
        // The socket listens before nginx starts, which takes it over as it would from an older nginx in
        // an upgrade. So there is no port to guess, and nothing to wait for: clients queue.
        let listener = server_core::listen("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let config = self.directory.join("nginx.conf");
        fs::write(&config, self.config(addr.port()))?;
        r#become
            .arg(&self.program)
            .arg("-p")
            .arg(&self.directory)
            .args(["-e", "stderr", "-c"])
            .arg(&config)
            .env("NGINX", format!("{};", listener.as_raw_fd()))
            .stdin(Stdio::null())
            .stderr(Stdio::null()); // its notices; an nginx that fails is seen by the first request
        fcntl_setfd(&listener, FdFlags::empty())?;
        Server::spawn_at(&mut r#become, addr, placement)
    }

    /// Its name and version.
    fn version(&self) -> io::Result<String> {
        let output = Command::new(&self.program).arg("-v").output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        Ok(text.trim().trim_start_matches("nginx version: ").to_owned())
    }

    /// Its configuration on a port.
    fn config(&self, port: u16) -> String {
        // Its worker must be able to read a directory that is ours alone.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let (directory, root) = (self.directory.display(), self.root.display());
        format!(
            "worker_processes 1; daemon off; {user}
pid {directory}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off; sendfile on; tcp_nopush on;
    keepalive_timeout 75; keepalive_requests 1000000000;
    default_type application/octet-stream;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    server {{ listen 127.0.0.1:{port} backlog=4096; root {root}; }}
}}
"
        )
    }
}

/// A third-party server that is installed.
#[derive(Clone, Debug)]
pub(super) struct ThirdParty {
    /// Its name in reports.
    pub(super) name: String,
    /// Its version and what matters of how it is set up, in a line.
    pub(super) note: String,
    /// All of what it runs: its configuration or its script.
    pub(super) configuration: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Nginx(Nginx),
    Python { program: PathBuf, root: PathBuf, how: &'static str },
}

/// The servers that a word means: those that are installed, and a line for each that is not.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// Those that can be started.
    pub(super) servers: Vec<ThirdParty>,
    /// `NAME skipped: not installed (how to install it)`.
    pub(super) skipped: Vec<String>,
}

/// The words that [`find`] knows.
pub(super) const WORDS: [&str; 2] = ["nginx", "python"];

/// Looks for the servers that `word` means, to serve `root`; `directory` is for what they write.
///
/// # Errors
///
/// They are installed, and their directory cannot be made.
pub(super) fn find(word: &str, directory: &Path, root: &Path) -> io::Result<Found> {
    match word {
        "nginx" => find_nginx(directory, root),
        "python" => Ok(find_python(root)),
        _ => Ok(Found::default()),
    }
}

fn find_nginx(directory: &Path, root: &Path) -> io::Result<Found> {
    // Where it is installed for services alone, it is not on everybody's path.
    let Some(program) = program("nginx", &["/usr/sbin", "/usr/local/sbin"]) else {
        return Ok(Found { skipped: vec![missing("nginx")], ..Found::default() });
    };
    let nginx = Nginx::prepare(program, directory, root)?;
    let version = nginx.version()?;
    let server = ThirdParty {
        name: "nginx".into(),
        note: format!("{version}, one worker, sendfile, tcp_nopush, no log"),
        configuration: nginx.config(0),
        kind: Kind::Nginx(nginx),
    };
    Ok(Found { servers: vec![server], ..Found::default() })
}

fn find_python(root: &Path) -> Found {
    let names = ["python-threads", "python-forks", "python-gevent"];
    // What is called python3 may be a script that looks for the one that is meant.
    const ASK: &str = "import sys, importlib.util as u\n\
        print(sys.executable, sys.version.split()[0], u.find_spec('gevent') is not None, sep='\\n')";
    let answer = Command::new("python3").args(["-c", ASK]).stderr(Stdio::null()).output();
    let answer = answer.ok().filter(|output| output.status.success());
    let answer = answer.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let mut lines = answer.as_deref().unwrap_or_default().lines();
    let (Some(program), Some(version), Some(gevent)) = (lines.next(), lines.next(), lines.next())
    else {
        return Found { skipped: names.map(missing).to_vec(), ..Found::default() };
    };
    let server = |how: &'static str, words: &str| ThirdParty {
        name: format!("python-{how}"),
        note: format!("Python {version}, {words}, TCP_NODELAY, a reply in one write"),
        configuration: SCRIPT.into(),
        kind: Kind::Python { program: program.into(), root: root.to_owned(), how },
    };
    let mut found = Found::default();
    found.servers.push(server("threads", "socketserver.ThreadingMixIn"));
    found.servers.push(server("forks", "socketserver.ForkingMixIn without its limit of 40"));
    match gevent {
        "True" => found.servers.push(server("gevent", "gevent's StreamServer")),
        _ => found.skipped.push(missing("python-gevent")),
    }
    found
}

fn missing(name: &str) -> String {
    let package = match name {
        "nginx" => "apt install nginx",
        "python-gevent" => "apt install python3-gevent",
        _ => "apt install python3",
    };
    format!("{name} skipped: not installed ({package})")
}

/// The path of a program.
pub(super) fn program(name: &str, besides: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(besides.iter().map(PathBuf::from));
    let executable = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    directories.map(|directory| directory.join(name)).find(executable)
}

impl ThirdParty {
    /// Starts it on the server's core. `become` is a command that takes a program and its arguments and
    /// becomes that ([`tether::become_program`]).
    ///
    /// # Errors
    ///
    /// It cannot be started or ends before it listens.
    pub(super) fn start(&self, mut r#become: Command, placement: Placement) -> io::Result<Server> {
        match &self.kind {
            Kind::Nginx(nginx) => nginx.start(r#become, placement),
            Kind::Python { program, root, how } => {
                r#become.arg(program).args(["-c", SCRIPT, how]).arg(root);
                // What it logs when a client goes away does not belong on this terminal.
                Server::spawn(with_silent_errors(r#become), placement)
            }
        }
    }
}

fn with_silent_errors(mut command: Command) -> Command {
    command.stderr(Stdio::null());
    command
}

/// Servers as a course would write them with care: the same replies, under three ways to serve many clients.
const SCRIPT: &str = include_str!("third_party.py");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_programs_are_skipped() {
        assert_eq!(program("no-such-program", &["/usr/sbin"]), None);
        assert!(program("sh", &[]).is_some());
        assert_eq!(missing("nginx"), "nginx skipped: not installed (apt install nginx)");
        let directory = tempfile::tempdir().unwrap();
        assert!(find("apache", directory.path(), directory.path()).unwrap().servers.is_empty());
    }

    #[test]
    fn installed_servers_have_notes() {
        let directory = tempfile::tempdir().unwrap();
        for word in WORDS {
            let found = find(word, directory.path(), directory.path()).unwrap();
            assert!(found.servers.len() + found.skipped.len() >= 1);
            for server in found.servers {
                assert!(
                    !server.note.contains('\n') && !server.configuration.is_empty(),
                    "{server:?}"
                );
            }
        }
    }
}
