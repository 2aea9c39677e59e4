//! The client's side of the datagrams: what TCP did for [`Client`](super::Client), done by hand.

use super::{Entry, Error, Progress, parse_entry, parse_hash, parse_reply, request_line};
use crate::datagram::{MAX_REPLY, MAX_REQUEST};
use crate::protocol::parse_number;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::io::{self, ErrorKind, Write};
use std::net::{SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

/// How long the first copy of a request is waited for; each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// The longest wait between two copies, so that a server that comes back is noticed.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// How much of a file is asked for at a time, in bytes: with its head it fits the 1,232 bytes that travel in one
/// piece wherever IPv6 does (its least MTU of 1,280, less two headers), and a lost fragment loses all.
const PIECE: u64 = 1200;

/// A client by datagram: `LIST`, `HASH` and `GET`, each asked for as often as it takes.
///
/// A request that is not answered in time is sent again, which does no harm, since none of these changes
/// anything. Every request has an identifier of its own that cannot be guessed, and what comes with another one is
/// a late or doubled reply, or forged, and is passed over. The socket is connected, so that the kernel passes
/// over what comes from another address, and reports when nothing listens at this one.
///
/// ```no_run
/// use file_service::client::DatagramClient;
/// use std::time::Duration;
///
/// # fn main() -> Result<(), file_service::client::Error> {
/// let mut client = DatagramClient::new("127.0.0.1:9000", Some(Duration::from_secs(10)))?;
/// let notes = client.get_range("notes.txt", 0, 8192)?;
/// # let _ = notes;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct DatagramClient {
    socket: UdpSocket,
    timeout: Option<Duration>,
    /// One byte more than a reply may have, so that a longer one does not pass for a shorter.
    buffer: Vec<u8>,
}

impl DatagramClient {
    /// A client of the server at `addr`, to which nothing is sent yet. A request fails `timeout` after it
    /// was first sent; `None` and zero wait without limit.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`]: the name has no address, or there is no way to it.
    pub fn new(
        addr: impl ToSocketAddrs,
        timeout: Option<Duration>,
    ) -> Result<DatagramClient, Error> {
        let mut addrs = addr.to_socket_addrs().map_err(Error::Connect)?.peekable();
        let mut failure = io::Error::new(ErrorKind::NotFound, "the name has no address");
        while let Some(addr) = addrs.next() {
            match connected(addr) {
                Ok(socket) if addrs.peek().is_some() && is_refused(&socket) => {}
                Ok(socket) => {
                    let timeout = timeout.filter(|timeout| !timeout.is_zero());
                    return Ok(DatagramClient { socket, timeout, buffer: vec![0; MAX_REPLY + 1] });
                }
                Err(error) => failure = error,
            }
        }
        Err(Error::Connect(failure))
    }

    /// The entries of a directory, in the server's order; an empty name is the root.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with `too-large` for a listing that fits no datagram; [`Error::Unanswered`].
    pub fn list_dir(&mut self, dir: impl AsRef<OsStr>) -> Result<Vec<Entry>, Error> {
        let body = self.request("LIST", dir.as_ref(), &[])?;
        let lines = body.split_inclusive(|&b| b == b'\n');
        lines
            .map(|line| {
                let cut = || Error::Protocol("an entry without an end".to_string());
                parse_entry(line.strip_suffix(b"\n").ok_or_else(cut)?)
            })
            .collect()
    }

    /// The SHA-256 of a file, as 64 lower-case hex digits.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with `too-large` for a file above 1 MiB; [`Error::Unanswered`].
    pub fn hash(&mut self, path: impl AsRef<OsStr>) -> Result<String, Error> {
        parse_hash(&self.request("HASH", path.as_ref(), &[])?)
    }

    /// Streams a file from `offset` on into `sink`, piece by piece. Returns the number of bytes. It is
    /// not known beforehand: `progress` receives the bytes so far as the bytes expected, too.
    ///
    /// The file may be replaced between two pieces: compare the bytes with the server's
    /// [`hash`](DatagramClient::hash).
    ///
    /// # Errors
    ///
    /// As of [`get_range`](DatagramClient::get_range); [`Error::Local`] when `sink` fails.
    pub fn get_to(
        &mut self,
        path: impl AsRef<OsStr>,
        offset: u64,
        sink: &mut dyn Write,
        progress: Progress<'_>,
    ) -> Result<u64, Error> {
        let mut received = 0;
        progress(0, 0);
        loop {
            let piece = self.get_range(path.as_ref(), offset.saturating_add(received), PIECE)?;
            sink.write_all(&piece).map_err(Error::Local)?;
            received += piece.len() as u64;
            progress(received, received);
            if (piece.len() as u64) < PIECE {
                return Ok(received);
            }
        }
    }

