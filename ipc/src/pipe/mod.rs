//! Pipes: bytes that flow one way, from whoever writes to whoever reads.
//!
//! - **What it is**: a buffer in the kernel with two ends, [`Reader`] and [`Writer`]. [`pipe`] makes an
//!   anonymous one, which reaches another process only by being inherited or passed; a [`Fifo`] is one with
//!   a name in the file system; [`duplex`] is two pipes crossed.
//! - **Choose it when** bytes go one way between relatives, above all as the standard input or output of
//!   another program. It is a stream: what one `write` put in may come out in several reads, or together
//!   with its neighbours. For whole messages take a [queue](crate::queue), for a conversation a
//!   [socket](crate::socket).
//! - **Lifetime of its name**: an anonymous pipe has none. A FIFO's name stays until it is removed, also
//!   over a restart of the machine; the bytes in it are lost once no process has it open. [`Fifo`] removes
//!   the name when it is dropped.
//! - **When a peer dies**, its ends are closed. A reader first gets what is left, then the end of file,
//!   which is a read of 0 bytes. A writer without a reader gets [`Error::Closed`] (`EPIPE`).
//! - **Cost**: a system call and a copy on each side; nothing is written to a disk.
//!
//! # Three rules
//!
//! **Every copy of a write end counts.** The end of file comes when the *last* write end is closed. A copy
//! left open in a parent, or inherited by a process that knows nothing of it, means a reader that waits for
//! ever. Ends made here are close-on-exec, so that only an end that is handed over (as a [`Stdio`], or by
//! [`Launch::pass`](crate::process::Launch::pass)) reaches another program. TLPI, chapter 44.
//!
//! **Up to [`PIPE_BUF`] bytes are one piece.** Writes of at most 4,096 bytes on Linux (POSIX asks for 512)
//! are never mixed with those of other writers. Larger ones may be; see [`Writer::write_atomic`].
//!
//! **`SIGPIPE` is off.** The kernel also sends this signal to a writer without a reader, and its default
//! action ends the process. A Rust program ignores it from the start and gets the error instead. A program
//! that set it back to the default ([`signal::default`](crate::signal::default)) dies here. The standard
//! library sets it back in the children that it starts, since most programs expect that.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::process::{Command, Stdio};
//!
//! let (reader, mut writer) = ipc::pipe::pipe()?;
//! let cat = Command::new("cat").stdin(reader).stdout(Stdio::piped()).spawn()?;
//! writer.write_all(b"through another process")?;
//! drop(writer); // or `cat` would wait for more
//! assert_eq!(cat.wait_with_output()?.stdout, b"through another process");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fifo;

pub use fifo::Fifo;

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::PollFlags;
use nix::sys::stat::{Mode, SFlag, fstat};
use nix::unistd;

use crate::error::{Error, Result};
use crate::sys::{self, Deadline, retry};

/// The most bytes that one write puts into a pipe without being mixed with those of other writers.
pub const PIPE_BUF: usize = libc::PIPE_BUF;

/// A new anonymous pipe: what is written into the [`Writer`] comes out of the [`Reader`].
///
/// # Errors
///
/// [`Error::Limit`]: the process or the machine has too many open files, or the user too many pipes (`pipe2`).
pub fn pipe() -> Result<(Reader, Writer)> {
    let (read, write) =
        unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| Error::system("pipe", "pipe2", errno))?;
    let object = format!("pipe {} -> {}", write.as_raw_fd(), read.as_raw_fd());
    Ok((Reader(End::new(read, object.clone())), Writer(End::new(write, object))))
}

/// Two pipes crossed: what one side writes, the other reads, and the reverse.
///
/// It takes four descriptors where [`Stream::pair`](crate::socket::Stream::pair) takes two, and is no
/// faster. It is the right thing where each direction has its own capacity, atomic writes or holder, or
/// where the other program wants two pipes as its standard input and output.
///
/// Both sides can block each other: when both write more than a pipe holds, and neither reads.
///
/// # Errors
///
/// As [`pipe`].
pub fn duplex() -> Result<(Duplex, Duplex)> {
    let (near_reader, far_writer) = pipe()?;
    let (far_reader, near_writer) = pipe()?;
    Ok((
        Duplex { reader: near_reader, writer: near_writer },
        Duplex { reader: far_reader, writer: far_writer },
    ))
}

