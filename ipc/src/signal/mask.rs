//! Blocking signals, and waiting for blocked ones.

use std::cell::Cell;
use std::ffi::c_int;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;

use super::{Received, Signal};
use crate::error::{Error, Result};
use crate::sys::{Deadline, retry_libc, timespec};

/// A set of signals.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Signals(u64);

impl Signals {
    /// Every signal that can be blocked: all but `SIGKILL` and `SIGSTOP`.
    #[must_use]
    pub fn all() -> Self {
        (1..=libc::SIGRTMAX())
            .filter_map(|number| Signal::new(number).ok())
            .filter(|signal| signal.check_changeable("set").is_ok())
            .collect()
    }

    /// Whether `signal` belongs to it.
    #[must_use]
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & Self::bit(signal) != 0
    }

    /// The members, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        (1..=64).map(Signal).filter(move |signal| self.contains(*signal))
    }

    fn bit(signal: Signal) -> u64 {
        1 << (signal.number() - 1)
    }

    pub(super) fn to_sigset(self) -> libc::sigset_t {
        let mut set = MaybeUninit::uninit();
        // SAFETY: `sigemptyset` initialises the whole set; `sigaddset` then gets an initialised one and a
        // number that `Signal` has checked.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in self.iter() {
                libc::sigaddset(set.as_mut_ptr(), signal.number());
            }
            set.assume_init()
        }
    }

    fn from_sigset(set: &libc::sigset_t) -> Self {
        (1..=libc::SIGRTMAX())
            .filter_map(|number| Signal::new(number).ok())
            // SAFETY: the set is initialised, and the number is that of a signal.
            .filter(|signal| unsafe { libc::sigismember(set, signal.number()) } == 1)
            .collect()
    }

    pub(super) fn check_changeable(self, kind: &'static str) -> Result<Self> {
        self.iter().try_for_each(|signal| signal.check_changeable(kind).map(drop))?;
        Ok(self)
    }

    pub(super) fn describe(self) -> String {
        self.iter().map(|signal| signal.to_string()).collect::<Vec<_>>().join(" ")
    }
}

impl FromIterator<Signal> for Signals {
    fn from_iter<T: IntoIterator<Item = Signal>>(signals: T) -> Self {
        Self(signals.into_iter().fold(0, |set, signal| set | Self::bit(signal)))
    }
}

impl<const N: usize> From<[Signal; N]> for Signals {
    fn from(signals: [Signal; N]) -> Self {
        signals.into_iter().collect()
    }
}

impl From<Signal> for Signals {
    fn from(signal: Signal) -> Self {
        Self(Self::bit(signal))
    }
}

impl std::fmt::Debug for Signals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Signals that the calling thread does not take for as long as this lives.
///
/// What arrives meanwhile stays pending. There are two ways on from here, and neither has a gap in which a
/// signal could be missed (TLPI, sections 22.9 and 22.10):
///
/// - [`pause`](Self::pause) lets them in and waits, in one step, until a [`Handler`](super::Handler) ran.
///   So *block, check, pause, check again* is [`pause_until`](Self::pause_until).
/// - [`wait`](Self::wait) takes a pending signal out, without any handler.
///
/// Dropping it unblocks the signals, apart from those that another guard of this thread still blocks and those
/// that were blocked before the first guard. So the order in which guards are dropped does not matter, and a
/// change that the program makes to the rest of the mask stays. A signal that is pending at the drop then takes
/// its usual course: its handler runs, or it ends the process. To discard pending signals instead, take them
/// with [`try_wait`](Self::try_wait) first, or receive them with a [`SignalFd`](super::SignalFd), which discards
/// them at its drop.
///
/// The mask is inherited by threads and programs started meanwhile.
///
/// ```
/// use ipc::signal::{Blocked, Handler, Signal, raise};
///
/// let handler = Handler::new(Signal::USR2)?;
/// let blocked = Blocked::new([Signal::USR2])?;
/// assert_eq!(handler.count(), 0); // the check
/// raise(Signal::USR2)?; // too early for a plain `pause`, which would sleep for ever
/// blocked.pause()?;
/// assert_eq!(handler.count(), 1);
/// # Ok::<(), ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Blocked {
    signals: Signals,
    /// The mask is the thread's: the guard must not leave it.
    here: PhantomData<*const ()>,
}

