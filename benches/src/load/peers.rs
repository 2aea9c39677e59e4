//! Servers of other people, started with a fair configuration that anybody can read.
//!
//! Fair means that each is set up as its own manual would for this work: nginx with one worker, sendfile
//! and no log; Python's servers with a backlog as long as ours, replies in one write and no delay, and no
//! limit on threads and processes. All of them answer GET alone, over HTTP on connections that stay.

use crate::{Placement, Server, tether};
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
pub struct Nginx {
    program: PathBuf,
    root: PathBuf,
    /// For its configuration and all that it writes.
    folder: PathBuf,
}

impl Nginx {
    /// Makes the program a folder of its own in `folder`.
    ///
    /// # Errors
    ///
    /// The folder cannot be made.
    pub fn prepare(program: PathBuf, folder: &Path, root: &Path) -> io::Result<Nginx> {
        let folder = folder.join("nginx");
        fs::create_dir(&folder)?;
        Ok(Nginx { program, root: root.to_owned(), folder })
    }

    /// Starts it in the server's place. `become` is a command that takes a program and its arguments and
    /// becomes that ([`tether::become_program`]).
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn start(&self, mut r#become: Command, placement: Placement) -> io::Result<Server> {
        // The socket listens before nginx starts, which takes it over as it would from an older nginx in
        // an upgrade. So there is no port to guess, and nothing to wait for: clients queue.
        let listener = server_core::listen("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let config = self.folder.join("nginx.conf");
        fs::write(&config, self.config(addr.port()))?;
        r#become
            .arg(&self.program)
            .arg("-p")
            .arg(&self.folder)
            .args(["-e", "stderr", "-c"])
            .arg(&config)
            .env("NGINX", format!("{};", listener.as_raw_fd()))
            .stdin(Stdio::null())
            .stderr(Stdio::null()); // its notices; an nginx that fails is seen by the first request
        tether::mark(&mut r#become);
        fcntl_setfd(&listener, FdFlags::empty())?;
        let child = placement.at_server(|| r#become.spawn())?;
        Ok(Server::adopt(child, addr))
    }

    /// What it says of its version.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn version(&self) -> io::Result<String> {
        let output = Command::new(&self.program).arg("-v").output()?;
        let text = String::from_utf8_lossy(&output.stderr);
        Ok(text.trim().trim_start_matches("nginx version: ").to_owned())
    }

    /// Its configuration, on some port.
    pub fn config(&self, port: u16) -> String {
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

/// A foreign server that can be started.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name in reports.
    pub name: String,
    /// Its version and what matters of how it is set up, in a line.
    pub note: String,
    /// All of what it runs: its configuration or its script.
    pub configuration: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Nginx(Nginx),
    Python { program: PathBuf, root: PathBuf, how: &'static str },
}

/// What is there of a sort of peer, and a line for each that is not.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Those that can be started.
    pub peers: Vec<Peer>,
    /// `NAME skipped: not installed`, for each that cannot.
    pub skipped: Vec<String>,
}

/// The words that [`find`] knows.
pub const WORDS: [&str; 2] = ["nginx", "python"];

/// Looks for the peers that `word` means, to serve `root`; `folder` is for what they write.
///
/// # Errors
///
/// They are installed, and their folder cannot be made.
pub fn find(word: &str, folder: &Path, root: &Path) -> io::Result<Found> {
    match word {
        "nginx" => find_nginx(folder, root),
        "python" => Ok(find_python(root)),
        _ => Ok(Found::default()),
    }
}

fn find_nginx(folder: &Path, root: &Path) -> io::Result<Found> {
    // Where it is installed for services alone, it is not on everybody's path.
    let Some(program) = program("nginx", &["/usr/sbin", "/usr/local/sbin"]) else {
        return Ok(Found { skipped: vec![missing("nginx")], ..Found::default() });
    };
    let nginx = Nginx::prepare(program, folder, root)?;
    let version = nginx.version()?;
    let peer = Peer {
        name: "nginx".into(),
        note: format!("{version}, one worker, sendfile, tcp_nopush, no log"),
        configuration: nginx.config(0),
        kind: Kind::Nginx(nginx),
    };
    Ok(Found { peers: vec![peer], ..Found::default() })
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
    let peer = |how: &'static str, words: &str| Peer {
        name: format!("python-{how}"),
        note: format!("Python {version}, {words}, TCP_NODELAY, a reply in one write"),
        configuration: SCRIPT.into(),
        kind: Kind::Python { program: program.into(), root: root.to_owned(), how },
    };
    let mut found = Found::default();
    found.peers.push(peer("threads", "socketserver.ThreadingMixIn"));
    found.peers.push(peer("forks", "socketserver.ForkingMixIn without its limit of 40"));
    match gevent {
        "True" => found.peers.push(peer("gevent", "gevent's StreamServer")),
        _ => found.skipped.push(missing("python-gevent")),
    }
    found
}

fn missing(name: &str) -> String {
    format!("{name} skipped: not installed")
}

/// Where a program is.
fn program(name: &str, besides: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(besides.iter().map(PathBuf::from));
    let executable = |path: &PathBuf| {
        fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    folders.map(|folder| folder.join(name)).find(executable)
}

impl Peer {
    /// Starts it in the server's place. `become` is a command that takes a program and its arguments and
    /// becomes that ([`tether::become_program`]).
    ///
    /// # Errors
    ///
    /// It cannot be started or ends before it listens.
    pub fn start(&self, mut r#become: Command, placement: Placement) -> io::Result<Server> {
        match &self.kind {
            Kind::Nginx(nginx) => nginx.start(r#become, placement),
            Kind::Python { program, root, how } => {
                r#become.arg(program).args(["-c", SCRIPT, how]).arg(root);
                // Nobody watches what it says when a client goes away.
                Server::spawn(with_silent_errors(r#become), placement)
            }
        }
    }
}

fn with_silent_errors(mut command: Command) -> Command {
    command.stderr(Stdio::null());
    command
}

/// The course's servers as they would be written with care: the same conversation three times, under
/// another way of serving many.
const SCRIPT: &str = r#"import os, signal, socket, socketserver, sys

HOW, ROOT = sys.argv[1], os.path.realpath(sys.argv[2])


def answer(head):
    line = head.split(b'\r\n', 1)[0].split(b' ')
    if len(line) != 3 or line[0] != b'GET':
        return b'HTTP/1.1 501 Not Implemented\r\nContent-Length: 0\r\n\r\n'
    name = line[1].lstrip(b'/').decode('utf-8', 'replace')
    path = os.path.realpath(os.path.join(ROOT, name))
    try:
        if not path.startswith(ROOT + os.sep):
            raise OSError
        with open(path, 'rb', buffering=0) as file:
            body = file.read()
    except OSError:
        return b'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'
    return b'HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body)


def converse(client):
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    received = b''
    try:
        while True:
            while b'\r\n\r\n' not in received:
                more = client.recv(65536)
                if not more:
                    return
                received += more
            head, received = received.split(b'\r\n\r\n', 1)
            client.sendall(answer(head))
            if b'connection: close' in head.lower():
                return
    except OSError:
        pass


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        converse(self.request)


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    request_queue_size = 4096
    daemon_threads = True
    block_on_close = False


class Forks(socketserver.ForkingMixIn, socketserver.TCPServer):
    request_queue_size = 4096
    max_children = 1000000
    block_on_close = False

    def process_request(self, request, client_address):
        # What stops the server is not for its children.
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        super().process_request(request, client_address)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])

    def finish_request(self, request, client_address):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        super().finish_request(request, client_address)


def listening(port):
    print('listening on 127.0.0.1:%d' % port, flush=True)


if HOW == 'gevent':
    import gevent.monkey
    gevent.monkey.patch_all()
    from gevent.server import StreamServer
    server = StreamServer(('127.0.0.1', 0), lambda client, _: converse(client), backlog=4096)
    server.start()
    listening(server.server_port)
    server.serve_forever()
else:
    server = {'threads': Threads, 'forks': Forks}[HOW](('127.0.0.1', 0), Handler)

    def stop(*_):
        for pid in list(getattr(server, 'active_children', None) or ()):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        os._exit(0)

    signal.signal(signal.SIGTERM, stop)
    listening(server.server_address[1])
    server.serve_forever()
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_skipped() {
        assert_eq!(program("no-such-program", &["/usr/sbin"]), None);
        assert!(program("sh", &[]).is_some());
        assert_eq!(missing("nginx"), "nginx skipped: not installed");
        let folder = tempfile::tempdir().unwrap();
        assert!(find("apache", folder.path(), folder.path()).unwrap().peers.is_empty());
    }

    #[test]
    fn what_is_there_says_what_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        for word in WORDS {
            let found = find(word, folder.path(), folder.path()).unwrap();
            assert!(found.peers.len() + found.skipped.len() >= 1);
            for peer in found.peers {
                assert!(!peer.note.contains('\n') && !peer.configuration.is_empty(), "{peer:?}");
            }
        }
    }
}
