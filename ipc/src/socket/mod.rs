//! Local sockets (AF_UNIX): conversations between processes of one machine.
//!
//! - **What it is**: the socket calls, without a network. [`Stream`] is a stream of bytes in both directions;
//!   [`Packets`] (SOCK_SEQPACKET) is a connection that keeps messages apart; [`Datagram`] sends messages
//!   without a connection. All three are reliable and keep the order.
//! - **Choose it when** two processes talk in both directions, a server has several clients, it must be known
//!   *who* talks, or a descriptor has to go to another process.
//! - **Lifetime of its name**: a [path](Address::path) stays in the file system until it is removed, even if
//!   nobody listens any more; whoever bound it removes it when it is dropped, and a name left behind by a
//!   killed process is replaced. An [abstract name](Address::abstract_name) is gone with its socket. A pair
//!   has no name.
//! - **When a peer dies**, a stream first gives what is left, and then its end (0 bytes); sending to it gives
//!   [`Error::Closed`]. Data that the dead peer had not read can turn its end into [`Error::Closed`], too. A
//!   datagram for nobody gives [`Error::Closed`].
//! - **Cost**: a system call and a copy on each side, as with a pipe; a little more per call.
//!
//! # What is different from a network socket
//!
//! **The peer is known.** [`Socket::peer_credentials`] is filled in by the kernel when the connection is made,
//! and cannot be forged; for datagrams see [`Datagram::receive_credentials`].
//!
//! **Descriptors travel.** [`Socket::send_descriptors`] gives another process a copy of an open file, as
//! `dup` would. TLPI, section 61.13.3.
//!
//! **Datagrams are not lost, the sender waits**, as soon as the receiver has a few of them to read
//! (`max_dgram_qlen`, 10 on most machines). Two processes that send to each other without reading wait for
//! ever; [`Socket::set_wait`] bounds that.
//!
//! **Who may connect** is a matter of the permission to write to the path, and so of the umask while it is
//! bound; put it into a directory that others cannot enter. Abstract names have no permissions at all: ask who
//! the peer is.
//!
//! `SIGPIPE` is never raised by the calls here.
//!
//! ```
//! use ipc::socket::{Address, Listener, Stream};
//! use std::io::{Read, Write};
//!
//! let address = Address::abstract_name(format!("ipc-doc-{}", std::process::id()))?;
//! let listener = Listener::bind(&address)?;
//! let mut client = Stream::connect(&address)?; // waits in the backlog until it is accepted
//! let mut server = listener.accept()?;
//! assert_eq!(server.peer_credentials()?.pid, std::process::id().cast_signed());
//! client.write_all(b"good day")?;
//! drop(client);
//! let mut text = String::new();
//! server.read_to_string(&mut text)?;
//! assert_eq!(text, "good day");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address;
mod bind;
mod connection;
mod datagram;
mod message;

pub use address::Address;
pub use connection::{Listener, PacketListener, Packets, Stream};
pub use datagram::{Datagram, ReceivedDatagram};

use std::net::Shutdown;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, getsockopt, sockopt};

use crate::error::{Error, Result};
use crate::sys::{self, Deadline, retry, retry_libc, timeval};
use crate::wait::Wait;

/// The most descriptors that the kernel takes in one message (`SCM_MAX_FD`).
pub const MAX_DESCRIPTORS: usize = 253;

/// Who is at the other end, as the kernel has recorded it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The process. 0 is one outside of this process's pid namespace.
    pub pid: i32,
    /// Its effective user.
    pub uid: u32,
    /// Its effective group.
    pub gid: u32,
}

/// What all kinds of local sockets can do.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    /// How errors call it.
    object: Box<str>,
    /// How long to wait, as [`encode`] writes it.
    send_wait: AtomicU64,
    receive_wait: AtomicU64,
}

/// In nanoseconds. Waiting for no time at all differs from `Never` in its error only.
fn encode(wait: Wait) -> u64 {
    match wait {
        Wait::Forever => u64::MAX,
        Wait::Never => 0,
        Wait::AtMost(time) => {
            u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).clamp(1, u64::MAX - 1)
        }
    }
}

fn decode(nanoseconds: u64) -> Wait {
    match nanoseconds {
        u64::MAX => Wait::Forever,
        0 => Wait::Never,
        nanoseconds => Wait::AtMost(Duration::from_nanos(nanoseconds)),
    }
}

