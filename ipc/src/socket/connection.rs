//! Sockets with a connection.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::process::Stdio;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{Backlog, SockFlag, SockType, accept4, listen};

use super::bind::bind;
use super::{Address, Socket, socket};
use crate::error::{Error, Result};
use crate::file::OwnedPath;
use crate::sys::{self, Deadline, retry};

/// A stream of bytes in both directions.
///
/// Reading gives 0 at the end. Bytes do not keep the boundaries of the writes they came in. Timeouts and
/// non-blocking calls: [`Socket::set_wait`]. `&Stream` can be read and written, too.
#[derive(Debug)]
pub struct Stream {
    socket: Socket,
}

/// A connection that keeps messages apart and in order (SOCK_SEQPACKET).
///
/// ```
/// let (one, other) = ipc::socket::Packets::pair()?;
/// one.send(b"one")?;
/// one.send(b"two")?;
/// let mut buffer = [0; 16];
/// assert_eq!(other.receive(&mut buffer)?, Some(3));
/// drop(one);
/// assert_eq!(other.receive(&mut buffer)?, Some(3));
/// assert_eq!(other.receive(&mut buffer)?, None);
/// # Ok::<(), ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Packets {
    socket: Socket,
}

impl Stream {
    /// Connects to a [`Listener`]; waits while its backlog is full.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: nobody listens; a path may be a stale one. [`Error::System`]: there is no such path,
    /// or it may not be written (`connect`); `EPROTOTYPE`: the path is that of a
    /// socket of another kind.
    pub fn connect(address: &Address) -> Result<Self> {
        connect(SockType::Stream, address, None).map(Self::new)
    }

    /// As [`connect`](Self::connect), waiting at most `timeout` for a place in the backlog.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: the backlog stayed full. Otherwise as [`connect`](Self::connect).
    pub fn connect_timeout(address: &Address, timeout: Duration) -> Result<Self> {
        connect(SockType::Stream, address, Some(timeout)).map(Self::new)
    }

    /// Two ends of a connection without a name. Two descriptors in all, each for both directions.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`]: too many open files (`socketpair`).
    pub fn pair() -> Result<(Self, Self)> {
        Socket::pair(SockType::Stream).map(|(one, other)| (Self::new(one), Self::new(other)))
    }

    fn new(socket: Socket) -> Self {
        Self { socket }
    }
}

impl Packets {
    /// Connects to a [`PacketListener`]; waits while its backlog is full.
    ///
    /// # Errors
    ///
    /// As [`Stream::connect`].
    pub fn connect(address: &Address) -> Result<Self> {
        connect(SockType::SeqPacket, address, None).map(Self::new)
    }

    /// As [`connect`](Self::connect), waiting at most `timeout` for a place in the backlog.
    ///
    /// # Errors
    ///
    /// As [`Stream::connect_timeout`].
    pub fn connect_timeout(address: &Address, timeout: Duration) -> Result<Self> {
        connect(SockType::SeqPacket, address, Some(timeout)).map(Self::new)
    }

    /// Two ends of a connection without a name.
    ///
    /// # Errors
    ///
    /// As [`Stream::pair`].
    pub fn pair() -> Result<(Self, Self)> {
        Socket::pair(SockType::SeqPacket).map(|(one, other)| (Self::new(one), Self::new(other)))
    }

    /// Sends one message.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: an empty one, which the other side could not tell from the end.
    /// [`Error::Closed`]: the peer is gone. [`Error::System`]: `EMSGSIZE`, it is larger than the socket's
    /// buffer. [`Error::TimedOut`], [`Error::WouldBlock`]: see [`Socket::set_wait`].
    pub fn send(&self, message: &[u8]) -> Result<()> {
        let range = 1..=u64::MAX;
        Error::check_range(&self.object, "message in bytes", message.len() as u64, range)?;
        self.send_bytes(message).map(drop)
    }

    /// Receives one message and returns its length, or nothing at the end.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: the message is larger than `buffer`, and is lost. [`Error::TimedOut`],
    /// [`Error::WouldBlock`]: see [`Socket::set_wait`]. [`Error::System`]: `recv`.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        self.receive_message(buffer).map(|length| (length > 0).then_some(length))
    }

    fn new(socket: Socket) -> Self {
        Self { socket }
    }
}

fn connect(kind: SockType, address: &Address, timeout: Option<Duration>) -> Result<Socket> {
    let socket = Socket::open(kind, address.to_string())?;
    socket.connect(address, timeout)?;
    Ok(socket)
}

