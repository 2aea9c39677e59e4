//! A client that trusts nothing: it sends the bytes it is told to and takes replies apart strictly.
//!
//! The methods panic where the server breaks the protocol, and after a wait of [`TIMEOUT`]: they
//! are for tests, which have nothing better to do then.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::wait::TIMEOUT;

/// The codes that an `ERR` reply may carry.
pub const CODES: [&str; 15] = [
    "bad-command",
    "bad-argument",
    "bad-path",
    "bad-range",
    "not-found",
    "denied",
    "not-a-file",
    "not-a-directory",
    "read-only",
    "too-large",
    "no-space",
    "line-too-long",
    "busy",
    "timeout",
    "internal",
];

/// One connection to a server.
pub struct Conn {
    stream: TcpStream,
    local: SocketAddrV4,
    peer: SocketAddrV4,
    /// What has arrived and has not been asked for; `at` is where it begins.
    buffer: Vec<u8>,
    at: usize,
}

impl Conn {
    /// Connects.
    #[track_caller]
    pub fn connect(server: SocketAddrV4) -> Conn {
        Conn::try_connect(server).unwrap_or_else(|e| panic!("connecting to {server}: {e}"))
    }

    /// Connects, or says why that failed.
    pub fn try_connect(server: SocketAddrV4) -> io::Result<Conn> {
        let stream = TcpStream::connect_timeout(&SocketAddr::V4(server), TIMEOUT)?;
        Conn::over(stream)
    }

    /// Connects with a receive buffer so small that the server soon has to wait for this client.
    #[track_caller]
    pub fn connect_narrow(server: SocketAddrV4) -> Conn {
        Conn::connect_with_buffer(server, 4096)
    }

    /// Connects with a receive buffer of this many bytes; the kernel takes twice as many for itself.
    #[track_caller]
    pub fn connect_with_buffer(server: SocketAddrV4, size: usize) -> Conn {
        let narrow = || -> io::Result<Conn> {
            let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
            let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
            sockopt::set_socket_recv_buffer_size(&socket, size)?;
            rustix::net::connect(&socket, &server)?;
            Conn::over(TcpStream::from(socket))
        };
        narrow().unwrap_or_else(|e| panic!("connecting to {server}: {e}"))
    }

