//! A reference HTTP server: it behaves in one known way, and counts everything that it does.

use benches::load::content::Content;
use benches::load::workload::Workload;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::fake::whole;

/// How long a reply takes where the mode does not say otherwise.
pub const DELAY: Duration = Duration::from_millis(1);

/// How the server behaves. A `share` is the probability with which a request meets the fault.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// Every reply takes this long.
    Delay(Duration),
    /// No request is answered from `at` after the first request on, for `length`.
    Stall { at: Duration, length: Duration },
    /// Replies take between `low` and `high`, all durations alike.
    Uniform { low: Duration, high: Duration },
    /// Replies take `fast`, and a share of them `slow`.
    Bimodal { fast: Duration, slow: Duration, share: f64 },
    /// A share of the requests is answered by a reset of the connection.
    Reset { share: f64 },
    /// A share of the replies is `503`; the connection stays.
    Unavailable { share: f64 },
    /// Every reply has this status, and a body of two bytes where the status permits one.
    Status(u16),
    /// A share of the bodies is one byte shorter, and so is their `Content-Length`.
    WrongLength { share: f64 },
    /// One bit is wrong in a share of the bodies.
    WrongBody { share: f64 },
    /// Every reply is the file `load-000000`.
    OtherFile,
    /// A reply comes in pieces, one every so often.
    Dribble { piece: usize, every: Duration },
    /// The connection closes after so many replies, unannounced.
    CloseAfter(u64),
    /// The connection closes after so many replies, and the last of them announces it.
    AnnouncedCloseAfter(u64),
    /// A share of the replies ends in the middle, and the connection with it.
    EarlyEnd { share: f64 },
    /// Bodies come in chunks of this size.
    Chunked(usize),
    /// The end of the connection is the end of the body.
    NoLength,
    /// As `NoLength`, in HTTP/1.0.
    Http10,
    /// HTTP/1.0 with `Connection: keep-alive` and a length.
    Http10KeepAlive,
    /// No reply ever comes.
    Never,
    /// To a share of the requests no reply ever comes.
    SometimesNever { share: f64 },
    /// Connections are accepted and not read.
    NeverReads,
    /// A `103 Early Hints` comes before every reply.
    Hints,
    /// Bytes that are not a reply follow every reply.
    Garbage,
    /// Lines of the header end in LF alone.
    LineFeedOnly,
    /// The status line has no reason phrase.
    NoReason,
    /// The header has a field of this length.
    HugeHeader(usize),
    /// `Content-Length` stands in the header twice, with the same value.
    DuplicateLength,
    /// Every reply has `Connection: close, foo` and is the last of its connection.
    ConnectionList,
    /// A reply to nothing comes as soon as a connection is made.
    Unsolicited,
    /// Every connection is accepted and closed.
    AcceptAndClose,
    /// Every connection closes after this time, unannounced, whatever it does.
    IdleClose(Duration),
}

/// What the server has done.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// The most of them open at the same time.
    pub most_open: u64,
    /// Requests read in full, before their connection was closing.
    pub requests: u64,
    /// Requests that came behind the last reply of their connection, and were not processed.
    pub unprocessed: u64,
    /// Replies sent in full, errors and wrong ones included.
    pub replies: u64,
    /// Replies that are 503.
    pub unavailable: u64,
    /// Replies that are wrong, cut off, or missing on purpose.
    pub wrong: u64,
    /// Connections reset on purpose.
    pub resets: u64,
    /// Connections closed by the server, resets not included.
    pub closes: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// From reading each request to writing the last byte of its reply: a client cannot see it sooner.
    pub held: Vec<Duration>,
}

/// A reference server, which ends when it is dropped.
pub struct Reference {
    pub addr: SocketAddr,
    stop: UnixStream,
    thread: JoinHandle<Counts>,
}

