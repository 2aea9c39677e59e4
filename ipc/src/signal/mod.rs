//! Signals: a number sent to a process from outside.
//!
//! - **What it is**: the kernel marks a signal as pending for a process; when a thread of it next runs, the
//!   process dies, stops, goes on, does nothing, or runs a handler, as it has arranged.
//! - **Choose it** to end a process, to tell it one thing that needs no answer ("read your configuration
//!   again"), and to be told what only the kernel knows: a child ended, a timer ran out, the user pressed
//!   Ctrl-C. To move data, choose anything else.
//! - **Lifetime of its name**: a signal goes to a pid, and pids are used again. A [`PidFd`] is bound to
//!   one process for good.
//! - **When a peer dies**: sending to it gives [`Error::Closed`]. What it sent before still arrives.
//! - **Cost**: a system call to send, and an interruption of whatever the receiver does. A handler adds two
//!   switches into the kernel, a [`SignalFd`] one read.
//!
//! # What to know
//!
//! **Standard signals do not queue.** Ten `SIGUSR1` sent while it is blocked arrive as one. The real-time
//! signals ([`Signal::realtime`]) queue, carry a number ([`queue`]), and arrive in order. TLPI, chapters 20
//! to 22.
//!
//! **A handler interrupts at any instruction**, perhaps in the middle of `malloc`, so it may call next to
//! nothing (signal-safety(7)). Therefore no closure runs in a handler here: a [`Handler`] counts, and makes a
//! descriptor readable. The program reacts where it chooses to. The older way is a flag that the main loop
//! checks, and that way has a race: a signal between the check and the `pause` is slept through. [`Blocked`]
//! shows the cure.
//!
//! **Calls are interrupted.** While a handler installed by [`Handler::interrupting`] runs, a waiting system
//! call of the thread ends with `EINTR`. All calls of this library go on; other code may not. Some calls
//! are never resumed by the kernel itself, whatever the handler asks for (signal(7)).
//!
//! **The mask is inherited** by threads, over `fork`, and over `exec`; so are ignored signals, whereas
//! handlers fall back to the default at `exec`. A child started while `SIGTERM` is blocked cannot be ended
//! politely. So every change here is a guard, which takes its change back when it is dropped, in whatever order
//! guards are dropped: start children outside of it, or let the child restore its mask.
//!
//! **A pending signal takes its course when it is unblocked.** For most signals that is the end of the process.
//! A [`Blocked`] lets it: it only defers. A [`SignalFd`] receives, so its drop first takes back the
//! notifications that would send the signal, then discards what is pending, and unblocks last.
//!
//! **The mask belongs to a thread, a handler to the process.** A signal sent to a process goes to any thread
//! that does not block it. To wait for one, block it in the first thread before others are started.
//!
//! **Not everything can be caught.** `SIGKILL` and `SIGSTOP` are refused here with [`Error::InvalidName`]; the
//! kernel refuses to handle or ignore them, and silently does not block them.
//!
//! ```
//! use ipc::signal::{Blocked, Signal, raise};
//!
//! let blocked = Blocked::new([Signal::USR1])?;
//! raise(Signal::USR1)?; // stays pending
//! raise(Signal::USR1)?; // and is still one
//! assert_eq!(blocked.wait()?.signal, Signal::USR1);
//! assert!(blocked.try_wait().is_err());
//! # Ok::<(), ipc::Error>(())
//! ```

mod alarm;
mod descriptor;
mod handler;
mod mask;
mod send;
pub(crate) mod source;

pub use alarm::{alarm, alarm_cancel, alarm_every, alarm_left};
pub use descriptor::SignalFd;
pub use handler::{Disposition, Handler, default, ignore};
pub use mask::{Blocked, Signals};
pub use send::{PidFd, queue, raise, send, send_group};

use std::ffi::c_int;
use std::fmt;

use crate::error::{Error, Result};

/// One of the signals of this system: 1 to 31, or a real-time signal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(c_int);

impl Signal {
    /// The terminal is gone; servers read their configuration again.
    pub const HUP: Self = Self(libc::SIGHUP);
    /// Ctrl-C.
    pub const INT: Self = Self(libc::SIGINT);
    /// Ctrl-\, with a core dump.
    pub const QUIT: Self = Self(libc::SIGQUIT);
    /// Ends a process, without appeal.
    pub const KILL: Self = Self(libc::SIGKILL);
    /// Free for the application.
    pub const USR1: Self = Self(libc::SIGUSR1);
    /// Free for the application.
    pub const USR2: Self = Self(libc::SIGUSR2);
    /// Written into a pipe that nobody reads.
    pub const PIPE: Self = Self(libc::SIGPIPE);
    /// The timer of [`alarm`] ran out.
    pub const ALRM: Self = Self(libc::SIGALRM);
    /// Please end.
    pub const TERM: Self = Self(libc::SIGTERM);
    /// A child ended, stopped or went on.
    pub const CHLD: Self = Self(libc::SIGCHLD);
    /// Go on after a stop.
    pub const CONT: Self = Self(libc::SIGCONT);
    /// Stops a process, without appeal.
    pub const STOP: Self = Self(libc::SIGSTOP);
    /// Ctrl-Z.
    pub const TSTP: Self = Self(libc::SIGTSTP);
    /// Urgent data on a socket; ignored by default.
    pub const URG: Self = Self(libc::SIGURG);
    /// A descriptor with `O_ASYNC` became ready.
    pub const IO: Self = Self(libc::SIGIO);
    /// The terminal has another size; ignored by default.
    pub const WINCH: Self = Self(libc::SIGWINCH);

