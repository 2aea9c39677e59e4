//! A blocking client of the file protocol, for tests, benches, labs and the `file_client` tool.
//!
//! One [`Client`] is one connection; a [`DatagramClient`] has none. Callers pass plain names; the client encodes them. It trusts
//! nothing that the server sends: a declared length only bounds what is read and is never
//! allocated in advance, a malformed reply is an [`Error::Protocol`].
//!
//! ```no_run
//! use file_service::client::Client;
//!
//! # fn main() -> Result<(), file_service::client::Error> {
//! let mut client = Client::connect("127.0.0.1:9000")?;
//! client.put("notes/my file.txt", b"hello")?;
//! assert_eq!(client.get("notes/my file.txt")?, b"hello");
//! match client.get("absent") {
//!     Err(error) if error.code() == Some("not-found") => {}
//!     other => panic!("{other:?}"),
//! }
//! client.quit()?;
//! # Ok(())
//! # }
//! ```

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::mem;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::protocol::{MAX_LINE, decode_name, encode_name, parse_number};

mod datagram;

pub use datagram::DatagramClient;

/// Bytes moved at a time in a transfer.
const CHUNK: usize = 256 * 1024;

/// The read buffer of a connection; larger reads go around it.
const READ_BUFFER: usize = 32 * 1024;

/// After an early refusal that leaves the connection usable, at most so much of the body is still
/// sent for the sake of the connection; beyond it, closing is cheaper.
const FILLER_MAX: u64 = 8 * 1024 * 1024;

/// Called after each piece of a transfer with the bytes moved so far and the bytes expected.
pub type Progress<'a> = &'a mut dyn FnMut(u64, u64);

/// One connection to a file server.
///
/// An error that leaves the conversation in an unknown state ends the connection: every later call
/// returns [`Error::Closed`], and [`Client::is_stale`] returns true. A mere refusal keeps it.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    /// Scratch for transfers, made at the first one.
    chunk: Vec<u8>,
    timeout: Option<Duration>,
    open: bool,
}

impl Client {
    /// Connects to the first of `addr`'s addresses that answers.
    pub fn connect(addr: impl ToSocketAddrs) -> Result<Client, Error> {
        let stream = TcpStream::connect(addr).map_err(Error::Connect)?;
        Client::from_stream(stream)
    }