impl Reference {
    /// Starts a server of the files of `workload`.
    pub fn start(workload: &Workload, mode: Mode) -> Reference {
        let listener = server_core::listen("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = UnixStream::pair().unwrap();
        let content = Content::new(workload);
        let files = (0..content.names()).map(|name| whole(&content, name)).collect();
        let server = Server {
            mode,
            files,
            listener,
            connections: BTreeMap::new(),
            timers: BinaryHeap::new(),
            next: 0,
            first_request: None,
            rng: fastrand::Rng::with_seed(7),
            counts: Counts::default(),
        };
        Reference { addr, stop, thread: std::thread::spawn(move || server.run(&stopped)) }
    }

    /// Ends the server, once it has read what clients have sent. Returns what it has done.
    pub fn stop(self) -> Counts {
        drop(self.stop);
        self.thread.join().unwrap()
    }
}

struct Server {
    mode: Mode,
    files: Vec<Vec<u8>>,
    listener: TcpListener,
    /// By number, so that whatever is done to all is done in the same order.
    connections: BTreeMap<u64, Connection>,
    timers: BinaryHeap<Reverse<(Instant, u64, Timer)>>,
    next: u64,
    first_request: Option<Instant>,
    rng: fastrand::Rng,
    counts: Counts,
}

/// What happens to a connection at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Act,
    CloseIdle,
}

struct Connection {
    socket: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// When the request that is being answered was read.
    busy: Option<Instant>,
    /// What is done when its time has come.
    action: Option<Action>,
    replies: u64,
    /// Closes once `output` is written, then waits for the client to close.
    closes: bool,
    shut: bool,
}

/// How a request is answered.
enum Action {
    /// With these bytes; whether the connection closes then.
    Reply(Vec<u8>, bool),
    /// With the next piece of these bytes.
    Dribble(Vec<u8>),
    Reset,
}