    /// The signal with this number.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: there is no such signal. [`Error::InvalidName`]: the C library keeps it to itself
    /// (32 and 33 with glibc).
    pub fn new(number: i32) -> Result<Self> {
        let most = u64::from(libc::SIGRTMAX().unsigned_abs());
        let given = u64::try_from(number).unwrap_or(0);
        Error::check_range("signal", "number", given, 1..=most)?;
        if number > 31 && number < libc::SIGRTMIN() {
            return Err(Error::InvalidName {
                name: number.to_string(),
                kind: "signal",
                reason: "the C library uses it for its threads",
            });
        }
        Ok(Self(number))
    }

    /// The real-time signal `SIGRTMIN + index`. Linux with glibc has 31 of them, the lowest is delivered first.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: there are not so many.
    pub fn realtime(index: u32) -> Result<Self> {
        let most = (libc::SIGRTMAX() - libc::SIGRTMIN()).unsigned_abs();
        Error::check_range("real-time signal", "index", index.into(), 0..=most.into())?;
        Ok(Self(libc::SIGRTMIN() + index.cast_signed()))
    }

    /// The number that the system calls take.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }

    /// Whether it queues and carries a number.
    #[must_use]
    pub fn is_realtime(self) -> bool {
        self.0 >= libc::SIGRTMIN()
    }

    /// Refuses the two that a process has no say about.
    fn check_changeable(self, kind: &'static str) -> Result<Self> {
        if self == Self::KILL || self == Self::STOP {
            let reason = "the kernel lets nobody catch, ignore or block it";
            return Err(Error::InvalidName { name: self.to_string(), kind, reason });
        }
        Ok(self)
    }
}

impl TryFrom<i32> for Signal {
    type Error = Error;

    fn try_from(number: i32) -> Result<Self> {
        Self::new(number)
    }
}

impl From<nix::sys::signal::Signal> for Signal {
    fn from(signal: nix::sys::signal::Signal) -> Self {
        Self(signal as c_int)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match nix::sys::signal::Signal::try_from(self.0) {
            Ok(standard) => f.pad(standard.as_str()),
            Err(_) => f.pad(&format!("SIGRTMIN+{}", self.0 - libc::SIGRTMIN())),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A signal that was taken by [`Blocked::wait`] or [`SignalFd::read`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Which one.
    pub signal: Signal,
    /// Why it came.
    pub cause: Cause,
    /// Who sent it, as the kernel vouches, or for [`Cause::Child`] the child; nobody for the kernel and its timers.
    /// 0 is a process outside of this one's pid namespace.
    pub sender: Option<Sender>,
    /// The number that [`queue`] sent along.
    pub value: Option<i32>,
}

/// The sender of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Its process.
    pub pid: i32,
    /// The real user of it.
    pub uid: u32,
}

/// Why a signal came: the field `si_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// [`send`], or `kill`.
    Sent,
    /// [`raise`], or another signal to a single thread.
    SentToThread,
    /// [`queue`].
    Queued,
    /// A child ended, stopped or went on.
    Child,
    /// The kernel itself: the terminal, [`alarm`], an error.
    Kernel,
    /// A POSIX timer.
    Timer,
    /// Something else; the code is in sigaction(2).
    Other(i32),
}

impl Received {
    /// From the fields that `siginfo_t` and `signalfd_siginfo` have in common.
    fn new(signal: c_int, code: c_int, pid: i32, uid: u32, value: c_int) -> Self {
        let signal = Signal(signal);
        let cause = match code {
            libc::SI_USER => Cause::Sent,
            libc::SI_TKILL => Cause::SentToThread,
            libc::SI_QUEUE => Cause::Queued,
            libc::SI_TIMER => Cause::Timer,
            libc::SI_KERNEL => Cause::Kernel,
            1.. if signal == Signal::CHLD => Cause::Child,
            other => Cause::Other(other),
        };
        let sent =
            matches!(cause, Cause::Sent | Cause::SentToThread | Cause::Queued | Cause::Child);
        Self {
            signal,
            cause,
            sender: sent.then_some(Sender { pid, uid }),
            value: (cause == Cause::Queued).then_some(value),
        }
    }
}