    fn over(stream: TcpStream) -> io::Result<Conn> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        // Asked now, for a closed socket has forgotten its addresses.
        let (local, peer) = (v4(stream.local_addr()?), v4(stream.peer_addr()?));
        Ok(Conn { stream, local, peer, buffer: Vec::new(), at: 0 })
    }

    /// Undoes the narrowness of [`Conn::connect_narrow`], for reading on at full speed.
    pub fn widen(&self) {
        sockopt::set_socket_recv_buffer_size(&self.stream, 1 << 20).expect("a larger buffer");
    }

    /// This client's address.
    pub fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// The server's address.
    pub fn peer(&self) -> SocketAddrV4 {
        self.peer
    }

    /// The same connection once more, for a thread that sends while another reads.
    pub fn sender(&self) -> Conn {
        let stream = self.stream.try_clone().expect("a descriptor");
        Conn { stream, buffer: Vec::new(), at: 0, ..*self }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap_or_else(|e| panic!("sending: {e}"));
    }

    /// Sends bytes to a server that may close meanwhile.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())
    }

    /// Sends a request line and takes the reply.
    #[track_caller]
    pub fn ask(&mut self, request: impl AsRef<[u8]>) -> Reply {
        self.send([request.as_ref(), b"\n"].concat());
        self.reply()
    }

    /// Uploads a file in one go and takes the reply.
    #[track_caller]
    pub fn put(&mut self, path: &str, content: impl AsRef<[u8]>) -> Reply {
        let content = content.as_ref();
        self.send([format!("PUT {path} {}\n", content.len()).as_bytes(), content].concat());
        self.reply()
    }

    /// Says that nothing more will be sent.
    pub fn finish(&mut self) {
        // Fails only where the server has reset the connection, which the next read will tell.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Vanishes: the server gets a reset.
    pub fn reset(self) {
        let _ = sockopt::set_socket_linger(&self.stream, Some(Duration::ZERO));
    }

    /// Takes one reply of the file protocol.
    #[track_caller]
    pub fn reply(&mut self) -> Reply {
        let line = self.line();
        let text =
            std::str::from_utf8(&line).unwrap_or_else(|_| panic!("not text: {}", show(&line)));
        if let Some(count) = text.strip_prefix("OK ") {
            let plain = count.bytes().all(|b| b.is_ascii_digit()) && count.parse::<usize>().is_ok();
            assert!(plain && (count == "0" || !count.starts_with('0')), "not a length: {text:?}");
            return Reply::Ok(self.bytes(count.parse().expect("digits")));
        }
        let Some((code, message)) = text.strip_prefix("ERR ").and_then(|e| e.split_once(' '))
        else {
            panic!("neither `OK <n>` nor `ERR <code> <message>`: {text:?}");
        };
        assert!(CODES.contains(&code), "no code of the protocol: {text:?}");
        assert!(!message.is_empty(), "no message: {text:?}");
        assert!(!message.contains(char::is_control), "not printable: {text:?}");
        Reply::Err { code: code.into(), message: message.into() }
    }

    /// Takes the line `OK <n>` and leaves the body; gives n.
    #[track_caller]
    pub fn ok_line(&mut self) -> usize {
        let line = self.line();
        let text = String::from_utf8_lossy(&line);
        let count = text.strip_prefix("OK ").and_then(|count| count.parse().ok());
        count.unwrap_or_else(|| panic!("expected `OK <n>`, got {text:?}"))
    }

    /// Takes a line and drops its LF.
    #[track_caller]
    pub fn line(&mut self) -> Vec<u8> {
        let mut searched = 0;
        loop {
            let unread = &self.buffer[self.at..];
            if let Some(end) = unread[searched..].iter().position(|&b| b == b'\n') {
                let line = unread[..searched + end].to_vec();
                self.at += line.len() + 1;
                return line;
            }
            searched = unread.len();
            let got = self.fill();
            assert!(
                got > 0,
                "the connection ended where a line was due, after {}",
                show(self.unread())
            );
        }
    }

    /// Takes exactly `count` bytes.
    #[track_caller]
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.unread().len() < count {
            let have = self.unread().len();
            assert!(self.fill() > 0, "the connection ended after {have} of {count} bytes");
        }
        let bytes = self.unread()[..count].to_vec();
        self.at += count;
        bytes
    }

    /// Reads at most `most` bytes and drops them; returns how many, 0 at the end.
    pub fn sip(&mut self, most: usize) -> io::Result<usize> {
        self.stream.read(&mut vec![0; most])
    }

    /// Takes everything up to the orderly end of the connection.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() > 0 {}
        let rest = self.unread().to_vec();
        self.at = self.buffer.len();
        rest
    }

    /// Takes everything up to the end of the connection, whether that is orderly or not; gives the
    /// number of bytes.
    #[track_caller]
    pub fn drain(&mut self) -> usize {
        let mut count = self.unread().len();
        self.at = self.buffer.len();
        loop {
            match self.try_fill() {
                Ok(0) => return count,
                Ok(got) => count += got,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the connection is still open after {TIMEOUT:?} of silence")
                }
                Err(_) => return count,
            }
            self.at = self.buffer.len();
        }
    }

    /// Takes everything up to the end of the connection; returns it, and whether that end was a reset.
    #[track_caller]
    pub fn to_the_end(&mut self) -> (Vec<u8>, bool) {
        let was_reset = loop {
            match self.try_fill() {
                Ok(0) => break false,
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => break true,
                Err(e) => panic!("{e}; so far: {}", show(self.unread())),
            }
        };
        (std::mem::take(&mut self.buffer).split_off(std::mem::take(&mut self.at)), was_reset)
    }

    /// Takes what is left of a body of noise (`root::pattern`) and holds it against the
    /// original, `position` being where it goes on; gives the position where the connection or the
    /// body of `size` bytes ended.
    #[track_caller]
    pub fn follow(&mut self, pattern: &[u8], mut position: usize, size: usize) -> usize {
        loop {
            let mut got = self.unread();
            got = &got[..got.len().min(size - position)];
            let taken = got.len();
            while !got.is_empty() {
                let expected = &pattern[position % pattern.len()..];
                let common = expected.len().min(got.len());
                assert!(expected[..common] == got[..common], "wrong bytes after {position}");
                position += common;
                got = &got[common..];
            }
            self.at += taken;
            if position == size || self.fill() == 0 {
                return position;
            }
        }
    }

    /// Expects the server to close in an orderly way, without another byte, and hangs up as well.
    #[track_caller]
    pub fn closed(&mut self) {
        let rest = self.rest();
        self.finish();
        assert!(rest.is_empty(), "expected the end of the connection, got {}", show(&rest));
    }

    /// Whether the server sends nothing and does not close while `duration` passes.
    pub fn is_quiet_for(&self, duration: Duration) -> bool {
        assert!(self.unread().is_empty(), "unread input: {}", show(self.unread()));
        let start = Instant::now();
        loop {
            let left = duration.saturating_sub(start.elapsed());
            let mut fds = [PollFd::new(&self.stream, PollFlags::IN)];
            match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
                Ok(0) => return true,
                Ok(_) => return false,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("waiting for a socket: {error}"),
            }
        }
    }

    /// Sends an HTTP request and takes its response.
    #[track_caller]
    pub fn http(&mut self, request: impl AsRef<[u8]>) -> Response {
        let request = request.as_ref();
        self.send(request);
        self.response(!request.starts_with(b"HEAD "))
    }

    /// Takes one HTTP response; without a body if the request was `HEAD`.
    #[track_caller]
    pub fn response(&mut self, with_body: bool) -> Response {
        let status_line = self.http_line();
        let rest = status_line.strip_prefix("HTTP/1.1 ").or(status_line.strip_prefix("HTTP/1.0 "));
        let status = rest.and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no status line: {status_line:?}"));
        let mut fields = Vec::new();
        loop {
            let line = self.http_line();
            if line.is_empty() {
                break;
            }
            let Some((name, value)) = line.split_once(": ") else {
                panic!("no header field: {line:?}");
            };
            fields.push((name.to_ascii_lowercase(), value.to_string()));
        }
        let mut response = Response { status, fields, body: Vec::new() };
        let never_has_body = status < 200 || status == 204 || status == 304;
        if with_body && !never_has_body {
            let length = response.field("content-length").map(|value| value.parse());
            response.body = match length {
                Some(Ok(length)) => self.bytes(length),
                Some(Err(_)) => panic!("not a length: {response:?}"),
                None => self.rest(),
            };
        }
        response
    }

    #[track_caller]
    fn http_line(&mut self) -> String {
        let line = self.line();
        let line = line.strip_suffix(b"\r").unwrap_or_else(|| panic!("no CR LF: {}", show(&line)));
        assert!(!line.contains(&b'\r'), "a CR within a line: {}", show(line));
        String::from_utf8(line.to_vec()).unwrap_or_else(|_| panic!("not text: {}", show(line)))
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.at..]
    }

    /// Reads once more; 0 is the end of the connection.
    #[track_caller]
    fn fill(&mut self) -> usize {
        match self.try_fill() {
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                panic!("no answer within {TIMEOUT:?}; so far: {}", show(self.unread()))
            }
            Err(e) => panic!("{e}; so far: {}", show(self.unread())),
        }
    }

    fn try_fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let have = self.buffer.len();
        self.buffer.resize(have + (1 << 16), 0);
        let got = loop {
            match self.stream.read(&mut self.buffer[have..]) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        self.buffer.truncate(have + *got.as_ref().unwrap_or(&0));
        got
    }
}