    /// Like [`Client::connect`], giving each address at most `timeout`, which must not be zero.
    pub fn connect_timeout(addr: impl ToSocketAddrs, timeout: Duration) -> Result<Client, Error> {
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        for address in addr.to_socket_addrs().map_err(Error::Connect)? {
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(stream) => return Client::from_stream(stream),
                Err(error) => failure = error,
            }
        }
        Err(Error::Connect(failure))
    }

    /// Speaks over a stream that is connected already, and in blocking mode.
    fn from_stream(stream: TcpStream) -> Result<Client, Error> {
        stream.set_nodelay(true).map_err(Error::Connect)?;
        Ok(Client {
            reader: BufReader::with_capacity(READ_BUFFER, stream),
            chunk: Vec::new(),
            timeout: None,
            open: true,
        })
    }

    /// Ends the connection when the server neither sends nor takes a byte for so long; `None` and zero wait
    /// without limit, as a new client does. The loss is returned as [`Error::Lost`] of kind `TimedOut`.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.timeout = timeout.filter(|t| !t.is_zero());
        let stream = self.reader.get_ref();
        stream.set_read_timeout(self.timeout)?;
        stream.set_write_timeout(self.timeout)
    }

    /// The entries of a directory, the root if `None`, in the server's order.
    pub fn list(&mut self, dir: Option<&str>) -> Result<Vec<Entry>, Error> {
        self.list_dir(dir.unwrap_or("/"))
    }

    /// The entries of a directory whose name need not be UTF-8; an empty name is the root.
    pub fn list_dir(&mut self, dir: impl AsRef<OsStr>) -> Result<Vec<Entry>, Error> {
        let length = self.request("LIST", dir.as_ref(), &[])?;
        let result = self.read_entries(length);
        self.close_on_error(result)
    }

    /// A whole file, in memory.
    pub fn get(&mut self, path: impl AsRef<OsStr>) -> Result<Vec<u8>, Error> {
        self.get_range(path, 0, None)
    }

    /// The bytes of a file from `offset`, at most `length` of them, in memory.
    pub fn get_range(
        &mut self,
        path: impl AsRef<OsStr>,
        offset: u64,
        length: Option<u64>,
    ) -> Result<Vec<u8>, Error> {
        let expected = self.request_get(path.as_ref(), offset, length)?;
        // The capacity is a guess and not a promise: memory grows with the bytes that arrive.
        let mut body =
            Vec::with_capacity(usize::try_from(expected).map_or(CHUNK, |n| n.min(CHUNK)));
        let received = (&mut self.reader).take(expected).read_to_end(&mut body);
        let result = match received {
            Ok(_) if body.len() as u64 == expected => Ok(body),
            Ok(_) => Err(cut_short(body.len() as u64, expected)),
            Err(error) => Err(self.lost(error)),
        };
        self.close_on_error(result)
    }

    /// Streams a file from `offset` on into `sink`. Returns the number of bytes.
    pub fn get_to(
        &mut self,
        path: impl AsRef<OsStr>,
        offset: u64,
        sink: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, Error> {
        let expected = self.request_get(path.as_ref(), offset, None)?;
        progress(0, expected);
        let mut chunk = self.take_chunk();
        let result = self.receive(expected, &mut chunk, sink, progress);
        self.chunk = chunk;
        self.close_on_error(result)
    }

    /// Stores a file.
    pub fn put(&mut self, path: impl AsRef<OsStr>, mut content: &[u8]) -> Result<(), Error> {
        self.put_from(path, content.len() as u64, &mut content, &mut |_, _| ())
    }

    /// Stores a file of `length` bytes, streaming them from `source`.
    ///
    /// A source that fails or ends early is an [`Error::Local`]; the server then discards what it
    /// has, and the connection is closed. A refusal that arrives while bytes are still being sent
    /// is reported as what it is, never as a broken pipe; the rest of the source is then not read,
    /// and where more than 8 MiB are missing the connection is given up instead of filled.
    pub fn put_from(
        &mut self,
        path: impl AsRef<OsStr>,
        length: u64,
        source: &mut dyn Read,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        if !self.open {
            return Err(Error::Closed);
        }
        let line = request_line("PUT", path.as_ref(), &[length]);
        let mut chunk = self.take_chunk();
        let result = self.send_file(line, length, &mut chunk, source, progress);
        self.chunk = chunk;
        self.close_on_error(result)
    }

    /// The SHA-256 of a file, as 64 lower-case hex digits.
    pub fn hash(&mut self, path: impl AsRef<OsStr>) -> Result<String, Error> {
        let length = self.request("HASH", path.as_ref(), &[])?;
        let result = self.read_hash(length);
        self.close_on_error(result)
    }

    /// Sends `QUIT` and closes.
    pub fn quit(mut self) -> Result<(), Error> {
        if !self.open {
            return Err(Error::Closed);
        }
        let length = self.exchange(b"QUIT\n")?;
        expect_empty(length)
    }

    /// Whether the connection is of no more use: ended by an error, closed by the server, or with
    /// an unsolicited refusal of the server (`timeout`, `busy`) to read.
    pub fn is_stale(&self) -> bool {
        !self.open || self.reply_arrives(Duration::ZERO).unwrap_or(true)
    }

    /// Another handle of the same socket, with which a different thread can shut it down.
    pub fn try_clone_stream(&self) -> io::Result<TcpStream> {
        self.reader.get_ref().try_clone()
    }
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Its size in bytes, 0 for a directory.
    pub size: u64,
    /// When it last changed, in whole seconds since 1970.
    pub mtime: i64,
    /// Its name, decoded. Whatever the server sent: check it before it becomes a local path.
    pub name: OsString,
}

/// What a name in a listing stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Why a request brought no result.
#[derive(Debug)]
pub enum Error {
    /// No connection could be made.
    Connect(io::Error),
    /// The server refused the request.
    Refused {
        /// The word of the protocol, such as `not-found`.
        code: String,
        /// The server's explanation for people.
        message: String,
    },
    /// The connection broke, ended in mid-reply or fell silent.
    Lost(io::Error),
    /// The server closed the connection instead of replying, or an earlier error ended it.
    Closed,
    /// No reply came to any copy of a datagram.
    Unanswered {
        /// How often it was sent.
        copies: u32,
        /// For how long a reply was waited for.
        waited: Duration,
    },
    /// The server's reply does not follow the protocol.
    Protocol(String),
    /// The caller's own reader or writer failed.
    Local(io::Error),
}

