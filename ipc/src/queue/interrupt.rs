//! A time limit for system calls that have none: a timer whose signal interrupts the calling thread.
//!
//! `msgsnd` and `msgrcv` wait for ever or not at all. What ends them early is a signal: they are never
//! restarted after a handler has run, whatever its flags say (signal(7)). So a wait with a limit is a
//! blocking call under a timer that is aimed at the thread (`SIGEV_THREAD_ID`). The thread sleeps until a
//! message or the timer comes: nothing is polled, and a message wakes it at once. Trying again and
//! again with `IPC_NOWAIT` would need no signal, but would find a message up to a whole interval late, or
//! burn the processor.
//!
//! The classic flaw of this design, a signal that comes just before the thread has gone to sleep and so
//! interrupts nothing, is met by a timer that keeps firing: the wait ends one period late at most. And
//! a timer's signal left over must not hit the caller's next system call: it is taken off before the
//! caller's mask is restored.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;

use crate::error::{Error, Result};
use crate::sys::{Deadline, timespec};

/// How often the timer fires again once the time has passed.
const PERIOD: Duration = Duration::from_millis(5);

/// Repeats `call`, which may block without a limit, until it succeeds, fails, or the time has passed.
pub(super) fn call_until<T>(
    deadline: &Deadline,
    object: &str,
    mut call: impl FnMut() -> nix::Result<T>,
) -> Result<nix::Result<T>> {
    let timer = Timer::start(deadline.left())
        .map_err(|(call, errno)| Error::system(object, call, errno))?;
    let result = loop {
        match call() {
            // This signal or another one: the clock knows.
            Err(Errno::EINTR) if deadline.left().is_zero() => break Err(deadline.passed(object)),
            Err(Errno::EINTR) => {}
            result => break Ok(result),
        }
    };
    drop(timer);
    result
}

/// A running timer that signals the thread that started it. It must be dropped by the same thread.
struct Timer {
    id: libc::timer_t,
    signal: libc::c_int,
    /// The thread's mask as it was.
    mask: libc::sigset_t,
}

impl Timer {
    fn start(after: Duration) -> std::result::Result<Self, (&'static str, Errno)> {
        let signal = claim_signal()?;
        // SAFETY: all bytes zero are a valid sigevent, which is integers and a pointer-sized union.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        // SAFETY: gettid takes nothing and always succeeds.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut id = std::ptr::null_mut();
        // SAFETY: `event` and `id` live through the call.
        let made =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) };
        if made == -1 {
            return Err(("timer_create", Errno::last()));
        }
        let mask = change_mask(libc::SIG_UNBLOCK, &set_of(signal));
        let timer = Self { id, signal, mask };
        // Zero would stop the timer instead of letting it fire at once.
        let first = after.max(Duration::from_nanos(1)).min(Duration::from_secs(1 << 31));
        let times = libc::itimerspec {
            it_interval: *timespec(PERIOD).as_ref(),
            it_value: *timespec(first).as_ref(),
        };
        // SAFETY: the timer exists, `times` lives through the call; the old times are not asked for.
        match unsafe { libc::timer_settime(id, 0, &raw const times, std::ptr::null_mut()) } {
            -1 => Err(("timer_settime", Errno::last())),
            _ => Ok(timer),
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let own = set_of(self.signal);
        change_mask(libc::SIG_BLOCK, &own);
        // SAFETY: the timer was made by `start`, and is deleted once.
        unsafe { libc::timer_delete(self.id) };
        let none = timespec(Duration::ZERO);
        // SAFETY: set and time live through the calls; nobody asks what was taken off.
        while unsafe { libc::sigtimedwait(&raw const own, std::ptr::null_mut(), none.as_ref()) }
            != -1
        {}
        change_mask(libc::SIG_SETMASK, &self.mask);
    }
}

/// Does nothing: that it runs is what interrupts the system call.
extern "C" fn interrupt(_: libc::c_int) {}

/// The signal that is ours, with [`interrupt`] as its handler.
///
/// It is the highest real-time signal that nobody handles or ignores at the first use. It is
/// looked at anew each time, since with another's disposition "ignore" a wait would never end.
fn claim_signal() -> std::result::Result<libc::c_int, (&'static str, Errno)> {
    static CLAIMED: Mutex<Option<libc::c_int>> = Mutex::new(None);
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);
    let handler = interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t;
    if let Some(signal) = *claimed
        && disposition(signal)? == handler
    {
        return Ok(signal);
    }
    for signal in (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev() {
        if disposition(signal)? != libc::SIG_DFL {
            continue;
        }
        // SAFETY: all bytes zero are a valid sigaction: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler;
        // Calls of the program that can be restarted are not to fail because of us. Those on System V
        // queues are never restarted.
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` lives through the call, and the handler touches nothing, so that it may run
        // at any moment.
        if unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } == -1 {
            return Err(("sigaction", Errno::last()));
        }
        *claimed = Some(signal);
        return Ok(signal);
    }
    Err(("sigaction", Errno::EBUSY))
}

fn disposition(
    signal: libc::c_int,
) -> std::result::Result<libc::sighandler_t, (&'static str, Errno)> {
    // SAFETY: all bytes zero are a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: `action` lives through the call, which only reads the disposition.
    match unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut action) } {
        -1 => Err(("sigaction", Errno::last())),
        _ => Ok(action.sa_sigaction),
    }
}

fn set_of(signal: libc::c_int) -> libc::sigset_t {
    // SAFETY: all bytes zero are valid bits of a set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` lives through the calls, and the number is one of the kernel's signals.
    unsafe {
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
    }
    set
}

/// Changes the mask of this thread, and returns the old one.
fn change_mask(how: libc::c_int, set: &libc::sigset_t) -> libc::sigset_t {
    // SAFETY: all bytes zero are valid bits of a set.
    let mut old: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: both sets live through the call, which fails for a wrong `how` alone.
    unsafe { libc::pthread_sigmask(how, set, &raw mut old) };
    old
}