impl Socket {
    /// Sets how long sending and receiving may wait. At first they wait for ever.
    ///
    /// This belongs to this value, not to the open socket: a copy in another process is not affected, as it
    /// would be by `O_NONBLOCK` or `SO_RCVTIMEO`.
    pub fn set_wait(&self, sending: Wait, receiving: Wait) {
        self.send_wait.store(encode(sending), Relaxed);
        self.receive_wait.store(encode(receiving), Relaxed);
    }

    /// The process that connected, or that listened, or that made the pair.
    ///
    /// It is recorded at that moment: the process may have passed the socket on, or have ended.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: there is no connection. [`Error::System`]: `getsockopt`.
    pub fn peer_credentials(&self) -> Result<Credentials> {
        let peer = getsockopt(&self.fd, sockopt::PeerCredentials)
            .map_err(|errno| self.error("getsockopt", errno))?;
        // The kernel's answer for a socket without a peer: pid 0, and -1 as its user.
        if peer.uid() == u32::MAX {
            return Err(self.error("getsockopt", Errno::ENOTCONN));
        }
        Ok(Credentials { pid: peer.pid(), uid: peer.uid(), gid: peer.gid() })
    }

    /// Sends `bytes`, and with the first of them copies of `descriptors`. All of `bytes` are sent.
    ///
    /// The originals stay open here. When this returns, the copies are on their way: nothing is lost if the
    /// originals are closed, or this process ends.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: no bytes (at least one has to accompany the descriptors), no descriptors, or
    /// more than [`MAX_DESCRIPTORS`]. [`Error::Closed`]: the peer is gone. [`Error::TimedOut`],
    /// [`Error::WouldBlock`]: see [`set_wait`](Self::set_wait). [`Error::Limit`]: `ETOOMANYREFS`, too many
    /// descriptors of this user are on their way. Of a stream, a part may have been sent if the message was
    /// too long to be taken at once.
    pub fn send_descriptors(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<()> {
        self.check_range("bytes with the descriptors", bytes.len(), 1..=u64::MAX)?;
        self.check_range("descriptors", descriptors.len(), 1..=MAX_DESCRIPTORS as u64)?;
        let mut sent = self.send_with_wait("sendmsg", |flags| {
            message::send(self.fd.as_fd(), bytes, descriptors, flags)
        })?;
        while sent < bytes.len() {
            sent += self.send_bytes(&bytes[sent..])?;
        }
        Ok(())
    }

    /// Receives bytes and the descriptors that came with them: at most `most` of these, close-on-exec.
    /// Returns how many bytes; 0 bytes and no descriptors are the end of a stream.
    ///
    /// An ordinary receive instead of this one makes the kernel close the descriptors.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: more than `most` came. [`Error::Limit`] with `EMFILE`: this process may not
    /// open so many files. In both cases all descriptors of the message have been closed, and its bytes
    /// are in `buffer`. [`Error::OutOfRange`]: the message is larger than `buffer`, and was lost.
    /// [`Error::TimedOut`], [`Error::WouldBlock`]: see [`set_wait`](Self::set_wait).
    pub fn receive_descriptors(
        &self,
        buffer: &mut [u8],
        most: usize,
    ) -> Result<(usize, Vec<OwnedFd>)> {
        let got = self.receive_with_wait("recvmsg", |flags| {
            message::receive(self.fd.as_fd(), &mut *buffer, flags | libc::MSG_TRUNC)
        })?;
        let got = self.check_complete(got, buffer.len())?;
        self.check_range("descriptors received", got.descriptors.len(), 0..=most as u64)?;
        Ok((got.bytes, got.descriptors))
    }

    /// Ends one direction, or both: the peer gets the end of file after what is under way.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: there is no connection. [`Error::System`]: `shutdown`.
    pub fn shutdown(&self, how: Shutdown) -> Result<()> {
        let how = match how {
            Shutdown::Read => nix::sys::socket::Shutdown::Read,
            Shutdown::Write => nix::sys::socket::Shutdown::Write,
            Shutdown::Both => nix::sys::socket::Shutdown::Both,
        };
        nix::sys::socket::shutdown(self.fd.as_raw_fd(), how)
            .map_err(|errno| self.error("shutdown", errno))
    }

    /// The name of this end.
    ///
    /// # Errors
    ///
    /// [`Error::System`]: `getsockname`.
    pub fn address(&self) -> Result<Address> {
        address::local(self.fd.as_fd()).map_err(|errno| self.error("getsockname", errno))
    }

    fn new(fd: OwnedFd, object: String) -> Self {
        let forever = || AtomicU64::new(encode(Wait::Forever));
        Self { fd, object: object.into(), send_wait: forever(), receive_wait: forever() }
    }

    fn open(kind: SockType, object: String) -> Result<Self> {
        let family = AddressFamily::Unix;
        match nix::sys::socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None) {
            Ok(fd) => Ok(Self::new(fd, object)),
            Err(errno) => Err(Error::system(object, "socket", errno)),
        }
    }