impl Server {
    fn run(mut self, stopped: &UnixStream) -> Counts {
        let mut stopping = false;
        loop {
            let wait = self.timers.peek().map(|Reverse((at, ..))| {
                Timespec::try_from(at.saturating_duration_since(Instant::now())).unwrap()
            });
            // What has arrived already is still read.
            let wait = if stopping { Some(Timespec::default()) } else { wait };
            let reads = self.mode != Mode::NeverReads;
            let numbers: Vec<u64> = self.connections.keys().copied().collect();
            let mut fds = vec![
                PollFd::new(stopped, PollFlags::IN),
                PollFd::new(&self.listener, PollFlags::IN),
            ];
            fds.extend(self.connections.values().map(|connection| {
                let mut events = PollFlags::empty();
                events.set(PollFlags::IN, reads);
                events.set(PollFlags::OUT, !connection.output.is_empty());
                PollFd::new(&connection.socket, events)
            }));
            // An interrupted wait is a shorter one.
            let _ = poll(&mut fds, wait.as_ref());
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            if stopping && ready[1..].iter().all(|events| events.is_empty()) {
                return self.counts;
            }
            stopping |= !ready[0].is_empty();
            if !ready[1].is_empty() {
                self.accept();
            }
            for (number, events) in numbers.iter().zip(&ready[2..]) {
                if events.is_empty() {
                    continue;
                }
                if !reads && events.intersects(PollFlags::HUP | PollFlags::ERR) {
                    self.connections.remove(number);
                    continue;
                }
                self.write(*number);
                self.read(*number);
            }
            let now = Instant::now();
            while let Some(Reverse((at, number, timer))) = self.timers.peek().copied()
                && at <= now
            {
                self.timers.pop();
                match timer {
                    Timer::Act => self.act(number),
                    Timer::CloseIdle => self.close(number),
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((socket, _)) = self.listener.accept() {
            self.counts.connections += 1;
            if self.mode == Mode::AcceptAndClose {
                self.counts.closes += 1;
                continue;
            }
            socket.set_nonblocking(true).unwrap();
            socket.set_nodelay(true).unwrap();
            let number = self.next;
            self.next += 1;
            let connection = Connection {
                socket,
                input: Vec::new(),
                output: Vec::new(),
                busy: None,
                action: None,
                replies: 0,
                closes: false,
                shut: false,
            };
            self.connections.insert(number, connection);
            self.counts.most_open = self.counts.most_open.max(self.connections.len() as u64);
            match self.mode {
                Mode::Unsolicited => self.send(number, &head("200 OK", 2, "", b"hi")),
                Mode::IdleClose(after) => {
                    self.timers.push(Reverse((Instant::now() + after, number, Timer::CloseIdle)));
                }
                _ => {}
            }
        }
    }

    fn read(&mut self, number: u64) {
        let mut buffer = [0; 64 * 1024];
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            match connection.socket.read(&mut buffer) {
                Ok(0) => {
                    self.connections.remove(&number);
                    return;
                }
                Ok(got) => {
                    connection.input.extend_from_slice(&buffer[..got]);
                    self.counts.bytes_in += got as u64;
                    self.process(number);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.connections.remove(&number);
                    return;
                }
            }
        }
    }

    /// Answers the next request of a connection, if it has one and the last one is answered.
    fn process(&mut self, number: u64) {
        loop {
            let Some(connection) = self.connections.get_mut(&number) else { return };
            if connection.busy.is_some() {
                return;
            }
            let end = connection.input.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else { return };
            let request: Vec<u8> = connection.input.drain(..end + 4).collect();
            if connection.closes {
                self.counts.unprocessed += 1;
                continue;
            }
            self.counts.requests += 1;
            let now = Instant::now();
            self.first_request.get_or_insert(now);
            connection.busy = Some(now);
            self.answer(number, &String::from_utf8_lossy(&request), now);
        }
    }

    /// Decides how a request is answered, and when.
    fn answer(&mut self, number: u64, request: &str, now: Instant) {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let name = path.trim_start_matches("/load-").parse().unwrap_or(usize::MAX);
        let last = request.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
        let Some(body) = self.files.get(name).cloned() else {
            let reply = head("404 Not Found", 0, "", b"");
            return self.later(number, now, Action::Reply(reply, last));
        };
        let length = body.len();
        let ok = head("200 OK", length, "", &body);
        let nth = self.connections[&number].replies + 1;
        let counts = &mut self.counts;
        let mut chosen = |share: f64| self.rng.f64() < share;
        let mut wait = DELAY;
        let mut closes = last;
        let reply = match self.mode {
            Mode::Delay(delay) => {
                wait = delay;
                ok
            }
            Mode::Stall { at, length } => {
                let since = now - self.first_request.unwrap_or(now);
                if since >= at && since < at + length {
                    wait += at + length - since;
                }
                ok
            }
            Mode::Uniform { low, high } => {
                wait = low + (high - low).mul_f64(self.rng.f64());
                ok
            }
            Mode::Bimodal { fast, slow, share } => {
                wait = if chosen(share) { slow } else { fast };
                ok
            }
            Mode::Reset { share } if chosen(share) => {
                return self.later(number, now + wait, Action::Reset);
            }
            Mode::Unavailable { share } if chosen(share) => {
                counts.unavailable += 1;
                head("503 Service Unavailable", 5, "", b"busy\n")
            }
            Mode::Status(status @ (204 | 304)) => {
                format!("HTTP/1.1 {status} X\r\nLocation: /x\r\n\r\n").into_bytes()
            }
            Mode::Status(status) => head(&format!("{status} X"), 2, "Location: /x\r\n", b"x\n"),
            Mode::WrongLength { share } if chosen(share) => {
                counts.wrong += 1;
                head("200 OK", length - 1, "", &body[..length - 1])
            }
            Mode::WrongBody { share } if chosen(share) => {
                counts.wrong += 1;
                let mut body = body;
                body[self.rng.usize(..length)] ^= 1;
                head("200 OK", length, "", &body)
            }
            Mode::OtherFile => {
                counts.wrong += u64::from(name != 0);
                head("200 OK", self.files[0].len(), "", &self.files[0])
            }
            Mode::Dribble { .. } => return self.later(number, now, Action::Dribble(ok)),
            Mode::CloseAfter(replies) => {
                closes |= nth >= replies;
                ok
            }
            Mode::AnnouncedCloseAfter(replies) if nth >= replies => {
                closes = true;
                head("200 OK", length, "Connection: close\r\n", &body)
            }
            Mode::EarlyEnd { share } if chosen(share) => {
                counts.wrong += 1;
                closes = true;
                ok[..ok.len() / 2].to_vec()
            }
            Mode::Chunked(size) => {
                let mut reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                for chunk in body.chunks(size) {
                    reply.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    reply.extend_from_slice(&[chunk, b"\r\n"].concat());
                }
                [&reply[..], b"0\r\n\r\n"].concat()
            }
            Mode::NoLength => {
                closes = true;
                [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &body[..]].concat()
            }
            Mode::Http10 => {
                closes = true;
                [b"HTTP/1.0 200 OK\r\n\r\n", &body[..]].concat()
            }
            Mode::Http10KeepAlive => {
                let header = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: ";
                [format!("{header}{length}\r\n\r\n").as_bytes(), &body].concat()
            }
            Mode::Never => {
                counts.wrong += 1;
                return;
            }
            Mode::SometimesNever { share } if chosen(share) => {
                counts.wrong += 1;
                return;
            }
            Mode::Hints => {
                let hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
                [&hints[..], &ok].concat()
            }
            Mode::Garbage => [&ok[..], b"garbage"].concat(),
            Mode::LineFeedOnly => {
                let header = format!("HTTP/1.1 200 OK\nContent-Length: {length}\n\n");
                [header.as_bytes(), &body].concat()
            }
            Mode::NoReason => {
                let header = format!("HTTP/1.1 200\r\ncontent-length:{length}\r\n\r\n");
                [header.as_bytes(), &body].concat()
            }
            Mode::HugeHeader(size) => {
                head("200 OK", length, &format!("X-A: {}\r\n", "a".repeat(size)), &body)
            }
            Mode::DuplicateLength => {
                head("200 OK", length, &format!("Content-Length: {length}\r\n"), &body)
            }
            Mode::ConnectionList => {
                closes = true;
                head("200 OK", length, "Connection: close, foo\r\n", &body)
            }
            Mode::Reset { .. }
            | Mode::Unavailable { .. }
            | Mode::WrongLength { .. }
            | Mode::WrongBody { .. }
            | Mode::AnnouncedCloseAfter(_)
            | Mode::EarlyEnd { .. }
            | Mode::SometimesNever { .. }
            | Mode::NeverReads
            | Mode::Unsolicited
            | Mode::AcceptAndClose
            | Mode::IdleClose(_) => ok,
        };
        self.later(number, now + wait, Action::Reply(reply, closes));
    }

    fn later(&mut self, number: u64, at: Instant, action: Action) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.action = Some(action);
            self.timers.push(Reverse((at, number, Timer::Act)));
        }
    }