impl Error {
    /// The server's code, if it was the server that refused.
    pub fn code(&self) -> Option<&str> {
        match self {
            Error::Refused { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Connect(error) => write!(f, "cannot connect: {error}"),
            Error::Refused { code, message } => write!(f, "{message} ({code})"),
            Error::Lost(error) => write!(f, "connection lost: {error}"),
            Error::Unanswered { copies, waited } => {
                let seconds = waited.as_secs_f64();
                let times = if *copies == 1 { "once" } else { &format!("{copies} times") };
                write!(f, "no reply within {seconds:.1} s, asked {times}")
            }
            Error::Closed => f.write_str("the server closed the connection"),
            Error::Protocol(what) => write!(f, "malformed reply: {what}"),
            Error::Local(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Connect(error) | Error::Lost(error) | Error::Local(error) => Some(error),
            Error::Refused { .. }
            | Error::Closed
            | Error::Unanswered { .. }
            | Error::Protocol(_) => None,
        }
    }
}

impl Client {
    fn request_get(
        &mut self,
        path: &OsStr,
        offset: u64,
        length: Option<u64>,
    ) -> Result<u64, Error> {
        let expected = match length {
            Some(length) => self.request("GET", path, &[offset, length])?,
            None if offset > 0 => self.request("GET", path, &[offset])?,
            None => self.request("GET", path, &[])?,
        };
        if length.is_some_and(|length| expected > length) {
            self.open = false;
            return Err(Error::Protocol(format!("{expected} bytes, more than were asked for")));
        }
        Ok(expected)
    }

    /// Sends one request without a body and reads the first line of its reply: the length that follows.
    fn request(&mut self, verb: &str, path: &OsStr, numbers: &[u64]) -> Result<u64, Error> {
        if !self.open {
            return Err(Error::Closed);
        }
        self.exchange(&request_line(verb, path, numbers))
    }

    fn exchange(&mut self, line: &[u8]) -> Result<u64, Error> {
        let result = match self.reader.get_mut().write_all(line) {
            Ok(()) => self.read_reply(),
            Err(error) => Err(self.write_failed(error)),
        };
        self.close_on_error(result)
    }

    /// Returns the refusal that the server may have sent before it closed the connection, or else `error`.
    fn write_failed(&mut self, error: io::Error) -> Error {
        self.open = false;
        match self.read_reply() {
            Err(refused @ Error::Refused { .. }) => refused,
            _ => self.lost(error),
        }
    }

    /// Ends the connection after everything but a plain refusal.
    fn close_on_error<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Ok(_) => {}
            Err(Error::Refused { code, .. }) if !closes_connection(code) => {}
            Err(_) => self.open = false,
        }
        result
    }