    fn pair(kind: SockType) -> Result<(Self, Self)> {
        let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let (one, other) = nix::sys::socket::socketpair(family, kind, None, flags)
            .map_err(|errno| Error::system("socket pair", "socketpair", errno))?;
        let object = format!("socket pair {} <-> {}", one.as_raw_fd(), other.as_raw_fd());
        Ok((Self::new(one, object.clone()), Self::new(other, object)))
    }

    /// Refuses a descriptor that is no local socket of this kind.
    fn check(fd: OwnedFd, kind: SockType) -> Result<Self> {
        let object = format!("descriptor {}", fd.as_raw_fd());
        let unusable = |reason: &str| Error::unusable(&object, reason);
        let found = getsockopt(&fd, sockopt::SockType).map_err(|errno| match errno {
            Errno::ENOTSOCK => unusable("it is no socket"),
            errno => Error::system(&*object, "getsockopt", errno),
        })?;
        address::local(fd.as_fd()).map_err(|errno| match errno {
            Errno::EAFNOSUPPORT => unusable("it is no local socket"),
            errno => Error::system(&*object, "getsockname", errno),
        })?;
        if found != kind {
            return Err(unusable("it is a socket of another kind"));
        }
        Ok(Self::new(fd, object))
    }

    fn send_bytes(&self, bytes: &[u8]) -> Result<usize> {
        self.send_with_wait("send", |flags| {
            retry_libc(|| {
                // SAFETY: pointer and length are those of `bytes`, which the call only reads.
                unsafe {
                    libc::send(self.fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags)
                }
            })
            .map(isize::unsigned_abs)
        })
    }

    fn receive_bytes(&self, buffer: &mut [u8], extra: i32) -> Result<usize> {
        self.receive_with_wait("recv", |flags| {
            retry_libc(|| {
                // SAFETY: pointer and length are those of `buffer`, which is borrowed mutably.
                unsafe {
                    libc::recv(
                        self.fd.as_raw_fd(),
                        buffer.as_mut_ptr().cast(),
                        buffer.len(),
                        flags | extra,
                    )
                }
            })
            .map(isize::unsigned_abs)
        })
    }

    /// A whole message; `MSG_TRUNC` makes the kernel tell its real length.
    fn receive_message(&self, buffer: &mut [u8]) -> Result<usize> {
        let length = self.receive_bytes(buffer, libc::MSG_TRUNC)?;
        self.check_length(length, buffer.len())
    }

    fn check_length(&self, length: usize, room: usize) -> Result<usize> {
        self.check_range("message in bytes", length, 0..=room as u64)?;
        Ok(length)
    }

    /// Refuses a message of which a part got lost. Its descriptors are closed by being dropped.
    fn check_complete(&self, got: message::Received, room: usize) -> Result<message::Received> {
        if got.cut_descriptors {
            return Err(self.error("recvmsg", Errno::EMFILE));
        }
        self.check_length(got.bytes, room)?;
        Ok(got)
    }

    fn send_with_wait<T>(
        &self,
        call: &'static str,
        attempt: impl FnMut(i32) -> nix::Result<T>,
    ) -> Result<T> {
        self.call_with_wait(call, self.send_wait(), libc::MSG_NOSIGNAL, PollFlags::POLLOUT, attempt)
    }

    fn send_wait(&self) -> Wait {
        decode(self.send_wait.load(Relaxed))
    }

    fn receive_with_wait<T>(
        &self,
        call: &'static str,
        attempt: impl FnMut(i32) -> nix::Result<T>,
    ) -> Result<T> {
        let wait = decode(self.receive_wait.load(Relaxed));
        self.call_with_wait(call, wait, 0, PollFlags::POLLIN, attempt)
    }

