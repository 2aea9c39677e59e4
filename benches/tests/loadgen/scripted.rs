//! HTTP servers in this process that follow a script.

use crate::fake::whole;
use benches::load::content::Content;
use benches::load::workload::Workload;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A request, as a script sees it.
pub struct Ask {
    /// The number of the request on its connection, from 0.
    pub nth: u64,
    /// The number of the request on this server, from 0.
    pub of_all: u64,
}

/// What the server does with a request.
pub enum Act {
    /// Replies with this status line, these further fields and this body.
    Reply(&'static str, &'static str, &'static [u8]),
    /// Replies with the file that was requested and these further fields.
    File(&'static str),
    /// Sends these bytes.
    Bytes(&'static [u8]),
    /// Closes the connection.
    Close,
}

/// A server that follows a script. It closes a connection after a reply with `close` in its fields, and after bytes.
pub struct Scripted {
    pub addr: SocketAddr,
    pub seen: Arc<Seen>,
    listener: TcpListener,
}

/// What the server has seen.
#[derive(Default)]
pub struct Seen {
    pub requests: AtomicU64,
    pub connections: AtomicU64,
    /// The Host field of the last request.
    pub host: Mutex<String>,
    /// The open connections by their numbers, so that all can be ended.
    open: Mutex<HashMap<u64, TcpStream>>,
}

impl Scripted {
    pub fn start(
        workload: &Workload,
        script: impl Fn(Ask) -> Act + Send + Sync + 'static,
    ) -> Scripted {
        Scripted::start_on("127.0.0.1:0".parse().unwrap(), workload, script)
    }

    pub fn start_on(
        addr: SocketAddr,
        workload: &Workload,
        script: impl Fn(Ask) -> Act + Send + Sync + 'static,
    ) -> Scripted {
        let listener = server_core::listen(addr).unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let shared = Arc::new((Content::new(workload), script, seen.clone()));
        let accepting = listener.try_clone().unwrap();
        thread::spawn(move || {
            for socket in accepting.incoming().map_while(Result::ok) {
                let shared = shared.clone();
                let number = shared.2.connections.fetch_add(1, Ordering::Relaxed);
                shared.2.open.lock().unwrap().insert(number, socket.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = serve(&socket, &shared.0, &shared.1, &shared.2);
                    // Closing with unread bytes would destroy the last reply.
                    let _ = socket.shutdown(Shutdown::Write);
                    let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
                    let mut rest = [0; 4096];
                    while (&socket).read(&mut rest).is_ok_and(|got| got > 0) {}
                    shared.2.open.lock().unwrap().remove(&number);
                });
            }
        });
        Scripted { addr, seen, listener }
    }

    /// How many connections are open.
    pub fn open_connections(&self) -> usize {
        self.seen.open.lock().unwrap().len()
    }

    /// Ends the listener.
    pub fn stop_listening(&self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }

    /// Ends the listener and every connection.
    pub fn end(self) {
        self.stop_listening();
        for (_, socket) in self.seen.open.lock().unwrap().drain() {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

fn serve(
    socket: &TcpStream,
    content: &Content,
    script: &impl Fn(Ask) -> Act,
    seen: &Seen,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(socket);
    for nth in 0.. {
        let (mut request, mut line, mut length) = (String::new(), String::from("x"), 0);
        if lines.read_line(&mut request)? == 0 {
            return Ok(());
        }
        while !line.trim().is_empty() {
            line.clear();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(host) = line.strip_prefix("Host: ") {
                *seen.host.lock().unwrap() = host.trim().to_owned();
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        Read::by_ref(&mut lines).take(length).read_to_end(&mut Vec::new())?;
        let of_all = seen.requests.fetch_add(1, Ordering::Relaxed);
        let (status, fields, body) = match script(Ask { nth, of_all }) {
            Act::Reply(status, fields, body) => (status, fields, body.to_vec()),
            Act::File(fields) => {
                let name = request.split(' ').nth(1).unwrap_or_default();
                let number = name.trim_start_matches("/load-").parse().unwrap_or_default();
                let put = request.starts_with("PUT");
                ("HTTP/1.1 200 OK", fields, if put { Vec::new() } else { whole(content, number) })
            }
            Act::Bytes(bytes) => return (&*socket).write_all(bytes),
            Act::Close => return Ok(()),
        };
        let header = format!("{status}\r\nContent-Length: {}\r\n{fields}\r\n", body.len());
        (&*socket).write_all(&[header.as_bytes(), &body].concat())?;
        if fields.to_lowercase().contains("close") {
            return Ok(());
        }
    }
    Ok(())
}

/// Holds a port of this machine without listening on it, so that no other test is assigned the port.
pub fn held_port() -> (rustix::fd::OwnedFd, SocketAddr) {
    use rustix::net::{AddressFamily, SocketType, sockopt};
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    (socket, addr)
}
