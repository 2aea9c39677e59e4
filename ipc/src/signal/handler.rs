//! What a signal does to the process: run a handler, nothing, or the default.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{Signal, source};
use crate::error::{Error, Result};
use crate::sys::{self, Deadline, Owner, retry};

/// What the handler of one signal shares with its owner.
struct Slot {
    /// A [`Handler`] or [`Disposition`] for this signal exists.
    taken: AtomicBool,
    /// How often the handler ran.
    runs: AtomicU64,
    /// The eventfd to write to, or -1.
    wake: AtomicI32,
    /// The number of threads that are in the handler at this moment, and may be using `wake`.
    inside: AtomicU32,
}

static SLOTS: [Slot; 65] = [const {
    Slot {
        taken: AtomicBool::new(false),
        runs: AtomicU64::new(0),
        wake: AtomicI32::new(-1),
        inside: AtomicU32::new(0),
    }
}; 65];

/// The handler itself: atomics and `write`, both async-signal-safe, and `errno` as it was.
extern "C" fn handle(signal: c_int) {
    let Some(slot) = usize::try_from(signal).ok().and_then(|signal| SLOTS.get(signal)) else {
        return;
    };
    // SAFETY: the C library gives every thread an `errno` of its own, valid while the thread runs.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    slot.inside.fetch_add(1, SeqCst);
    slot.runs.fetch_add(1, SeqCst);
    let wake = slot.wake.load(SeqCst);
    if wake >= 0 {
        // SAFETY: eight bytes of a live number are passed; the descriptor is not closed while `inside`
        // counts this thread. A full counter gives EAGAIN, which changes nothing: it is readable.
        unsafe { libc::write(wake, (&raw const ONE).cast(), size_of_val(&ONE)) };
    }
    slot.inside.fetch_sub(1, SeqCst);
    // SAFETY: as above.
    unsafe { *errno = before };
}

static ONE: u64 = 1;

/// A handler that counts, and wakes whoever waits for the signal.
///
/// It restores what the signal did before when it is dropped. The descriptor of [`AsFd`] is readable while
/// there are signals that [`wait`](Self::wait) has not reported: this is the self-pipe of D. J. Bernstein, made of an
/// eventfd, so that a poller can wait for signals and sockets alike.
///
/// Its drop first takes back the notifications of queues that would send the signal, unless another value of the
/// process receives it, as with [`SignalFd`](super::SignalFd).
///
/// After a `fork` without `exec` both processes share the descriptor, and each wakes the other.
///
/// ```
/// use ipc::signal::{Handler, Signal, raise};
///
/// let handler = Handler::new(Signal::WINCH)?;
/// raise(Signal::WINCH)?;
/// raise(Signal::WINCH)?;
/// assert_eq!(handler.wait()?, 2);
/// assert_eq!(handler.count(), 2);
/// # Ok::<(), ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Handler {
    // Dropped first: nobody may run the handler when the descriptor is closed.
    disposition: Disposition,
    wake: EventFd,
}

impl Handler {
    /// Installs it so that system calls interrupted by the signal go on (`SA_RESTART`), as far as the kernel
    /// can do that.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]: `SIGKILL` or `SIGSTOP`; or `SIGSEGV`, `SIGBUS`, `SIGFPE` or `SIGILL`, after which the
    /// instruction at fault would just run again. [`Error::Unusable`]: this process has a [`Handler`] or
    /// [`Disposition`] for the signal already. [`Error::Limit`]: too many open files (`eventfd`).
    pub fn new(signal: Signal) -> Result<Self> {
        Self::with_flags(signal, libc::SA_RESTART)
    }

    /// Installs it so that interrupted system calls fail with `EINTR`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn interrupting(signal: Signal) -> Result<Self> {
        Self::with_flags(signal, 0)
    }

    fn with_flags(signal: Signal, flags: c_int) -> Result<Self> {
        if [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL].contains(&signal.number()) {
            let (name, kind) = (signal.to_string(), "signal to handle");
            let reason = "the instruction at fault would run again, without end";
            return Err(Error::InvalidName { name, kind, reason });
        }
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| Error::system(signal.to_string(), "eventfd", errno))?;
        let handle = handle as extern "C" fn(c_int) as libc::sighandler_t;
        let disposition = Disposition::new(signal, "signal to handle", handle, flags, |slot| {
            slot.runs.store(0, SeqCst);
            slot.wake.store(wake.as_raw_fd(), SeqCst);
        })?;
        source::add_receiver(signal.into());
        Ok(Self { disposition, wake })
    }

    /// How often the handler ran since it was installed.
    ///
    /// That can be less often than the signal was sent: standard signals do not queue.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.disposition.slot().runs.load(SeqCst)
    }

    /// Waits until the handler has run, and returns how often it did since the last call.
    ///
    /// # Errors
    ///
    /// [`Error::System`]: `read`.
    pub fn wait(&self) -> Result<u64> {
        self.wait_until(None)
    }

    /// As [`wait`](Self::wait), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: it did not run.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u64> {
        self.wait_until(Some(Deadline::monotonic(timeout)))
    }

    /// The signal that it handles.
    #[must_use]
    pub fn signal(&self) -> Signal {
        self.disposition.signal
    }

    fn wait_until(&self, deadline: Option<Deadline>) -> Result<u64> {
        loop {
            match retry(|| self.wake.read()) {
                Ok(runs) => return Ok(runs),
                Err(Errno::EAGAIN) => sys::ready(
                    &self.signal().to_string(),
                    self.wake.as_fd(),
                    PollFlags::POLLIN,
                    deadline.as_ref(),
                )?,
                Err(errno) => return Err(Error::system(self.signal().to_string(), "read", errno)),
            }
        }
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        // Not in a forked copy, which has requested nothing.
        if self.disposition.owner.is_here() {
            source::remove_receiver(self.signal().into());
        }
    }
}