    fn read_reply(&mut self) -> Result<u64, Error> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(MAX_LINE as u64).read_until(b'\n', &mut line);
        read.map_err(|error| self.lost(error))?;
        match line.split_last() {
            None => Err(Error::Closed),
            Some((b'\n', line)) => parse_reply(line),
            Some(_) if line.len() == MAX_LINE => {
                Err(Error::Protocol(format!("no end of line within {MAX_LINE} bytes")))
            }
            Some(_) => Err(Error::Lost(io::Error::new(
                ErrorKind::UnexpectedEof,
                "the server closed the connection in mid-reply",
            ))),
        }
    }

    fn receive(
        &mut self,
        expected: u64,
        chunk: &mut [u8],
        sink: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, Error> {
        let mut received = 0;
        while received < expected {
            let want = at_most(chunk, expected - received);
            let n = match self.reader.read(want) {
                Ok(0) => return Err(cut_short(received, expected)),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.lost(error)),
            };
            sink.write_all(&want[..n]).map_err(Error::Local)?;
            received += n as u64;
            progress(received, expected);
        }
        Ok(received)
    }

    fn send_file(
        &mut self,
        mut line: Vec<u8>,
        length: u64,
        chunk: &mut [u8],
        source: &mut dyn Read,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        progress(0, length);
        let mut sent = 0;
        // A small file leaves in one piece with its request line.
        loop {
            let want = at_most(chunk, length - sent);
            let n = fill(source, want).map_err(Error::Local)?;
            if n < want.len() {
                let message =
                    format!("the source ended after {} of {length} bytes", sent + n as u64);
                return Err(Error::Local(io::Error::new(ErrorKind::UnexpectedEof, message)));
            }
            let outcome = if line.is_empty() {
                self.send_until_reply(&want[..n])?
            } else {
                line.extend_from_slice(&want[..n]);
                let outcome = self.send_until_reply(&line)?;
                line.clear();
                outcome
            };
            sent += n as u64;
            if let SendOutcome::ReplyArrived { unsent } = outcome {
                return self.read_early_refusal(unsent as u64 + (length - sent));
            }
            progress(sent, length);
            if sent == length {
                return self.read_reply().and_then(expect_empty);
            }
            if self.reply_arrives(Duration::ZERO)? {
                return self.read_early_refusal(length - sent);
            }
        }
    }

    /// Reads a reply that came before the body was sent, and sends what the server still expects of the body.
    fn read_early_refusal(&mut self, unsent: u64) -> Result<(), Error> {
        match self.read_reply() {
            Ok(_) => Err(Error::Protocol("an OK before the file was sent".to_string())),
            Err(Error::Refused { code, message }) => {
                let usable =
                    !closes_connection(&code) && code != "bad-argument" && unsent <= FILLER_MAX;
                self.open = usable && self.send_filler(unsent).is_ok();
                Err(Error::Refused { code, message })
            }
            Err(error) => Err(error),
        }
    }

    /// The server takes the next `length` bytes for the refused body and throws them away,
    /// whatever they are; reading the source for them would be a waste.
    fn send_filler(&mut self, length: u64) -> io::Result<()> {
        let mut zeros = vec![0; READ_BUFFER];
        let mut left = length;
        while left > 0 {
            let piece = at_most(&mut zeros, left);
            self.reader.get_mut().write_all(piece)?;
            left -= piece.len() as u64;
        }
        Ok(())
    }

    /// Sends `bytes`, but stops as soon as the socket is full and a reply has arrived, or the server has closed the
    /// connection, perhaps after a refusal.
    fn send_until_reply(&self, mut bytes: &[u8]) -> Result<SendOutcome, Error> {
        let socket = self.reader.get_ref();
        while !bytes.is_empty() {
            match send(socket, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    if self.wait_to_send()? {
                        return Ok(SendOutcome::ReplyArrived { unsent: bytes.len() });
                    }
                }
                Err(Errno::PIPE | Errno::CONNRESET) => {
                    return Ok(SendOutcome::ReplyArrived { unsent: bytes.len() });
                }
                Err(error) => return Err(Error::Lost(error.into())),
            }
        }
        Ok(SendOutcome::Sent)
    }

    /// Waits until the socket takes bytes (false) or has some to read (true).
    fn wait_to_send(&self) -> Result<bool, Error> {
        let ready = self.poll(PollFlags::IN | PollFlags::OUT, self.timeout).map_err(Error::Lost)?;
        if ready.is_empty() {
            return Err(self.lost(ErrorKind::TimedOut.into()));
        }
        Ok(ready.contains(PollFlags::IN))
    }

    /// Whether bytes or the end of stream arrive within `wait`.
    fn reply_arrives(&self, wait: Duration) -> Result<bool, Error> {
        if !self.reader.buffer().is_empty() {
            return Ok(true);
        }
        let ready = self.poll(PollFlags::IN, Some(wait)).map_err(Error::Lost)?;
        Ok(!ready.is_empty())
    }

    fn poll(&self, events: PollFlags, wait: Option<Duration>) -> io::Result<PollFlags> {
        let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
        let mut fds = [PollFd::new(self.reader.get_ref(), events)];
        loop {
            match poll(&mut fds, wait.as_ref()) {
                Ok(_) => return Ok(fds[0].revents()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn read_entries(&mut self, length: u64) -> Result<Vec<Entry>, Error> {
        let timeout = self.timeout;
        let mut body = (&mut self.reader).take(length);
        let mut entries = Vec::new();
        let mut line = Vec::new();
        while body.limit() > 0 {
            line.clear();
            let read = (&mut body).take(MAX_LINE as u64).read_until(b'\n', &mut line);
            read.map_err(|error| lost(error, timeout))?;
            let ended_early = line.len() < MAX_LINE && body.limit() > 0;
            match line.split_last() {
                Some((b'\n', line)) => entries.push(parse_entry(line)?),
                _ if ended_early => return Err(cut_short(length - body.limit(), length)),
                _ => return Err(Error::Protocol("an entry without an end".to_string())),
            }
        }
        Ok(entries)
    }

    fn read_hash(&mut self, length: u64) -> Result<String, Error> {
        let mut reply = [0; 65];
        if length != reply.len() as u64 {
            return Err(Error::Protocol(format!("{length} bytes instead of a hash")));
        }
        self.reader.read_exact(&mut reply).map_err(|error| self.lost(error))?;
        parse_hash(&reply)
    }

    fn take_chunk(&mut self) -> Vec<u8> {
        match mem::take(&mut self.chunk) {
            // Zeroed memory fresh from the system costs only the pages that get used.
            empty if empty.is_empty() => vec![0; CHUNK],
            chunk => chunk,
        }
    }

    fn lost(&self, error: io::Error) -> Error {
        lost(error, self.timeout)
    }
}

/// How the sending of a piece of an upload ended.
enum SendOutcome {
    Sent,
    ReplyArrived { unsent: usize },
}

/// Whether the server closes the connection after this refusal, by the protocol.
fn closes_connection(code: &str) -> bool {
    matches!(code, "too-large" | "line-too-long" | "busy" | "timeout")
}

/// The empty path would be an empty field; the root has a name for this.
fn request_line(verb: &str, path: &OsStr, numbers: &[u64]) -> Vec<u8> {
    let mut line = Vec::with_capacity(64);
    line.extend_from_slice(verb.as_bytes());
    line.push(b' ');
    match path.as_bytes() {
        b"" => line.push(b'/'),
        path => encode_name(path, &mut line),
    }
    for number in numbers {
        line.extend_from_slice(format!(" {number}").as_bytes());
    }
    line.push(b'\n');
    line
}

fn parse_reply(line: &[u8]) -> Result<u64, Error> {
    if let Some(length) = line.strip_prefix(b"OK ").and_then(parse_number) {
        return Ok(length);
    }
    if let Some((code, message)) = line.strip_prefix(b"ERR ").and_then(|rest| split_at_space(rest))
        && !code.is_empty()
        && code.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    {
        return Err(Error::Refused {
            code: String::from_utf8_lossy(code).into_owned(),
            message: String::from_utf8_lossy(message).into_owned(),
        });
    }
    Err(Error::Protocol(format!("'{}'", line[..line.len().min(80)].escape_ascii())))
}

fn parse_entry(line: &[u8]) -> Result<Entry, Error> {
    let parse = || {
        let (kind, rest) = split_at_space(line)?;
        let (size, rest) = split_at_space(rest)?;
        let (mtime, name) = split_at_space(rest)?;
        let kind = match kind {
            b"f" => Kind::File,
            b"d" => Kind::Directory,
            _ => return None,
        };
        let (sign, digits) = match mtime.strip_prefix(b"-") {
            Some(digits) => (-1, digits),
            None => (1, mtime),
        };
        let mtime = sign * i64::try_from(parse_number(digits)?).ok()?;
        let mut decoded = Vec::with_capacity(name.len());
        decode_name(name, &mut decoded)?;
        let name = Some(decoded).filter(|name| !name.is_empty())?;
        Some(Entry { kind, size: parse_number(size)?, mtime, name: OsString::from_vec(name) })
    };
    parse().ok_or_else(|| {
        Error::Protocol(format!("not an entry: '{}'", line[..line.len().min(80)].escape_ascii()))
    })
}

/// 64 digits and LF.
fn parse_hash(reply: &[u8]) -> Result<String, Error> {
    let well_formed = |digits: &&[u8]| {
        digits.len() == 64 && digits.iter().all(|d| matches!(d, b'0'..=b'9' | b'a'..=b'f'))
    };
    reply
        .strip_suffix(b"\n")
        .filter(well_formed)
        .map(|digits| String::from_utf8_lossy(digits).into_owned())
        .ok_or_else(|| Error::Protocol("not a hash".to_string()))
}

fn split_at_space(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let space = memchr::memchr(b' ', line)?;
    Some((&line[..space], &line[space + 1..]))
}

/// The start of `chunk`, no longer than `limit`.
fn at_most(chunk: &mut [u8], limit: u64) -> &mut [u8] {
    let length = usize::try_from(limit).map_or(chunk.len(), |limit| limit.min(chunk.len()));
    &mut chunk[..length]
}

/// Reads until `buffer` is full or the source ends.
fn fill(source: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn expect_empty(length: u64) -> Result<(), Error> {
    match length {
        0 => Ok(()),
        _ => Err(Error::Protocol(format!("{length} bytes where none belong"))),
    }
}

fn cut_short(received: u64, expected: u64) -> Error {
    let message = format!("the server closed the connection after {received} of {expected} bytes");
    Error::Lost(io::Error::new(ErrorKind::UnexpectedEof, message))
}

/// Converts the error of a socket; that of an expired timeout, "try again", is replaced by what happened.
fn lost(error: io::Error, timeout: Option<Duration>) -> Error {
    match (error.kind(), timeout) {
        (ErrorKind::WouldBlock | ErrorKind::TimedOut, Some(timeout)) => {
            let message = format!("no byte moved for {} s", timeout.as_secs_f64());
            Error::Lost(io::Error::new(ErrorKind::TimedOut, message))
        }
        _ => Error::Lost(error),
    }
}

#[cfg(test)]
mod tests;