/// The largest capacity, in bytes, that a process without `CAP_SYS_RESOURCE` may give a pipe.
///
/// # Errors
///
/// [`Error::System`]: `/proc` is not mounted.
pub fn capacity_limit() -> Result<usize> {
    const FILE: &str = "/proc/sys/fs/pipe-max-size";
    let text = fs::read_to_string(FILE).map_err(|error| Error::io(FILE, "read", &error))?;
    text.trim().parse().map_err(|_| Error::unusable(FILE, format!("{text:?} is no number")))
}

/// The end of a pipe or FIFO that bytes come out of.
///
/// Reading through [`Read`] waits for the first bytes, and gives 0 at the end: when nothing is left and no
/// write end is open. `&Reader` can be read from, too.
#[derive(Debug)]
pub struct Reader(End);

/// The end of a pipe or FIFO that bytes go into.
///
/// Writing through [`Write`] waits while the pipe is full. Without a reader it fails with
/// [`ErrorKind::BrokenPipe`](io::ErrorKind::BrokenPipe). There is nothing to flush. `&Writer` can be
/// written to, too.
#[derive(Debug)]
pub struct Writer(End);

/// One side of [`duplex`].
#[derive(Debug)]
pub struct Duplex {
    reader: Reader,
    writer: Writer,
}

impl Reader {
    /// Opens a FIFO and waits until somebody opens it for writing.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`]: `path` is something else than a FIFO. [`Error::System`]: there is none, or it
    /// may not be read (`open`). [`Error::InvalidName`]: an empty path, or one with a NUL.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        fifo::open(path.as_ref(), OFlag::O_RDONLY).map(Self)
    }

    /// Opens a FIFO without waiting. Always succeeds on a FIFO, also without a writer.
    ///
    /// Until the first writer comes, a read gives 0 bytes at once, as at the end; [`wait`](Self::wait)
    /// tells the two apart, since it goes on waiting before the first writer.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn try_open(path: impl AsRef<Path>) -> Result<Self> {
        let reader = Self(fifo::open(path.as_ref(), OFlag::O_RDONLY | OFlag::O_NONBLOCK)?);
        reader.set_nonblocking(false)?;
        Ok(reader)
    }

    /// Opens a FIFO and waits at most `timeout` until somebody opens it for writing.
    ///
    /// The kernel has no such call. The FIFO is open for reading while this waits, so that writers get in
    /// at once. Bytes are noticed when they come; a writer that is silent is looked for at intervals of up
    /// to 16 ms.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: nobody came. Otherwise as [`open`](Self::open).
    pub fn open_timeout(path: impl AsRef<Path>, timeout: Duration) -> Result<Self> {
        fifo::open_reader_timeout(path.as_ref(), timeout)
    }

    /// Reads what is there, and does not wait.
    ///
    /// The descriptor's own mode does not matter, and does not change.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`]: nothing is there, but may still come. [`Error::System`]: `read`.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize> {
        self.0.read_nonblocking(buffer).map_err(|errno| self.0.error("read", errno))
    }

    /// Reads what is there, or the first bytes that come within `timeout`. 0 is the end.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: nothing came. [`Error::System`]: `read`.
    pub fn read_timeout(&self, buffer: &mut [u8], timeout: Duration) -> Result<usize> {
        let deadline = Deadline::monotonic(timeout);
        loop {
            match self.try_read(buffer) {
                Err(Error::WouldBlock { .. }) => self.0.wait_ready(PollFlags::POLLIN, &deadline)?,
                result => return result,
            }
        }
    }

    /// Waits at most `timeout` until there are bytes, or the last writer is gone.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: neither happened.
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        self.0.wait_ready(PollFlags::POLLIN, &Deadline::monotonic(timeout))
    }
}