/// A reply of the file protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `OK <n>` and its n bytes.
    Ok(Vec<u8>),
    /// `ERR <code> <message>`.
    Err {
        /// One of [`CODES`].
        code: String,
        /// One line for a person.
        message: String,
    },
}

impl Reply {
    /// The body of a success.
    #[track_caller]
    pub fn ok(self) -> Vec<u8> {
        match self {
            Reply::Ok(body) => body,
            Reply::Err { code, message } => panic!("expected OK, got ERR {code} {message}"),
        }
    }

    /// The body of a success, as text.
    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.ok()).unwrap_or_else(|e| panic!("not text: {}", show(e.as_bytes())))
    }

    /// The code of a refusal.
    #[track_caller]
    pub fn code(self) -> String {
        match self {
            Reply::Err { code, .. } => code,
            Reply::Ok(body) => panic!("expected an error, got OK with {}", show(&body)),
        }
    }

    /// Whether it is a refusal with this code.
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Reply::Err { code, .. } if code == wanted)
    }
}

/// A response of HTTP.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The header fields in order, their names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of a header field, by its name in lower case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Expects this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Response {
        assert_eq!(self.status, status, "{:?} {}", self.fields, show(&self.body));
        self
    }
}

/// Bytes for a message: printable, and not too many.
pub fn show(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(300)];
    let more = if shown.len() < bytes.len() { "..." } else { "" };
    format!("\"{}\"{more} ({} bytes)", shown.escape_ascii(), bytes.len())
}

fn v4(address: SocketAddr) -> SocketAddrV4 {
    match address {
        SocketAddr::V4(address) => address,
        SocketAddr::V6(address) => panic!("not an IPv4 address: {address}"),
    }
}
