//! Servers in this process whose behaviour is known.

use benches::load::content::{Content, Upload};
use benches::load::workload::Workload;
use harness::wait::pause;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// What a server in this process does wrong.
#[derive(Clone, Copy, Default)]
pub struct Faults {
    /// Before every reply.
    pub delay: Duration,
    /// From when, after the first request, and for how long no client is answered.
    pub stall: Option<(Duration, Duration)>,
    /// One byte of every body is wrong.
    pub wrong: bool,
    /// Connections beyond so many are refused as `busy`.
    pub max_connections: Option<u64>,
    /// It is gone after so many requests.
    pub dies_after: Option<u64>,
    /// It never answers.
    pub silent: bool,
    /// It ends every connection without a word.
    pub hangs_up: bool,
    /// It works for one request at a time, for `delay`.
    pub one_at_a_time: bool,
}

/// A server of the file protocol and of HTTP that does as it is told, a thread for each connection.
pub struct Fake {
    pub addr: SocketAddr,
    pub connections: Arc<AtomicU64>,
    pub shared: Arc<Shared>,
}

impl Fake {
    pub fn start(workload: &Workload, faults: Faults) -> Fake {
        // All tests of this program run in one process.
        benches::load::process::raise_descriptor_limit();
        let listener = Arc::new(server_core::listen("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let content = Arc::new(Content::new(workload));
        let connections = Arc::new(AtomicU64::new(0));
        let counted = connections.clone();
        let shared = Arc::new(Shared::default());
        let known = shared.clone();
        // They end with the test's process.
        thread::spawn(move || accept(&listener, &content, faults, &counted, &known));
        Fake { addr, connections, shared }
    }
}

#[derive(Default)]
pub struct Shared {
    pub requests: AtomicU64,
    /// How many of them came while nobody was answered.
    pub stalled: AtomicU64,
    begun: std::sync::OnceLock<Instant>,
    turn: std::sync::Mutex<()>,
}

fn accept(
    listener: &Arc<TcpListener>,
    content: &Arc<Content>,
    faults: Faults,
    connections: &Arc<AtomicU64>,
    shared: &Arc<Shared>,
) {
    for socket in listener.incoming() {
        let Ok(socket) = socket else { return };
        let before = connections.fetch_add(1, Ordering::Relaxed);
        if faults.max_connections.is_some_and(|most| before >= most) {
            let _ = (&socket).write_all(b"ERR busy no room\n");
            let _ = socket.shutdown(Shutdown::Write);
            // Closing at once would destroy what the client has not read.
            thread::spawn(move || BufReader::new(socket).lines().count());
            continue;
        }
        if faults.hangs_up {
            continue;
        }
        let (content, shared) = (content.clone(), shared.clone());
        let listener = listener.clone();
        thread::spawn(move || {
            let last = serve_client(&socket, &content, faults, &shared);
            if last.is_none() && faults.dies_after.is_some() {
                let _ = rustix::net::shutdown(&*listener, rustix::net::Shutdown::Both);
            }
        });
    }
}

/// None if the server is to die.
fn serve_client(
    socket: &TcpStream,
    content: &Content,
    faults: Faults,
    shared: &Shared,
) -> Option<()> {
    let mut lines = BufReader::new(socket);
    let mut http = false;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).ok()? == 0 {
            return Some(());
        }
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default().to_owned();
        let file = words.next().unwrap_or_default().trim_start_matches('/').to_owned();
        http |= line.contains("HTTP/1.1");
        while http && line.trim() != "" {
            line.clear();
            lines.read_line(&mut line).ok()?;
        }
        let begun = *shared.begun.get_or_init(Instant::now);
        let count = shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if faults.dies_after.is_some_and(|most| count > most) {
            let _ = socket.shutdown(Shutdown::Both);
            return None;
        }
        if faults.one_at_a_time {
            let _turn = shared.turn.lock().unwrap();
            pause_for(faults.delay);
        } else {
            pause_for(faults.delay);
        }
        if let Some((from, length)) = faults.stall {
            let since = begun.elapsed();
            if since >= from && since < from + length {
                shared.stalled.fetch_add(1, Ordering::Relaxed);
                pause_for((begun + from + length).saturating_duration_since(Instant::now()));
            }
        }
        if faults.silent {
            continue;
        }
        let mut body = match verb.as_str() {
            "GET" => whole(content, file[5..].parse().unwrap()),
            _ => Vec::new(),
        };
        if faults.wrong {
            *body.last_mut().unwrap() ^= 1;
        }
        let head = match http {
            true => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()),
            false => format!("OK {}\n", body.len()),
        };
        let reply = [head.as_bytes(), &body].concat();
        (&*socket).write_all(&reply).ok()?;
        if verb == "QUIT" {
            return Some(());
        }
    }
}

/// At least so long.
fn pause_for(duration: Duration) {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        pause(until.saturating_duration_since(Instant::now()));
    }
}

pub fn whole(content: &Content, name: usize) -> Vec<u8> {
    let mut upload = Upload::new(content, name, 0);
    let mut bytes = Vec::new();
    while upload.left() > 0 {
        let piece = upload.next(content);
        bytes.extend_from_slice(piece);
        let length = piece.len();
        upload.advance(length);
    }
    bytes
}

/// A third-party server: every reply comes in chunks, which come in pieces that have nothing to do with them.
pub fn chunking(workload: &Workload) -> SocketAddr {
    let listener = server_core::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let content = Arc::new(Content::new(workload));
    let serve = move |socket: TcpStream, content: &Content| -> Option<()> {
        socket.set_nodelay(true).ok()?;
        let mut lines = BufReader::new(&socket);
        let mut rng = fastrand::Rng::with_seed(7);
        loop {
            let (mut request, mut line) = (String::new(), String::from("x"));
            if lines.read_line(&mut request).ok()? == 0 {
                return Some(());
            }
            while !line.trim().is_empty() {
                line.clear();
                lines.read_line(&mut line).ok()?;
            }
            let name = request.split(' ').nth(1)?.trim_start_matches('/').to_owned();
            let body = match name.strip_prefix("load-") {
                Some(number) => whole(content, number.parse().ok()?),
                None => b"<html>a folder</html>".to_vec(),
            };
            let mut reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            let mut rest = &body[..];
            while !rest.is_empty() {
                let (chunk, more) = rest.split_at(rng.usize(1..=rest.len().min(700)));
                reply.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
                reply.extend_from_slice(chunk);
                reply.extend_from_slice(b"\r\n");
                rest = more;
            }
            reply.extend_from_slice(b"0\r\nSome: trailer\r\n\r\n");
            let mut rest = &reply[..];
            while !rest.is_empty() {
                // One byte, or up to a few hundred: in the middle of sizes, of line ends, of data.
                let most = [1, 2, 400][rng.usize(..3)].min(rest.len());
                let (piece, more) = rest.split_at(rng.usize(1..=most));
                (&socket).write_all(piece).ok()?;
                rest = more;
            }
        }
    };
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let content = content.clone();
            thread::spawn(move || serve(socket, &content));
        }
    });
    addr
}

/// A port that is bound and does not listen, and the socket that keeps it bound.
pub fn unlistened_port() -> (rustix::fd::OwnedFd, SocketAddr) {
    use rustix::net::{AddressFamily, SocketType};
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    (socket, addr)
}