impl Writer {
    /// Opens a FIFO and waits until somebody opens it for reading.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`]: `path` is something else than a FIFO. [`Error::System`]: there is none, or it
    /// may not be written (`open`). [`Error::InvalidName`]: an empty path, or one with a NUL.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        fifo::open(path.as_ref(), OFlag::O_WRONLY).map(Self)
    }

    /// Opens a FIFO that somebody reads.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`]: nobody has it open for reading (`ENXIO`). Otherwise as [`open`](Self::open).
    pub fn try_open(path: impl AsRef<Path>) -> Result<Self> {
        let writer = Self(fifo::open(path.as_ref(), OFlag::O_WRONLY | OFlag::O_NONBLOCK)?);
        writer.set_nonblocking(false)?;
        Ok(writer)
    }

    /// Opens a FIFO and waits at most `timeout` until somebody opens it for reading.
    ///
    /// The kernel has no such call: this tries again at intervals of up to 16 ms.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: nobody came. Otherwise as [`open`](Self::open).
    pub fn open_timeout(path: impl AsRef<Path>, timeout: Duration) -> Result<Self> {
        fifo::open_writer_timeout(path.as_ref(), timeout)
    }

    /// Writes `bytes` in one piece: no byte of another writer comes between them.
    ///
    /// POSIX promises this for writes of up to [`PIPE_BUF`] bytes, provided that every writer keeps to it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: no bytes, or more than [`PIPE_BUF`]. [`Error::Closed`]: nobody reads.
    /// [`Error::WouldBlock`]: the end is non-blocking, and there is no room for all of them. Nothing was
    /// written in any of these cases.
    pub fn write_atomic(&self, bytes: &[u8]) -> Result<()> {
        let (length, range) = (bytes.len() as u64, 1..=PIPE_BUF as u64);
        Error::check_range(&self.0.object, "atomic write in bytes", length, range)?;
        let written = self.0.write(bytes)?;
        debug_assert_eq!(written, bytes.len(), "the kernel never splits so small a write");
        Ok(())
    }

    /// Writes what there is room for, and does not wait. Returns the number of bytes taken, at least 1
    /// unless `bytes` is empty.
    ///
    /// The descriptor's own mode does not matter, and does not change. A process that may not open the FIFO any
    /// more, after it gave up privileges, fills it faster: each call then takes a page of the capacity at least.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`]: there is no room; for up to [`PIPE_BUF`] bytes also if there is room for some
    /// of them only. [`Error::Closed`]: nobody reads.
    pub fn try_write(&self, bytes: &[u8]) -> Result<usize> {
        self.0.write_nonblocking(bytes).map_err(|errno| self.0.error("write", errno))
    }

    /// Writes what there is room for, after waiting at most `timeout` for any. Returns the number of bytes
    /// taken.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: the pipe stayed full. [`Error::Closed`]: nobody reads.
    pub fn write_timeout(&self, bytes: &[u8], timeout: Duration) -> Result<usize> {
        let deadline = Deadline::monotonic(timeout);
        loop {
            match self.try_write(bytes) {
                Err(Error::WouldBlock { .. }) => {
                    self.0.wait_ready(PollFlags::POLLOUT, &deadline)?
                }
                result => return result,
            }
        }
    }
}

impl Duplex {
    /// The two ends, to be used apart or handed to another program.
    #[must_use]
    pub fn split(self) -> (Reader, Writer) {
        (self.reader, self.writer)
    }

    /// The end that this side reads.
    #[must_use]
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The end that this side writes.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }
}

/// What the two ends have in common.
macro_rules! end {
    ($type:ident, $refused:expr, $verb:literal) => {
        impl $type {
            #[doc = concat!("Takes over an inherited or received descriptor that can ", $verb, " a pipe.")]
            ///
            /// # Errors
            ///
            /// [`Error::Unusable`]: the descriptor is no pipe, or the other end of one. It is closed then.
            pub fn from_fd(descriptor: OwnedFd) -> Result<Self> {
                End::check(descriptor, $refused, $verb).map(Self)
            }

            /// Whether calls fail with [`Error::WouldBlock`] instead of waiting, for this end in whatever
            /// processes hold it: the kernel keeps the mode with the open file, not with the descriptor.
            ///
            /// # Errors
            ///
            /// [`Error::System`]: `fcntl`.
            pub fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
                self.0.set_nonblocking(nonblocking)
            }

            /// The number of bytes that the pipe holds before a writer has to wait. 65,536 at first,
            /// and 4,096 or 8,192 for a user who holds very many pipes (`pipe-user-pages-soft`).
            ///
            /// # Errors
            ///
            /// [`Error::System`]: `fcntl`.
            pub fn capacity(&self) -> Result<usize> {
                self.0.capacity()
            }

            /// Sets the capacity to at least `bytes`, and returns what it became: the kernel rounds up
            /// to a power of two of pages.
            ///
            /// # Errors
            ///
            /// [`Error::OutOfRange`]: 0, or more than [`capacity_limit`] allows this process; the limit is
            /// in the error. [`Error::Limit`]: `EBUSY`, the pipe holds more bytes at the moment; `EPERM`,
            /// the user's pipes together are too large.
            pub fn set_capacity(&self, bytes: usize) -> Result<usize> {
                self.0.set_capacity(bytes)
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.0.fd.as_fd()
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                self.0.fd.as_raw_fd()
            }
        }

        impl From<$type> for OwnedFd {
            fn from(end: $type) -> Self {
                end.0.fd
            }
        }

        impl From<$type> for Stdio {
            /// Hands the end to a child process as its standard input, output or error.
            ///
            /// The copy in this process lives in the `Command` from then on: drop that, too.
            fn from(end: $type) -> Self {
                end.0.fd.into()
            }
        }
    };
}

