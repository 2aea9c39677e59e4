//! The driver of the blocking models: one session over one blocking socket, on the calling thread.

use crate::socket::Socket;
use crate::timeout::timeout_until;
use file_service::{Interest, Peer, Session, Step, Transport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::fs::File;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Holds one conversation from beginning to end over a blocking socket.
///
/// The socket's own timeouts, which [`crate::listen_for`] has set, make every blocking call return now and
/// then, so that the session's deadline is looked at.
pub fn serve_blocking(session: Session, socket: &TcpStream) {
    serve_blocking_with(session, socket, |_| {});
}

/// Holds one conversation like [`serve_blocking`], and calls `observe` whenever the session has gone as far
/// as it could: at least once after every request that is not followed by another at once.
pub fn serve_blocking_with(
    mut session: Session,
    socket: &TcpStream,
    mut observe: impl FnMut(&Session),
) {
    let mut transport = BlockingSocket { socket: Socket(socket), may_wait: true };
    session.begin_exclusive_worker();
    loop {
        let step = session.advance(&mut transport);
        observe(&session);
        match step {
            // A client whose request has arrived already goes first. When this thread runs again its own next
            // request has often arrived, too, so that it need not sleep and be woken.
            Step::Idle | Step::Yield => rustix::thread::sched_yield(),
            Step::Wait(interest) => {
                transport.may_wait = wait(socket, interest, session.deadline()).unwrap_or(false);
            }
            Step::Offload(job) => session.resume(job.run()),
            Step::Closed => return session.end_exclusive_worker(),
        }
    }
}

/// A blocking TCP socket: its calls wait, at most for the socket's own timeouts.
#[derive(Debug)]
struct BlockingSocket<'a> {
    socket: Socket<'a>,
    /// False past a deadline of the session, and after an interruption: then the next call only looks.
    may_wait: bool,
}

impl<'a> BlockingSocket<'a> {
    /// Makes a call that may wait, or only if it need not wait.
    fn attempt<R>(
        &mut self,
        interest: Interest,
        call: impl FnOnce(&mut Socket<'a>) -> io::Result<R>,
    ) -> io::Result<R> {
        if !std::mem::replace(&mut self.may_wait, true) && !self.is_ready(interest)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let outcome = call(&mut self.socket);
        // The process may have been stopped, until after the deadline.
        self.may_wait =
            !matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::Interrupted);
        outcome
    }

    fn is_ready(&self, interest: Interest) -> io::Result<bool> {
        Ok(is_ready(self.socket.0, interest, Some(&Timespec::default()))?)
    }
}

impl Transport for BlockingSocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.attempt(Interest::Read, |socket| socket.read(buffer))
    }

    fn read_before(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        if deadline <= Instant::now() {
            let (copied, _) = recv(self.socket.0, buffer, RecvFlags::DONTWAIT)?;
            Ok(copied)
        } else if wait(self.socket.0, Interest::Read, deadline)? {
            self.socket.read(buffer)
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        self.attempt(Interest::Write, |socket| socket.write(bytes, more))
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        self.attempt(Interest::Write, |socket| socket.send_file(file, offset, length))
    }

    fn ensure_room(&mut self) -> io::Result<()> {
        if self.is_ready(Interest::Write)? { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn unacknowledged(&mut self) -> Option<u64> {
        self.socket.unacknowledged()
    }

    fn peer(&mut self) -> Peer {
        self.socket.peer()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.socket.finish()
    }

    fn reset(&mut self) {
        self.socket.reset();
    }
}

/// Into how many waits the time until a deadline is divided: idle clients cost few wake-ups.
const PARTS: u32 = 16;

/// Waits until `socket` is ready; returns whether it is before `deadline`.
fn wait(socket: &impl AsFd, interest: Interest, deadline: Instant) -> io::Result<bool> {
    // When a stopped process goes on, the kernel resumes ppoll(2) with the time that was left before the stop. So each
    // wait is short compared with the whole.
    let whole = deadline.saturating_duration_since(Instant::now());
    let part = (whole / PARTS).max(Duration::from_millis(1));
    loop {
        let now = Instant::now();
        let until = deadline.min(now + part);
        match is_ready(socket, interest, timeout_until(until).as_ref()) {
            Err(Errno::INTR) => {}
            Ok(false) if now < deadline => {}
            outcome => return Ok(outcome?),
        }
    }
}

/// Waits until `socket` is ready; returns whether it is before `timeout` has passed.
fn is_ready(
    socket: &impl AsFd,
    interest: Interest,
    timeout: Option<&Timespec>,
) -> Result<bool, Errno> {
    let flags = match interest {
        Interest::Read => PollFlags::IN,
        Interest::Write => PollFlags::OUT,
        Interest::Job => PollFlags::empty(),
    };
    Ok(poll(&mut [PollFd::new(socket, flags)], timeout)? > 0)
}
