//! To read, and to run a command, but not for ever.

// lab:canary dunlin-07-limit
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

/// As alarm(2), which counts in whole seconds: sends SIGALRM to this process once, after this time, in place of an alarm that was
/// set before. `Duration::ZERO` cancels the alarm.
pub fn alarm(after: Duration) -> io::Result<()> {
    set_timer(after, Duration::ZERO)
}

/// The same, and then again after each interval `every`.
pub fn set_timer(after: Duration, every: Duration) -> io::Result<()> {
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
/// late. Other signals change nothing. No alarm is left that could expire later.
pub fn read_in_time(buffer: &mut [u8], limit: Duration) -> io::Result<Option<usize>> {
    // lab:hole read
    static EXPIRED: AtomicBool = AtomicBool::new(false);
    extern "C" fn on_alarm(_: libc::c_int) {
        EXPIRED.store(true, Ordering::Relaxed);
    }
    let action = SigAction::new(SigHandler::Handler(on_alarm), SaFlags::empty(), SigSet::empty());
    // The alarm may expire before the read begins: blocked, the signal stays pending until then.
    let before = SigSet::from(Signal::SIGALRM).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    // SAFETY: the handler stores into an atomic.
    unsafe { signal::sigaction(Signal::SIGALRM, &action) }?;
    EXPIRED.store(false, Ordering::Relaxed);
    let mut wait_mask = before;
    wait_mask.remove(Signal::SIGALRM);
    alarm(limit)?;
    let stdin = io::stdin();
    let outcome = loop {
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, None, Some(wait_mask)) {
            Ok(_) => break unistd::read(&stdin, buffer).map(Some),
            Err(Errno::EINTR) if EXPIRED.load(Ordering::Relaxed) => break Ok(None),
            Err(Errno::EINTR) => {}
            Err(error) => break Err(error),
        }
    };
    alarm(Duration::ZERO)?;
    before.thread_set_mask()?;
    Ok(outcome?)
    // lab:stub // With an alarm: what if it expires before you read? And if the line came in time: who stops the alarm?
    // lab:stub let _ = (buffer, limit);
    // lab:stub todo!("read, but not for ever")
    // lab:end
}

/// Runs `work` in a process of its own, but not for longer than `limit`.
pub fn run(limit: Duration, work: impl FnOnce() -> i32) -> io::Result<Outcome> {
    let child = spawn(work)?;
    match wait_in_time(child, limit)? {
        Some(outcome) => Ok(outcome),
        None => {
            terminate(child)?;
            Ok(Outcome::TimedOut)
        }
    }
}

/// Starts a child, in a process group of its own, that does `work` and exits with the code that it returns. Whatever this
/// program does with signals, in the child none is blocked and each has its default action.
fn spawn(work: impl FnOnce() -> i32) -> io::Result<Pid> {
    // lab:hole spawn
    // No signal is to meet a handler of this program's in the child.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: this process has one thread, so the child may do whatever it could.
    let forked = unsafe { unistd::fork() };
    if let Ok(ForkResult::Child) = forked {
        let _ = unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
        for signal in Signal::iterator() {
            // SAFETY: no handler is installed. For SIGKILL and SIGSTOP it is refused, and needless.
            let _ = unsafe { signal::signal(signal, SigHandler::SigDfl) };
        }
        let _ = SigSet::empty().thread_set_mask();
        let code = work();
        // SAFETY: it takes a number and does not return.
        unsafe { libc::_exit(code) }
    }
    before.thread_set_mask()?;
    match forked? {
        ForkResult::Parent { child } => {
            // Whichever of the two comes first: when this returns, the group is there.
            let _ = unistd::setpgid(child, child);
            Ok(child)
        }
        ForkResult::Child => unreachable!("it has ended"),
    }
    // lab:stub // What does a child inherit of its parent's signals? And what remains of it after exec?
    // lab:stub let _ = work;
    // lab:stub todo!("a child with a group of its own, and with signals as they were in the beginning")
    // lab:end
}

/// Waits for this child and says what became of it; `None` if it still runs when `limit` has passed. Whatever other
/// signals come, and however many: it is no error, and the limit stays where it is.
fn wait_in_time(child: Pid, limit: Duration) -> io::Result<Option<Outcome>> {
    // lab:hole wait-in-time
    let deadline = Instant::now() + limit;
    // Blocked, SIGCHLD is kept until sigtimedwait takes it. So none is lost between the look and the wait.
    let ended = SigSet::from(Signal::SIGCHLD);
    let before = ended.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let outcome = loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(_, code)) => break Ok(Some(Outcome::Exit(code))),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                break Ok(Some(Outcome::Killed(signal as i32)));
            }
            Ok(_) => {}
            Err(error) => break Err(error),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break Ok(None);
        }
        let left = libc::timespec {
            tv_sec: left.as_secs() as libc::time_t,
            tv_nsec: left.subsec_nanos().into(),
        };
        // Why it returns does not matter: the child has ended, time is over, or another signal came.
        // SAFETY: the set and the time live through the call, and nobody asks for details.
        unsafe { libc::sigtimedwait(ended.as_ref(), std::ptr::null_mut(), &left) };
    };
    before.thread_set_mask()?;
    Ok(outcome?)
    // lab:stub // If a signal interrupts your call: has the child ended? Is the time over? How much of it is left?
    // lab:stub let _ = (child, limit);
    // lab:stub todo!("wait for the child, but not for ever")
    // lab:end
}

/// Ends a child and all that it has started: asks its group with SIGTERM, gives the child [`GRACE`] to end in order, and then kills
/// whatever is left. No zombie stays.
fn terminate(child: Pid) -> io::Result<()> {
    // lab:hole terminate
    // Errors say that nobody is left in the group, which is just what is wanted.
    let _ = signal::killpg(child, Signal::SIGTERM);
    let ended = wait_in_time(child, GRACE)?;
    let _ = signal::killpg(child, Signal::SIGKILL);
    while ended.is_none() {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
    Ok(())
    // lab:stub // Who is asked first? Who else has the command started? What if it does not want to end?
    // lab:stub let _ = child;
    // lab:stub todo!("end the whole group, politely first")
    // lab:end
}