socket!(Stream, SockType::Stream);
socket!(Packets, SockType::SeqPacket);

impl Read for &Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.receive_bytes(buffer, 0)?)
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.send_bytes(bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What both listeners have; they differ in the kind of their connections only.
macro_rules! listener {
    ($(#[$attribute:meta])* $type:ident, $kind:expr, $connection:ident) => {
        $(#[$attribute])*
        #[derive(Debug)]
        pub struct $type {
            // Dropped first: while the name is there, somebody answers to it, or it can be replaced.
            path: Option<OwnedPath>,
            socket: Socket,
        }

        impl $type {
            /// Binds to `address` and listens, with a backlog as long as the machine allows (`somaxconn`).
            ///
            /// A path left behind by a process that is gone is replaced. One that another process has bound
            /// is not, nor is anything else than a socket. The path is removed when this is dropped, unless
            /// it has been replaced. A copy of this in a forked child removes nothing.
            ///
            /// # Errors
            ///
            /// [`Error::System`] with `EADDRINUSE`: another process has it. [`Error::Unusable`]: the path
            /// belongs to something that is no socket. [`Error::WouldBlock`]: another process is just
            /// replacing the stale path, or holds a lock (`flock`) on its directory. [`Error::System`]: no
            /// permission, no such directory (`bind`).
            pub fn bind(address: &Address) -> Result<Self> {
                let (socket, path) = listen_at($kind, address)?;
                Ok(Self { path, socket })
            }

            /// Waits for the next connection and accepts it.
            ///
            /// # Errors
            ///
            /// [`Error::Limit`]: too many open files (`accept4`); the connection then stays in the backlog.
            pub fn accept(&self) -> Result<$connection> {
                accept(&self.socket, None).map($connection::new)
            }

            /// As [`accept`](Self::accept), for at most `timeout`.
            ///
            /// # Errors
            ///
            /// [`Error::TimedOut`]: nobody came. Otherwise as [`accept`](Self::accept).
            pub fn accept_timeout(&self, timeout: Duration) -> Result<$connection> {
                accept(&self.socket, Some(timeout)).map($connection::new)
            }

            /// The name that clients connect to.
            ///
            /// # Errors
            ///
            /// [`Error::System`]: `getsockname`.
            pub fn address(&self) -> Result<Address> {
                self.socket.address()
            }

            /// The path that is removed when this is dropped, if it has one.
            #[must_use]
            pub fn path(&self) -> Option<&std::path::Path> {
                self.path.as_ref().map(OwnedPath::path)
            }
        }

        impl AsFd for $type {
            /// Readable while a connection waits, for a poller. The open socket is in non-blocking mode.
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.socket.as_fd()
            }
        }
    };
}

listener!(
    /// Where [`Stream`]s connect to.
    Listener, SockType::Stream, Stream
);
listener!(
    /// Where [`Packets`] connect to.
    PacketListener, SockType::SeqPacket, Packets
);

fn listen_at(kind: SockType, address: &Address) -> Result<(Socket, Option<OwnedPath>)> {
    let socket = Socket::open(kind, address.to_string())?;
    let path = bind(&socket, address)?;
    listen(&socket, Backlog::MAXALLOWABLE).map_err(|errno| socket.error("listen", errno))?;
    // Between `poll` and `accept` somebody else who shares the listener can take the connection.
    let flags = nix::fcntl::OFlag::O_NONBLOCK;
    nix::fcntl::fcntl(&socket, nix::fcntl::FcntlArg::F_SETFL(flags))
        .map_err(|errno| socket.error("fcntl", errno))?;
    Ok((socket, path))
}

fn accept(listener: &Socket, timeout: Option<Duration>) -> Result<Socket> {
    let deadline = timeout.map(Deadline::monotonic);
    loop {
        match retry(|| accept4(listener.fd.as_raw_fd(), SockFlag::SOCK_CLOEXEC)) {
            Ok(fd) => {
                // SAFETY: the call has just made this descriptor, and nobody else knows it.
                let fd = unsafe { OwnedFd::from_raw_fd(fd) };
                return Ok(Socket::new(fd, listener.object.to_string()));
            }
            Err(Errno::EAGAIN) => {
                sys::ready(
                    &listener.object,
                    listener.as_fd(),
                    PollFlags::POLLIN,
                    deadline.as_ref(),
                )?;
            }
            // The client that was first is gone again.
            Err(Errno::ECONNABORTED) => {}
            Err(errno) => return Err(listener.error("accept4", errno)),
        }
    }
}