impl AsFd for Handler {
    /// Readable while [`Handler::wait`] would not wait.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// Ignores `signal` for as long as the guard lives.
///
/// Ignoring `SIGCHLD` also means that ended children are not kept as zombies, and that nobody can wait for
/// their exit status. A program that is started meanwhile ignores the signal as well.
///
/// # Errors
///
/// [`Error::InvalidName`]: `SIGKILL` or `SIGSTOP`. [`Error::Unusable`]: this process has a [`Handler`] or
/// [`Disposition`] for the signal already.
///
/// ```
/// use ipc::signal::{Signal, ignore, raise};
///
/// let ignored = ignore(Signal::TERM)?;
/// raise(Signal::TERM)?;
/// // Still here. From the end of this scope, SIGTERM ends the process again.
/// # Ok::<(), ipc::Error>(())
/// ```
pub fn ignore(signal: Signal) -> Result<Disposition> {
    Disposition::new(signal, "signal to ignore", libc::SIG_IGN, 0, |_| ())
}

/// Lets `signal` have its default effect for as long as the guard lives.
///
/// With `SIGPIPE`, which Rust ignores, a program ends quietly when its output is no longer read, as the
/// shell's tools do.
///
/// # Errors
///
/// As [`ignore`].
pub fn default(signal: Signal) -> Result<Disposition> {
    Disposition::new(signal, "signal to change", libc::SIG_DFL, 0, |_| ())
}

/// What a signal does, until this guard is dropped; then it does again what it did before.
#[must_use = "it is undone at once when it is dropped"]
pub struct Disposition {
    signal: Signal,
    /// What to restore; nothing after [`keep`](Self::keep).
    before: Option<libc::sigaction>,
    owner: Owner,
}

impl Disposition {
    fn new(
        signal: Signal,
        kind: &'static str,
        action: libc::sighandler_t,
        flags: c_int,
        prepare: impl FnOnce(&Slot),
    ) -> Result<Self> {
        signal.check_changeable(kind)?;
        let mut new = Self { signal, before: None, owner: Owner::here() };
        if new.slot().taken.swap(true, SeqCst) {
            std::mem::forget(new); // its drop would free what somebody else has taken
            let reason = "this process has a guard for it already";
            return Err(Error::unusable(signal.to_string(), reason));
        }
        prepare(new.slot());
        // SAFETY: `sigaction` consists of numbers, for which all zeroes are valid: no flags, an empty mask.
        let mut wanted: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        wanted.sa_sigaction = action;
        wanted.sa_flags = flags;
        let mut before = MaybeUninit::uninit();
        // SAFETY: `wanted` is initialised; its action is one of the two constants or `handle`, which is
        // async-signal-safe; the call writes `before`.
        if unsafe { libc::sigaction(signal.number(), &wanted, before.as_mut_ptr()) } != 0 {
            return Err(Error::last(signal.to_string(), "sigaction"));
        }
        // SAFETY: the call succeeded, so it has written what was there before.
        new.before = Some(unsafe { before.assume_init() });
        Ok(new)
    }

    fn slot(&self) -> &'static Slot {
        &SLOTS[self.signal.number().unsigned_abs() as usize]
    }

    /// Leaves it so for the rest of the process's life, or until another guard changes it.
    pub fn keep(mut self) {
        self.before = None;
    }
}

impl Drop for Disposition {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: this is what the kernel gave for the same signal.
            unsafe { libc::sigaction(self.signal.number(), before, ptr::null_mut()) };
        }
        let slot = self.slot();
        slot.wake.store(-1, SeqCst);
        // A thread that entered the handler before still has the descriptor in hand. In a forked copy there are
        // no other threads, and one of the parent that was inside at the fork is counted forever.
        while self.owner.is_here() && slot.inside.load(SeqCst) > 0 {
            thread::yield_now();
        }
        slot.taken.store(false, SeqCst);
    }
}

impl std::fmt::Debug for Disposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Disposition").field("signal", &self.signal).finish_non_exhaustive()
    }
}