impl Blocked {
    /// Blocks `signals` for the calling thread, in addition to what it blocks already.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]: `SIGKILL` or `SIGSTOP` is among them.
    pub fn new(signals: impl Into<Signals>) -> Result<Self> {
        let signals = signals.into().check_changeable("signal to block")?;
        let mut before = MaybeUninit::uninit();
        // SAFETY: the first set is initialised; the second is written by the call.
        let failed = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, &signals.to_sigset(), before.as_mut_ptr())
        };
        if failed != 0 {
            let errno = Errno::from_raw(failed);
            return Err(Error::system(signals.describe(), "pthread_sigmask", errno));
        }
        // SAFETY: the call succeeded, so it has written the mask of before.
        let before = Signals::from_sigset(unsafe { before.assume_init_ref() });
        HELD.with(|held| {
            for signal in signals.iter() {
                let held = &held[signal.number().unsigned_abs() as usize];
                if held.guards.replace(held.guards.get() + 1) == 0 {
                    held.blocked_before.set(before.contains(signal));
                }
            }
        });
        Ok(Self { signals, here: PhantomData })
    }

    /// The signals that are unblocked when this guard is dropped now.
    pub(super) fn released(&self) -> Signals {
        let released = |held: &Held| held.guards.get() == 1 && !held.blocked_before.get();
        HELD.with(|held| {
            let signals = self.signals.iter();
            signals
                .filter(|signal| released(&held[signal.number().unsigned_abs() as usize]))
                .collect()
        })
    }

    /// Waits until a handler of one of the blocked signals, or of another one, has run.
    ///
    /// Returns at once if such a signal is pending already. Signals that are ignored do not end it.
    ///
    /// # Errors
    ///
    /// None on Linux; [`Error::System`] is there for `sigsuspend`.
    pub fn pause(&self) -> Result<()> {
        // SAFETY: the mask is initialised; the call restores the present one before it returns.
        unsafe { libc::sigsuspend(&self.open_mask()?) };
        self.interrupted("sigsuspend")
    }

    /// As [`pause`](Self::pause), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: no handler ran.
    pub fn pause_timeout(&self, timeout: Duration) -> Result<()> {
        let deadline = Deadline::monotonic(timeout);
        let (left, mask) = (timespec(deadline.left()), self.open_mask()?);
        // SAFETY: no descriptors are passed, and the time and the mask are initialised.
        let ended = unsafe { libc::ppoll(ptr::null_mut(), 0, left.as_ref(), &mask) };
        if ended == 0 {
            return Err(deadline.passed(self.signals.describe()));
        }
        self.interrupted("ppoll")
    }

    /// Pauses until `condition` holds; does not pause if it holds already.
    ///
    /// # Errors
    ///
    /// As [`pause`](Self::pause).
    pub fn pause_until(&self, mut condition: impl FnMut() -> bool) -> Result<()> {
        while !condition() {
            self.pause()?;
        }
        Ok(())
    }

    /// Waits for one of the blocked signals and takes it; no handler runs.
    ///
    /// # Errors
    ///
    /// [`Error::System`]: `sigtimedwait`.
    pub fn wait(&self) -> Result<Received> {
        self.take_until(None)
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: none came.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Received> {
        self.take_until(Some(Deadline::monotonic(timeout)))
    }

    /// Takes a pending one, and does not wait.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`]: none is pending.
    pub fn try_wait(&self) -> Result<Received> {
        self.wait_timeout(Duration::ZERO).map_err(|error| match error {
            Error::TimedOut { object, .. } => Error::WouldBlock { object },
            error => error,
        })
    }

    /// Those of the blocked signals that wait to be delivered, to this thread or to the process.
    ///
    /// # Errors
    ///
    /// None on Linux; [`Error::System`] is there for `sigpending`.
    pub fn pending(&self) -> Result<Signals> {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the call writes the set.
        if unsafe { libc::sigpending(set.as_mut_ptr()) } != 0 {
            return Err(Error::last(self.signals.describe(), "sigpending"));
        }
        // SAFETY: the call succeeded, so it has written the set.
        let pending = Signals::from_sigset(unsafe { set.assume_init_ref() });
        Ok(Signals(pending.0 & self.signals.0))
    }

    /// The signals that this guard blocks.
    #[must_use]
    pub fn signals(&self) -> Signals {
        self.signals
    }

    /// The thread's mask without the signals of this guard, also those that were blocked before it.
    fn open_mask(&self) -> Result<libc::sigset_t> {
        let mut mask = MaybeUninit::uninit();
        // SAFETY: no set is given, so nothing is changed; the call writes the present mask.
        let failed =
            unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), mask.as_mut_ptr()) };
        if failed != 0 {
            let errno = Errno::from_raw(failed);
            return Err(Error::system(self.signals.describe(), "pthread_sigmask", errno));
        }
        // SAFETY: the call succeeded, so it has written the mask.
        let mut mask = unsafe { mask.assume_init() };
        for signal in self.signals.iter() {
            // SAFETY: the set is initialised, and the number is that of a signal.
            unsafe { libc::sigdelset(&mut mask, signal.number()) };
        }
        Ok(mask)
    }

    /// `EINTR` is what these calls end with when all went well.
    fn interrupted(&self, call: &'static str) -> Result<()> {
        match Errno::last() {
            Errno::EINTR => Ok(()),
            errno => Err(Error::system(self.signals.describe(), call, errno)),
        }
    }

    fn take_until(&self, deadline: Option<Deadline>) -> Result<Received> {
        let set = self.signals.to_sigset();
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        let taken = retry_libc(|| match &deadline {
            // SAFETY: the set is initialised, and `info` has room for what the call writes.
            None => unsafe { libc::sigwaitinfo(&set, info.as_mut_ptr()) },
            Some(deadline) => {
                let left = timespec(deadline.left());
                // SAFETY: as above, and the time is initialised.
                unsafe { libc::sigtimedwait(&set, info.as_mut_ptr(), left.as_ref()) }
            }
        });
        match (taken, deadline) {
            (Ok(signal), _) => {
                // SAFETY: the call has filled `info` in, and it was all zeroes before. Of its unions only
                // numbers are read, for which any bytes are valid; `Received` uses those that apply.
                let (info, pid, uid, value) = unsafe {
                    let info = info.assume_init_ref();
                    let value = info.si_value();
                    (info, info.si_pid(), info.si_uid(), (&raw const value).cast::<c_int>().read())
                };
                Ok(Received::new(signal, info.si_code, pid, uid, value))
            }
            (Err(Errno::EAGAIN), Some(deadline)) => Err(deadline.passed(self.signals.describe())),
            (Err(errno), _) => Err(Error::system(self.signals.describe(), "sigtimedwait", errno)),
        }
    }
}

impl Drop for Blocked {
    fn drop(&mut self) {
        let released = self.released().to_sigset();
        HELD.with(|held| {
            for signal in self.signals.iter() {
                let guards = &held[signal.number().unsigned_abs() as usize].guards;
                guards.set(guards.get() - 1);
            }
        });
        // SAFETY: the set is initialised; the guard cannot leave its thread, whose mask this is.
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &released, ptr::null_mut()) };
    }
}

/// What the guards of one thread do to one signal.
///
/// A saved mask would do only for guards that are dropped in reverse order: in the other order, the mask that
/// the first guard restores unblocks what the second still blocks, and the mask of the second stays forever.
struct Held {
    guards: Cell<u32>,
    /// The thread blocked it before the first of the present guards.
    blocked_before: Cell<bool>,
}

thread_local! {
    // Without a destructor, so that guards in other thread-local values can still use it.
    static HELD: [Held; 65] = const {
        [const { Held { guards: Cell::new(0), blocked_before: Cell::new(false) } }; 65]
    };
}
