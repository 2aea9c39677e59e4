//! A server that costs next to nothing: it answers GET out of memory, from a thread of this process.

use super::content::{Content, Upload, file_name};
use super::workload::{Protocol, Workload};
use crate::{procfs, text};
use memchr::memchr;
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};

/// Tags of events; connections have smaller ones.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// A running one. Dropping it ends it.
pub(super) struct Server {
    addr: SocketAddr,
    /// Its other end sees that this one is gone.
    stop: Option<UnixStream>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves the files of `workload`.
    pub(super) fn start(workload: &Workload) -> io::Result<Server> {
        check_memory(workload)?;
        let listener = server_core::listen("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let (stop, stopped) = UnixStream::pair()?;
        let replies = replies(workload);
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        epoll::add(&epoll, &stopped, EventData::new_u64(STOP), EventFlags::IN)?;
        let http = workload.protocol == Protocol::Http;
        let serve = move || {
            // An error ends the thread, hence its connections, which the run reports.
            let _ = serve(&epoll, &listener, &replies, http);
            drop(stopped);
        };
        let thread = thread::Builder::new().name("null".into()).spawn(serve)?;
        Ok(Server { addr, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Checks that the replies take at most half of the memory that is available.
fn check_memory(workload: &Workload) -> io::Result<()> {
    let needed: u128 = workload.file_sizes().into_iter().map(u128::from).sum();
    let mut buffer = Vec::new();
    procfs::read("/proc/meminfo", &mut buffer)?;
    let available = procfs::number_after(&buffer, b"\nMemAvailable:");
    if available.is_none_or(|kib| needed <= u128::from(kib) * 512) {
        return Ok(());
    }
    let needed = text::bytes(needed as f64);
    let why = format!(
        "its replies take {needed} of memory, more than half of what is available; pass --no-null-run"
    );
    Err(io::Error::other(why))
}

/// The whole reply by the name of the file. Files of one size share nothing, as in a real server.
fn replies(workload: &Workload) -> HashMap<Vec<u8>, Vec<u8>> {
    let content = Content::new(workload);
    let reply = |name: usize| {
        let mut reply = match workload.protocol {
            Protocol::File => format!("OK {}\n", content.length(name)),
            Protocol::Http => {
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", content.length(name))
            }
        }
        .into_bytes();
        let mut upload = Upload::new(&content, name, 0);
        while upload.left() > 0 {
            let piece = upload.next(&content);
            let length = piece.len();
            reply.extend_from_slice(piece);
            upload.advance(length);
        }
        (file_name(name).into_bytes(), reply)
    };
    (0..content.names()).map(reply).collect()
}

#[derive(Default)]
struct Client {
    socket: Option<OwnedFd>,
    input: Vec<u8>,
    /// What is left to send.
    output: Vec<u8>,
}

fn serve(
    epoll: &OwnedFd,
    listener: &TcpListener,
    replies: &HashMap<Vec<u8>, Vec<u8>>,
    http: bool,
) -> io::Result<()> {
    let mut clients: Vec<Client> = Vec::new();
    let mut free = Vec::new();
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        match epoll::wait(epoll, spare_capacity(&mut events), None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        for event in &events {
            let tag = event.data.u64();
            match tag {
                STOP => return Ok(()),
                LISTENER => {
                    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                    let Ok(socket) = accept_with(listener, flags) else {
                        continue;
                    };
                    let at = free.pop().unwrap_or_else(|| {
                        clients.push(Client::default());
                        clients.len() - 1
                    });
                    let flags = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                    epoll::add(epoll, &socket, EventData::new_u64(at as u64), flags)?;
                    clients[at].socket = Some(socket);
                }
                _ => {
                    let at = tag as usize;
                    let client = &mut clients[at];
                    if client.socket.is_some() && !answer(client, replies, http) {
                        *client = Client::default();
                        free.push(at);
                    }
                }
            }
        }
    }
}

/// Answers what has arrived; gives whether the connection lives.
fn answer(client: &mut Client, replies: &HashMap<Vec<u8>, Vec<u8>>, http: bool) -> bool {
    let Some(socket) = &client.socket else {
        return false;
    };
    let mut chunk = [0; 4096];
    loop {
        match recv(socket, &mut chunk[..], RecvFlags::empty()) {
            Ok((0, _)) => return false,
            Ok((got, _)) => {
                client.input.extend_from_slice(&chunk[..got]);
                if got < chunk.len() {
                    break;
                }
            }
            Err(Errno::AGAIN) => break,
            Err(_) => return false,
        }
    }
    let mut used = 0;
    while let Some(end) = memchr(b'\n', &client.input[used..]) {
        let line = &client.input[used..used + end];
        used += end + 1;
        let mut words = line.trim_ascii().split(|byte| *byte == b' ');
        // The other lines of an HTTP request say nothing of interest.
        if words.next() == Some(b"GET") || !http {
            let name = words.next().unwrap_or_default();
            let name = name.strip_prefix(b"/").unwrap_or(name);
            let Some(reply) = replies.get(name) else {
                return false;
            };
            client.output.extend_from_slice(reply);
        }
    }
    client.input.drain(..used);
    let mut sent = 0;
    while sent < client.output.len() {
        match send(socket, &client.output[sent..], SendFlags::NOSIGNAL) {
            Ok(some) => sent += some,
            Err(Errno::AGAIN) => break,
            Err(_) => return false,
        }
    }
    client.output.drain(..sent);
    true
}
