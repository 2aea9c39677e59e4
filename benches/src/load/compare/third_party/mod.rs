//! Third-party servers, started with a fair configuration that everyone can read.
//!
//! Fair means that each is set up as its own manual would for this work, on one core: one worker or thread, sendfile where
//! it has it, connections that stay for as many requests as are asked, no log, no compression, and caches as
//! they are by default. Python's servers have a backlog as long as ours, replies in one write and no delay, and no
//! limit on threads and processes. All of them answer GET alone, over HTTP on connections that stay.
//!
//! All that they write is in a temporary directory, and they run as the current user.

mod caddy;
mod h2o;
mod lighttpd;
mod nginx;
mod python;

use crate::{Placement, Server};
use rustix::process::{Resource, getrlimit};
use std::env;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer its first request.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How much is read of the reply to that request.
const LONGEST_REPLY: u64 = 1 << 20;

/// The pause between two attempts to connect to a server that does not listen yet.
const ATTEMPT: Duration = Duration::from_millis(10);

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
    Nginx(Installation),
    Lighttpd(Installation),
    H2o(Installation),
    Caddy(Installation),
    Python(python::Python),
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
pub(super) const WORDS: [&str; 5] = ["nginx", "lighttpd", "h2o", "caddy", "python"];

/// Looks for the servers that `word` means, to serve `root`; `directory` is for what they write.
///
/// # Errors
///
/// They are installed, and their directory cannot be made, or they cannot serve `root`.
pub(super) fn find(word: &str, directory: &Path, root: &Path) -> io::Result<Found> {
    match word {
        "nginx" => nginx::find(directory, root),
        "lighttpd" => lighttpd::find(directory, root),
        "h2o" => h2o::find(directory, root),
        "caddy" => caddy::find(directory, root),
        "python" => Ok(python::find(root)),
        _ => Ok(Found::default()),
    }
}

fn missing(name: &str) -> String {
    let package = match name {
        "python-gevent" => "python3-gevent",
        "python-threads" | "python-forks" => "python3",
        name => name,
    };
    format!("{name} skipped: not installed (apt install {package})")
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
    /// Starts it on the server's core. `command` is one that takes a program and its arguments and
    /// becomes that ([`crate::tether::become_program`]).
    ///
    /// # Errors
    ///
    /// It cannot be started, or it ends before it answers.
    pub(super) fn start(&self, command: Command, placement: Placement) -> io::Result<Server> {
        match &self.kind {
            Kind::Nginx(nginx) => nginx::start(nginx, command, placement),
            Kind::Lighttpd(lighttpd) => lighttpd::start(lighttpd, command, placement),
            Kind::H2o(h2o) => h2o::start(h2o, command, placement),
            Kind::Caddy(caddy) => caddy::start(caddy, command, placement),
            Kind::Python(python) => python::start(python, command, placement),
        }
    }
}

/// A program that is installed, and what it is to work with.
#[derive(Clone, Debug)]
struct Installation {
    name: &'static str,
    program: PathBuf,
    /// The directory to serve.
    root: PathBuf,
    /// For its configuration and all that it writes.
    directory: PathBuf,
}

impl Installation {
    /// Looks for a program and makes a directory of its own for it, in `directory`. `describe` makes a server of it.
    fn find(
        name: &'static str,
        directory: &Path,
        root: &Path,
        describe: impl FnOnce(&Installation) -> io::Result<ThirdParty>,
    ) -> io::Result<Found> {
        // Where it is installed for services alone, it is not on every user's path.
        let Some(program) = program(name, &["/usr/sbin", "/usr/local/sbin"]) else {
            return Ok(Found { skipped: vec![missing(name)], ..Found::default() });
        };
        let directory = directory.join(name);
        fs::create_dir(&directory)?;
        let root = path::absolute(root)?;
        let server = describe(&Installation { name, program, root, directory })?;
        Ok(Found { servers: vec![server], ..Found::default() })
    }

    /// The first line that it prints with an option.
    fn ask(&self, option: &str) -> io::Result<String> {
        let mut command = Command::new(&self.program);
        let output = command.arg(option).env("HOME", &self.directory).output()?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        Ok(text.lines().next().unwrap_or_default().trim().to_owned())
    }

    /// Writes a file into its directory.
    fn write(&self, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.directory.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// A file for its messages, which do not belong on this terminal.
    fn log(&self) -> io::Result<Stdio> {
        Ok(File::create(self.directory.join("messages"))?.into())
    }

    /// Waits until the server answers a request. A server that ends instead is an error with its last message.
    fn answers(&self, mut server: Server) -> io::Result<Server> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            let asked = ask(&server);
            // What answers although the server has ended is another program.
            let ended =
                server.ended_within(if asked.is_ok() { Duration::ZERO } else { ATTEMPT })?;
            let why = match (asked, ended) {
                (Ok(()), None) => return Ok(server),
                (_, Some(status)) => format!("it ended with {status}"),
                (Err(error), None) if Instant::now() > deadline => {
                    format!("it does not answer on {}: {error}", server.addr())
                }
                (Err(_), None) => continue,
            };
            let messages = fs::read(self.directory.join("messages")).unwrap_or_default();
            let messages = String::from_utf8_lossy(&messages);
            let last = messages.lines().rfind(|line| !line.trim().is_empty());
            let last = last.map(|line| format!("; its last message: {line}")).unwrap_or_default();
            return Err(io::Error::other(format!("{} does not start: {why}{last}", self.name)));
        }
    }
}

/// Sends a request to a server and waits for the first byte of a reply.
fn ask(server: &Server) -> io::Result<()> {
    let mut stream = TcpStream::connect(server.addr())?;
    stream.set_read_timeout(Some(START_TIMEOUT))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    stream.read_exact(&mut [0])?;
    let _ = stream.shutdown(Shutdown::Write);
    // What is left unread would reset the connection, which some servers log.
    stream.take(LONGEST_REPLY).read_to_end(&mut Vec::new()).map(drop)
}

/// A path as a string in double quotes, with a backslash before quotes and backslashes.
fn quoted(path: &Path) -> io::Result<String> {
    Ok(format!("\"{}\"", plain(path)?.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A path as text that is fit for a configuration.
fn plain(path: &Path) -> io::Result<&str> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| not_text(path))
}

fn not_text(path: &Path) -> io::Error {
    let why = format!("{path:?} cannot be written into a configuration: it is not plain text");
    io::Error::other(why)
}

/// How many descriptors a server can have open, once it inherits this process's limit.
fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX).min(65536)
}

#[cfg(test)]
mod tests;