    /// Makes a call wait as long as it may. The kernel's own timeouts (`SO_RCVTIMEO`) start anew after an
    /// interruption, and hold for everybody who shares the socket.
    fn call_with_wait<T>(
        &self,
        call: &'static str,
        wait: Wait,
        flags: i32,
        events: PollFlags,
        mut attempt: impl FnMut(i32) -> nix::Result<T>,
    ) -> Result<T> {
        let deadline = match wait {
            Wait::Forever => {
                return attempt(flags).map_err(|errno| self.error(call, errno));
            }
            Wait::Never => None,
            Wait::AtMost(timeout) => Some(Deadline::monotonic(timeout)),
        };
        loop {
            match attempt(flags | libc::MSG_DONTWAIT) {
                Err(Errno::EAGAIN) if let Some(deadline) = &deadline => {
                    // Another holder of the socket may be quicker again and again.
                    if deadline.left().is_zero() {
                        return Err(deadline.passed(&*self.object));
                    }
                    sys::ready(&self.object, self.fd.as_fd(), events, Some(deadline))?;
                }
                result => return result.map_err(|errno| self.error(call, errno)),
            }
        }
    }

    fn error(&self, call: &'static str, errno: Errno) -> Error {
        let object = self.object.to_string();
        match errno {
            Errno::EAGAIN => Error::WouldBlock { object },
            Errno::EPIPE | Errno::ECONNRESET | Errno::ECONNREFUSED | Errno::ENOTCONN => {
                Error::Closed { object }
            }
            errno => Error::system(object, call, errno),
        }
    }

    fn check_range(
        &self,
        quantity: &'static str,
        given: usize,
        range: RangeInclusive<u64>,
    ) -> Result<()> {
        Error::check_range(&self.object, quantity, given as u64, range)
    }

    /// Connects, waiting at most `timeout` for a place in a full backlog.
    fn connect(&self, address: &Address, timeout: Option<Duration>) -> Result<()> {
        let attempt = || address.connect(self.fd.as_fd());
        match timeout {
            Some(timeout) => self.call_with_timeout("connect", timeout, attempt),
            None => retry(attempt).map_err(|errno| self.error("connect", errno)),
        }
    }

    /// Makes a blocking call that cannot be polled for: whether *another* socket has room. Only the kernel's
    /// own timeout bounds it. That is set for this call, and belongs to the open socket.
    fn call_with_timeout<T>(
        &self,
        call: &'static str,
        timeout: Duration,
        mut attempt: impl FnMut() -> nix::Result<T>,
    ) -> Result<T> {
        let deadline = Deadline::monotonic(timeout);
        let set_timeout = |timeout: Duration| {
            let timeout = timeval(timeout).into();
            nix::sys::socket::setsockopt(&self.fd, sockopt::SendTimeout, &timeout)
                .map_err(|errno| self.error("setsockopt", errno))
        };
        let result = loop {
            let left = deadline.left();
            // Zero would mean "for ever".
            set_timeout(left.max(Duration::from_micros(1)))?;
            match attempt() {
                // The kernel's ticks may be a little early.
                Err(Errno::EINTR | Errno::EAGAIN) if !deadline.left().is_zero() => {}
                Err(Errno::EINTR | Errno::EAGAIN) => break Err(deadline.passed(&*self.object)),
                result => break result.map_err(|errno| self.error(call, errno)),
            }
        };
        set_timeout(Duration::ZERO)?;
        result
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What every kind of socket has besides its own methods.
macro_rules! socket {
    ($type:ident, $kind:expr) => {
        impl $type {
            /// Takes over an inherited or received descriptor.
            ///
            /// # Errors
            ///
            /// [`Error::Unusable`]: it is no local socket of this kind. It is closed then.
            pub fn from_fd(descriptor: OwnedFd) -> Result<Self> {
                Socket::check(descriptor, $kind).map(Self::new)
            }
        }

        impl std::ops::Deref for $type {
            type Target = Socket;

            fn deref(&self) -> &Socket {
                &self.socket
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.as_fd()
            }
        }

        impl From<$type> for OwnedFd {
            fn from(socket: $type) -> Self {
                socket.socket.fd
            }
        }

        impl From<$type> for Stdio {
            /// Hands the socket to a child process as its standard input, output or error.
            fn from(socket: $type) -> Self {
                socket.socket.fd.into()
            }
        }
    };
}

use socket;