end!(Reader, OFlag::O_WRONLY, "read");
end!(Writer, OFlag::O_RDONLY, "write");

impl Read for &Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| unistd::read(&self.0.fd, buffer))
            .map_err(|errno| self.0.error("read", errno).into())
    }
}

impl Write for &Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(self.0.write(bytes)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Duplex {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read(buffer)
    }
}

impl Write for Duplex {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Either end.
#[derive(Debug)]
struct End {
    fd: OwnedFd,
    /// How errors call it.
    object: Box<str>,
    /// The same end opened a second time, in non-blocking mode; made when it is needed first.
    ///
    /// `RWF_NOWAIT` makes a single call of an anonymous pipe non-blocking. FIFOs lack it, and to switch
    /// `O_NONBLOCK` on for the duration of a call would change the calls of every process that shares the open file. A process
    /// that gave up its privileges may not be allowed to open the FIFO again: then [`splice`] does it.
    nonblocking: OnceLock<OwnedFd>,
}

impl End {
    fn new(fd: OwnedFd, object: String) -> Self {
        Self { fd, object: object.into(), nonblocking: OnceLock::new() }
    }

    fn check(fd: OwnedFd, refused: OFlag, verb: &'static str) -> Result<Self> {
        let object = format!("descriptor {}", fd.as_raw_fd());
        if !is_fifo(&fd).map_err(|errno| Error::system(&*object, "fstat", errno))? {
            return Err(Error::unusable(object, "it is no pipe"));
        }
        let flags = fcntl(&fd, FcntlArg::F_GETFL)
            .map_err(|errno| Error::system(&*object, "fcntl", errno))?;
        if OFlag::from_bits_retain(flags) & OFlag::O_ACCMODE == refused {
            return Err(Error::unusable(object, format!("this end cannot {verb}")));
        }
        Ok(Self::new(fd, object))
    }

    fn error(&self, call: &'static str, errno: Errno) -> Error {
        let object = self.object.to_string();
        match errno {
            Errno::EAGAIN => Error::WouldBlock { object },
            Errno::EPIPE => Error::Closed { object },
            errno => Error::system(object, call, errno),
        }
    }

    fn write(&self, bytes: &[u8]) -> Result<usize> {
        retry(|| unistd::write(&self.fd, bytes)).map_err(|errno| self.error("write", errno))
    }

    fn read_nonblocking(&self, buffer: &mut [u8]) -> nix::Result<usize> {
        if self.nonblocking.get().is_none() {
            let piece = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
            let got = sys::retry_libc(|| {
                // SAFETY: `piece` describes `buffer`, which is borrowed mutably; -1 is "no offset".
                unsafe { libc::preadv2(self.fd.as_raw_fd(), &piece, 1, -1, libc::RWF_NOWAIT) }
            });
            if got != Err(Errno::EOPNOTSUPP) {
                return got.map(isize::unsigned_abs);
            }
        }
        if let Some(fd) = self.nonblocking_copy(OFlag::O_RDONLY)? {
            return retry(|| unistd::read(fd, buffer));
        }
        let (out, into) = unistd::pipe2(OFlag::O_CLOEXEC)?;
        match splice(&self.fd, &into, buffer.len())? {
            0 => Ok(0),
            length => retry(|| unistd::read(&out, &mut buffer[..length])),
        }
    }