    fn act(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        match connection.action.take() {
            None => {}
            Some(Action::Reply(reply, closes)) => {
                connection.closes = closes;
                self.counts.closes += u64::from(closes);
                self.reply(number, &reply);
            }
            Some(Action::Dribble(mut reply)) => {
                let Mode::Dribble { piece, every } = self.mode else { return };
                if reply.len() <= piece {
                    return self.reply(number, &reply);
                }
                let rest = reply.split_off(piece);
                self.send(number, &reply);
                self.later(number, Instant::now() + every, Action::Dribble(rest));
            }
            Some(Action::Reset) => {
                let linger = Some(Duration::ZERO);
                rustix::net::sockopt::set_socket_linger(&connection.socket, linger).unwrap();
                self.counts.resets += 1;
                self.connections.remove(&number);
            }
        }
    }

    /// Sends the last bytes of a reply, and goes on to the next request.
    fn reply(&mut self, number: u64, bytes: &[u8]) {
        self.counts.replies += 1;
        // Before it is sent: a client may see the last byte before this thread runs on.
        let connection = self.connections.get_mut(&number);
        if let Some(begun) = connection.as_ref().and_then(|connection| connection.busy) {
            self.counts.held.push(begun.elapsed());
        }
        if let Some(connection) = connection {
            connection.busy = None;
            connection.replies += 1;
        }
        self.send(number, bytes);
        self.process(number);
    }

    fn send(&mut self, number: u64, bytes: &[u8]) {
        if let Some(connection) = self.connections.get_mut(&number) {
            connection.output.extend_from_slice(bytes);
            self.write(number);
        }
    }

    /// Writes what the socket takes; closes the connection's side behind its last reply.
    fn write(&mut self, number: u64) {
        let Some(connection) = self.connections.get_mut(&number) else { return };
        while !connection.output.is_empty() {
            match connection.socket.write(&connection.output) {
                Ok(sent) => {
                    connection.output.drain(..sent);
                    self.counts.bytes_out += sent as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.connections.remove(&number);
                    return;
                }
            }
        }
        if connection.closes && !connection.shut {
            // It is read on, so that no reset destroys what the client has not read yet.
            connection.shut = true;
            let _ = connection.socket.shutdown(Shutdown::Write);
        }
    }

    fn close(&mut self, number: u64) {
        if let Some(connection) = self.connections.get_mut(&number)
            && !connection.closes
        {
            connection.closes = true;
            connection.action = None;
            connection.busy = None;
            self.counts.closes += 1;
            self.write(number);
            self.process(number);
        }
    }
}

/// A reply with a length; `fields` are more lines of its header.
fn head(status: &str, length: usize, fields: &str, body: &[u8]) -> Vec<u8> {
    let header = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{fields}\r\n");
    [header.as_bytes(), body].concat()
}
