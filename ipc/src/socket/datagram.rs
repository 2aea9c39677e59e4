//! Sockets without a connection.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::sys::socket::{SockType, setsockopt, sockopt};

use super::bind::bind;
use super::{Address, Credentials, Socket, message, socket};
use crate::error::{Error, Result};
use crate::file::OwnedPath;
use crate::sys::retry;
use crate::wait::Wait;

/// Messages without a connection: each has its own receiver, and tells its sender's name.
///
/// None is lost and the order is kept: whoever sends to a full receiver waits.
///
/// ```
/// use ipc::socket::{Address, Datagram};
///
/// let address = Address::abstract_name(format!("ipc-doc-post-{}", std::process::id()))?;
/// let server = Datagram::bind(&address)?;
/// let client = Datagram::bind_any()?; // a name of the kernel's choice, to be answered to
/// client.send_to(b"question", &address)?;
/// let mut buffer = [0; 64];
/// let received = server.receive(&mut buffer)?;
/// server.send_to(b"answer", &received.from.expect("the client has a name"))?;
/// assert_eq!(client.receive(&mut buffer)?.length, 6);
/// # Ok::<(), ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Datagram {
    // Dropped first, as with a listener.
    path: Option<OwnedPath>,
    socket: Socket,
    /// The kernel has been asked for the senders' credentials.
    passes_credentials: AtomicBool,
}

/// What was received, besides the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedDatagram {
    /// The number of bytes; 0 is a message like any other.
    pub length: usize,
    /// The sender's name, if it has bound one.
    pub from: Option<Address>,
    /// Who sent it, if [`Datagram::receive_credentials`] was called before.
    pub credentials: Option<Credentials>,
}

impl Datagram {
    /// A socket that others can send to at `address`. A path is replaced and removed as with
    /// [`Listener::bind`](super::Listener::bind).
    ///
    /// # Errors
    ///
    /// As [`Listener::bind`](super::Listener::bind).
    pub fn bind(address: &Address) -> Result<Self> {
        let socket = Socket::open(SockType::Datagram, address.to_string())?;
        let path = bind(&socket, address)?;
        Ok(Self { path, socket, passes_credentials: AtomicBool::new(false) })
    }

    /// A socket with an abstract name that the kernel chooses, so that it can be answered.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`]: too many open files (`socket`), no name free (`bind`).
    pub fn bind_any() -> Result<Self> {
        let socket = Self::unbound()?;
        Address::unnamed().bind(socket.as_fd()).map_err(|errno| socket.error("bind", errno))?;
        let object = socket.address()?.to_string();
        Ok(Self::new(Socket::new(socket.socket.fd, object)))
    }

    /// A socket without a name, which can send but not be sent to.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`]: too many open files (`socket`).
    pub fn unbound() -> Result<Self> {
        Socket::open(SockType::Datagram, "datagram socket".to_owned()).map(Self::new)
    }

    /// Two sockets without a name that send to each other.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`]: too many open files (`socketpair`).
    pub fn pair() -> Result<(Self, Self)> {
        Socket::pair(SockType::Datagram).map(|(one, other)| (Self::new(one), Self::new(other)))
    }

    /// Makes `address` the receiver of [`send`](Self::send), and the only one to receive from.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: nobody has bound it. [`Error::System`]: no such path, no permission (`connect`).
    pub fn connect(&self, address: &Address) -> Result<()> {
        self.socket.connect(address, None)
    }

    /// Sends a message to the socket bound to `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: nobody has bound it any more. [`Error::System`]: no such path, no permission;
    /// `EMSGSIZE`, the message is larger than the socket's buffer (`sendto`). [`Error::TimedOut`],
    /// [`Error::WouldBlock`]: the receiver is full, see [`Socket::set_wait`].
    pub fn send_to(&self, message: &[u8], address: &Address) -> Result<()> {
        let (name, length) = address.to_c();
        let attempt = |flags| {
            // SAFETY: both pointers go with the lengths of what they point to, which is only read.
            let sent = unsafe {
                libc::sendto(
                    self.socket.fd.as_raw_fd(),
                    message.as_ptr().cast(),
                    message.len(),
                    flags,
                    (&raw const name).cast(),
                    length,
                )
            };
            Errno::result(sent)
        };
        let sent = match self.send_wait() {
            // A socket without a connection is always ready to be written, however full the receiver is.
            Wait::AtMost(timeout) => {
                self.call_with_timeout("sendto", timeout, || attempt(libc::MSG_NOSIGNAL))
            }
            _ => self.send_with_wait("sendto", |flags| retry(|| attempt(flags))),
        };
        match sent {
            Ok(_) => Ok(()),
            // The receiver is at fault, not this socket.
            Err(Error::Closed { .. }) => Err(Error::Closed { object: address.to_string() }),
            Err(error) => Err(error),
        }
    }

    /// Sends a message to the connected socket, or the other one of the pair.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: it is gone, or there is none. Otherwise as [`send_to`](Self::send_to).
    pub fn send(&self, message: &[u8]) -> Result<()> {
        self.send_bytes(message).map(drop)
    }

    /// Receives one message.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: the message is larger than `buffer`, and is lost. [`Error::TimedOut`],
    /// [`Error::WouldBlock`]: see [`Socket::set_wait`]. [`Error::System`]: `recvfrom`, `recvmsg`.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<ReceivedDatagram> {
        if !self.passes_credentials.load(Ordering::Relaxed) {
            let (bytes, from) = self.receive_with_wait("recvfrom", |flags| {
                message::receive_from(self.as_fd(), &mut *buffer, flags | libc::MSG_TRUNC)
            })?;
            let length = self.check_length(bytes, buffer.len())?;
            return Ok(ReceivedDatagram { length, from, credentials: None });
        }
        let got = self.receive_with_wait("recvmsg", |flags| {
            message::receive(self.as_fd(), &mut *buffer, flags | libc::MSG_TRUNC)
        })?;
        let length = self.check_length(got.bytes, buffer.len())?;
        Ok(ReceivedDatagram { length, from: got.from, credentials: got.credentials })
    }

    /// Has the kernel tell with every message who sent it.
    ///
    /// It vouches for them: only a privileged sender can name others than its own.
    ///
    /// # Errors
    ///
    /// [`Error::System`]: `setsockopt`.
    pub fn receive_credentials(&self) -> Result<()> {
        setsockopt(&self.socket, sockopt::PassCred, &true)
            .map_err(|errno| self.error("setsockopt", errno))?;
        self.passes_credentials.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The path that is removed when this is dropped, if it has one.
    #[must_use]
    pub fn path(&self) -> Option<&std::path::Path> {
        self.path.as_ref().map(OwnedPath::path)
    }

    fn new(socket: Socket) -> Self {
        Self { path: None, socket, passes_credentials: AtomicBool::new(false) }
    }
}

socket!(Datagram, SockType::Datagram);