    fn write_nonblocking(&self, bytes: &[u8]) -> nix::Result<usize> {
        if self.nonblocking.get().is_none() {
            let piece =
                libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
            let put = sys::retry_libc(|| {
                // SAFETY: `piece` describes `bytes`, which the call only reads; -1 is "no offset".
                unsafe { libc::pwritev2(self.fd.as_raw_fd(), &piece, 1, -1, libc::RWF_NOWAIT) }
            });
            if put != Err(Errno::EOPNOTSUPP) {
                return put.map(isize::unsigned_abs);
            }
        }
        if let Some(fd) = self.nonblocking_copy(OFlag::O_WRONLY)? {
            return retry(|| unistd::write(fd, bytes));
        }
        // What does not fit goes with this pipe.
        let (out, into) = unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        let length = retry(|| unistd::write(&into, bytes))?;
        splice(&out, &self.fd, length)
    }

    /// The same end opened again, or nothing if this process may not do that.
    fn nonblocking_copy(&self, access: OFlag) -> nix::Result<Option<&OwnedFd>> {
        if let Some(fd) = self.nonblocking.get() {
            return Ok(Some(fd));
        }
        let path = format!("/proc/self/fd/{}", self.fd.as_raw_fd());
        let flags = access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match retry(|| nix::fcntl::open(&*path, flags, Mode::empty())) {
            Ok(fd) => Ok(Some(self.nonblocking.get_or_init(|| fd))),
            // A writer whose reader is gone cannot be opened; a write would have said the same.
            Err(Errno::ENXIO) => Err(Errno::EPIPE),
            // This process lacks the permission to open it; or `/proc` is not mounted.
            Err(Errno::EACCES | Errno::EPERM | Errno::ENOENT) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn wait_ready(&self, events: PollFlags, deadline: &Deadline) -> Result<()> {
        sys::ready(&self.object, self.fd.as_fd(), events, Some(deadline))
    }

    fn set_nonblocking(&self, nonblocking: bool) -> Result<()> {
        let error = |errno| Error::system(&*self.object, "fcntl", errno);
        let mut flags = OFlag::from_bits_retain(fcntl(&self.fd, FcntlArg::F_GETFL).map_err(error)?);
        flags.set(OFlag::O_NONBLOCK, nonblocking);
        fcntl(&self.fd, FcntlArg::F_SETFL(flags)).map_err(error)?;
        Ok(())
    }

    fn capacity(&self) -> Result<usize> {
        fcntl(&self.fd, FcntlArg::F_GETPIPE_SZ)
            .map(|bytes| bytes.unsigned_abs() as usize)
            .map_err(|errno| Error::system(&*self.object, "fcntl", errno))
    }

    fn set_capacity(&self, bytes: usize) -> Result<usize> {
        let out_of_range = |most: usize| Error::OutOfRange {
            object: self.object.to_string(),
            quantity: "capacity in bytes",
            given: bytes as u64,
            least: 1,
            most: most as u64,
        };
        // The kernel counts in an `int`, and would take 0 for one page.
        let size = match i32::try_from(bytes) {
            Ok(size @ 1..) => size,
            _ => return Err(out_of_range(capacity_limit()?)),
        };
        match fcntl(&self.fd, FcntlArg::F_SETPIPE_SZ(size)) {
            Ok(became) => Ok(became.unsigned_abs() as usize),
            Err(errno @ (Errno::EPERM | Errno::EINVAL | Errno::ENOMEM)) => {
                match capacity_limit()? {
                    most if bytes > most => Err(out_of_range(most)),
                    _ => Err(Error::system(&*self.object, "fcntl(F_SETPIPE_SZ)", errno)),
                }
            }
            Err(errno) => Err(Error::system(&*self.object, "fcntl(F_SETPIPE_SZ)", errno)),
        }
    }
}

/// Moves up to `length` bytes from one pipe to another without waiting for bytes or for room. 0 is the end of
/// what `from` has.
fn splice(from: &OwnedFd, to: &OwnedFd, length: usize) -> nix::Result<usize> {
    let (none, flags) = (std::ptr::null_mut(), libc::SPLICE_F_NONBLOCK);
    sys::retry_libc(|| {
        // SAFETY: both descriptors are open, and no memory is passed.
        unsafe { libc::splice(from.as_raw_fd(), none, to.as_raw_fd(), none, length, flags) }
    })
    .map(isize::unsigned_abs)
}

fn is_fifo(fd: impl AsFd) -> nix::Result<bool> {
    Ok(SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT == SFlag::S_IFIFO)
}
