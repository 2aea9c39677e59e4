//! What a session needs of a connected byte stream, and sockets as such a stream.

use crate::session::{Session, Step};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::sendfile;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// A connected byte stream.
///
/// Every method either moves bytes or says [`io::ErrorKind::WouldBlock`]; whether it waits in between is
/// the transport's own business, and is all that sets a blocking stream apart.
pub trait Transport {
    /// Reads what has arrived; 0 is the end of what the client sends.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Reads likewise, but does not wait beyond `deadline`.
    fn read_before(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let _ = deadline; // a stream that never waits has nothing to do for it
        self.read(buffer)
    }

    /// Writes some of `bytes`; with `more`, the stream may hold them back until the rest comes.
    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize>;

    /// Writes some of the `length` bytes of `file` at `offset`, which moves on; 0 means that the file
    /// ends there.
    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize>;

    /// Ends what is written; reading goes on. A transport that has taken bytes over and not sent them yet
    /// would block.
    fn finish(&mut self) -> io::Result<()>;
}

/// A direction of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end of stream.
    Read,
    /// Room to write.
    Write,
}

/// The most that one call of sendfile is asked for, so that a deadline is looked at now and then.
const SEND_FILE_CHUNK: u64 = 4 << 20;

/// A TCP socket, in whichever mode it is.
#[derive(Debug)]
pub struct Socket<'a>(pub &'a TcpStream);

impl Transport for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (copied, _) = recv(self.0, buffer, RecvFlags::empty())?;
        Ok(copied)
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let more = if more { SendFlags::MORE } else { SendFlags::empty() };
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL | more)?)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        Ok(sendfile(self.0, file, Some(offset), length.min(SEND_FILE_CHUNK) as usize)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }
}

/// A blocking TCP socket: its calls wait, at most for the socket's own time-out.
#[derive(Debug)]
struct BlockingSocket<'a>(Socket<'a>);

impl Transport for BlockingSocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn read_before(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        if wait(self.0.0, Interest::Read, deadline)? {
            self.0.read(buffer)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        self.0.write(bytes, more)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        self.0.send_file(file, offset, length)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.finish()
    }
}

/// Holds one conversation from beginning to end over a blocking socket, on the calling thread.
///
/// The socket's own time-outs bring every waiting call back now and then, so that the session's
/// deadline is looked at; [`crate::Incoming`] has set them.
pub fn converse(session: Session, socket: &TcpStream) {
    converse_watched(session, socket, |_| {});
}

/// Holds one conversation likewise, and has `watch` look at the session whenever it has gone as far as it
/// could: at least once after every request that was not followed by another at once.
pub fn converse_watched(mut session: Session, socket: &TcpStream, mut watch: impl FnMut(&Session)) {
    let mut transport = BlockingSocket(Socket(socket));
    session.begin_exclusive_worker();
    loop {
        let step = session.advance(&mut transport);
        watch(&session);
        match step {
            // Whose request is here already goes first. When this thread runs again its next request has often come,
            // too, so there is no need to sleep and be woken.
            Step::Idle => rustix::thread::sched_yield(),
            Step::Yield => {}
            Step::Offload(job) => session.resume(job.run()),
            Step::Wait(interest) => {
                if !wait(socket, interest, session.deadline()).unwrap_or(false) {
                    session.expire();
                }
            }
            Step::Closed => return session.end_exclusive_worker(),
        }
    }
}

/// Waits until `socket` is ready; gives whether it came to that before `deadline`.
pub(crate) fn wait(socket: &impl AsFd, interest: Interest, deadline: Instant) -> io::Result<bool> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
    };
    loop {
        let left = timespec(deadline.saturating_duration_since(Instant::now()));
        match poll(&mut [PollFd::new(socket, flags)], Some(&left)) {
            Ok(ready) => return Ok(ready > 0),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Converts for poll, which takes whole seconds and nanoseconds.
pub(crate) fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: duration.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
