//! To read, and to run a command, but not for ever.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{self, SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{self, ForkResult, Pid};
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a command that has been asked to end may take over it.
pub const GRACE: Duration = Duration::from_millis(300);

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It ended in time, with this code.
    Exit(i32),
    /// It was killed in time, by this signal, and not by us.
    Killed(i32),
    /// It had to be ended.
    TimedOut,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Exit(code) => write!(f, "exit {code}"),
            Outcome::Killed(signal) => write!(f, "killed {signal}"),
            Outcome::TimedOut => write!(f, "timed out"),
        }
    }
}

/// As alarm(2), which counts in whole seconds: sends SIGALRM to this process after this time, once, instead of what was
/// to ring before. With `Duration::ZERO` nothing will ring any more.
pub fn alarm(after: Duration) -> io::Result<()> {
    ring(after, Duration::ZERO)
}

/// The same, and then again and again, every so often.
pub fn ring(after: Duration, every: Duration) -> io::Result<()> {
    let time = |time: Duration| libc::timeval {
        tv_sec: time.as_secs() as libc::time_t,
        tv_usec: time.subsec_micros().into(),
    };
    let timer = libc::itimerval { it_value: time(after), it_interval: time(every) };
    // SAFETY: `timer` lives through the call, and nobody asks for the one before.
    Ok(Errno::result(unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) })
        .map(drop)?)
}

/// Reads from standard input, as read(2) does, if something comes within `limit`, which is not zero. `None`: it was too
/// late. Other signals change nothing. No alarm is left that could ring later.
pub fn read_in_time(buffer: &mut [u8], limit: Duration) -> io::Result<Option<usize>> {
    // hole: read
    // With an alarm: what if it rings before you read? And if the line came in time: who stops the alarm?
    let _ = (buffer, limit);
    todo!("read, but not for ever")
}

/// Runs `work` in a process of its own, but not for longer than `limit`.
pub fn run(limit: Duration, work: impl FnOnce() -> i32) -> io::Result<Outcome> {
    let child = begin(work)?;
    match wait_in_time(child, limit)? {
        Some(outcome) => Ok(outcome),
        None => {
            end(child)?;
            Ok(Outcome::TimedOut)
        }
    }
}

/// Begins a child, in a process group of its own, that does `work` and ends with the code that it gives. Whatever this
/// program does with signals, in the child none is blocked and each has its default action.
fn begin(work: impl FnOnce() -> i32) -> io::Result<Pid> {
    // hole: begin
    // What does a child inherit of its parent's signals? And what remains of it after exec?
    let _ = work;
    todo!("a child with a group of its own, and with signals as they were in the beginning")
}

/// Waits for this child and says what became of it; `None` if it still runs when `limit` has passed. Whatever other
/// signals come, and however many: it is no error, and the limit stays where it is.
fn wait_in_time(child: Pid, limit: Duration) -> io::Result<Option<Outcome>> {
    // hole: wait-in-time
    // If a signal interrupts your call: has the child ended? Is the time over? How much of it is left?
    let _ = (child, limit);
    todo!("wait for the child, but not for ever")
}

/// Ends a child and all that it has started: asks its group with SIGTERM, gives the child [`GRACE`] to end in order, and then kills
/// whatever is left. No zombie stays.
fn end(child: Pid) -> io::Result<()> {
    // hole: end
    // Who is asked first? Who else has the command started? What if it does not want to end?
    let _ = child;
    todo!("end the whole group, politely first")
}