    /// The bytes of a file from `offset`, at most `length` of them. Fewer mean that the file ends there.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], with `too-large` for more than 8 KiB; [`Error::Unanswered`].
    pub fn get_range(
        &mut self,
        path: impl AsRef<OsStr>,
        offset: u64,
        length: u64,
    ) -> Result<Vec<u8>, Error> {
        let piece = self.request("GET", path.as_ref(), &[offset, length])?;
        if piece.len() as u64 > length {
            let what = format!("{} bytes, more than were asked for", piece.len());
            return Err(Error::Protocol(what));
        }
        Ok(piece)
    }

    /// Another handle of the same socket, with which a different thread can shut it down: that ends a wait.
    ///
    /// # Errors
    ///
    /// The system refuses a descriptor.
    pub fn try_clone_socket(&self) -> io::Result<UdpSocket> {
        self.socket.try_clone()
    }

    /// Sends a request until its reply comes. Returns the body of that.
    fn request(&mut self, verb: &str, path: &OsStr, numbers: &[u64]) -> Result<Vec<u8>, Error> {
        let id = random_id().map_err(Error::Local)?;
        let mut request = format!("{id} ").into_bytes();
        request.extend_from_slice(&request_line(verb, path, numbers));
        if request.len() > MAX_REQUEST {
            let what = format!("a request of {} bytes fits no datagram", request.len());
            return Err(Error::Local(io::Error::new(ErrorKind::InvalidInput, what)));
        }
        let begun = Instant::now();
        let mut wait = FIRST_WAIT;
        let mut copies = 0;
        loop {
            self.send(&request)?;
            copies += 1;
            let left = self.timeout.map(|timeout| timeout.saturating_sub(begun.elapsed()));
            let until = Instant::now() + left.map_or(wait, |left| left.min(wait));
            while self.readable_before(until)? {
                if let Some(body) = self.receive(id)? {
                    return Ok(body);
                }
            }
            if self.timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
                return Err(Error::Unanswered { copies, waited: begun.elapsed() });
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn send(&self, request: &[u8]) -> Result<(), Error> {
        loop {
            match self.socket.send(request) {
                Ok(_) => return Ok(()),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    // No room now: the same as a loss on the way.
                    ErrorKind::WouldBlock => return Ok(()),
                    _ if Errno::from_io_error(&error) == Some(Errno::NOBUFS) => return Ok(()),
                    ErrorKind::BrokenPipe => return Err(Error::Closed),
                    _ => return Err(Error::Connect(error)),
                },
            }
        }
    }

    /// Waits for a datagram. Returns whether one seems to have come.
    fn readable_before(&self, until: Instant) -> Result<bool, Error> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            // A wait too long for the type is one without an end.
            match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
                // Shut down by another thread: only so does a socket of datagrams come to an end.
                Ok(_) if fds[0].revents().contains(PollFlags::HUP) => return Err(Error::Closed),
                // Without this a stream of junk would be read without end.
                Ok(ready) => return Ok(ready > 0 && !left.is_zero()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::Lost(errno.into())),
            }
        }
    }

    /// Takes a datagram. Returns the body if it is the reply to `id`.
    fn receive(&mut self, id: u64) -> Result<Option<Vec<u8>>, Error> {
        let length = match self.socket.recv(&mut self.buffer) {
            Ok(length) => length,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => return Ok(None),
                // An ICMP error: nothing listens at the address.
                _ => return Err(Error::Connect(error)),
            },
        };
        let datagram = &self.buffer[..length];
        match memchr::memchr(b' ', datagram) {
            Some(space) if parse_number(&datagram[..space]) == Some(id) => {
                reply_body(&datagram[space + 1..]).map(Some)
            }
            _ => Ok(None),
        }
    }
}

fn connected(addr: SocketAddr) -> io::Result<UdpSocket> {
    let any = if addr.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any)?;
    socket.connect(addr)?;
    socket.set_nonblocking(true)?; // the waiting is poll's
    Ok(socket)
}

/// Whether the kernel reports at once that nothing listens there, as it does on this machine: `localhost` often has two
/// addresses, and a server has one. An empty datagram gets no reply.
fn is_refused(socket: &UdpSocket) -> bool {
    socket.send(&[]).is_err() || !matches!(socket.take_error(), Ok(None))
}

/// Returns an identifier that cannot be guessed: to forge a reply takes having seen the request.
fn random_id() -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes) >> 1) // the protocol's numbers end at 2^63-1
}

/// Splits a reply behind its identifier; a datagram is whole, so the body must be just what is announced.
fn reply_body(reply: &[u8]) -> Result<Vec<u8>, Error> {
    let Some(end) = memchr::memchr(b'\n', reply) else {
        return Err(Error::Protocol("a reply without an end of line".to_string()));
    };
    let body = &reply[end + 1..];
    match parse_reply(&reply[..end]) {
        Ok(length) if length == body.len() as u64 => Ok(body.to_vec()),
        Ok(length) => Err(Error::Protocol(format!("{} bytes instead of {length}", body.len()))),
        Err(refused) => Err(refused),
    }
}
