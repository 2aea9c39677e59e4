//! A time limit for system calls that have none: a timer whose signal interrupts the calling thread.
//!
//! `msgsnd` and `msgrcv` wait for ever or not at all. What ends them early is a signal: they are never
//! restarted after a handler has run, whatever its flags say (signal(7)). So a wait with a limit is a
//! blocking call under a timer that is aimed at the thread (`SIGEV_THREAD_ID`). The thread sleeps until a
//! message or the timer comes: nothing is polled, and a message wakes it at once.
//!
//! The classic flaw of this design, a signal that comes just before the thread has gone to sleep and so
//! interrupts nothing, is met by a timer that keeps firing: the wait ends one period late at most. And
//! a timer's signal left over must not hit the caller's next system call. The signal is one that the thread does
//! not block, so it arrives before the call that deletes the timer returns, and nothing is left over.
//!
//! A signal that the thread blocks may be one that the program receives, by a signalfd perhaps. It is never
//! unblocked here: the handler would take the program's signals. Where no signal or no timer is free, the wait
//! tries again and again without waiting (`IPC_NOWAIT`), which finds a message up to a whole pause late.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;

use crate::error::Result;
use crate::sys::{Deadline, backoff, pause, timespec};

/// How often the timer fires again once the time has passed.
const PERIOD: Duration = Duration::from_millis(5);

/// Repeats `call` with the flags that it is given until it succeeds, fails, or the time has passed.
pub(super) fn call_until<T>(
    deadline: &Deadline,
    object: &str,
    mut call: impl FnMut(libc::c_int) -> nix::Result<T>,
) -> Result<nix::Result<T>> {
    let Some(_timer) = Timer::start(deadline.left()) else {
        return poll_until(deadline, object, || call(libc::IPC_NOWAIT));
    };
    loop {
        match call(0) {
            // This signal or another one: the clock decides.
            Err(Errno::EINTR) if deadline.left().is_zero() => return Err(deadline.passed(object)),
            Err(Errno::EINTR) => {}
            result => return Ok(result),
        }
    }
}

/// As [`call_until`], for a `call` that does not wait.
fn poll_until<T>(
    deadline: &Deadline,
    object: &str,
    mut call: impl FnMut() -> nix::Result<T>,
) -> Result<nix::Result<T>> {
    let mut pauses = backoff(Duration::from_millis(1), Duration::from_millis(20));
    loop {
        // Read before the attempt, so that the last attempt comes after the deadline.
        let left = deadline.left();
        match call() {
            Err(Errno::EAGAIN | Errno::ENOMSG) if left.is_zero() => {
                return Err(deadline.passed(object));
            }
            Err(Errno::EAGAIN | Errno::ENOMSG) => {
                pause(pauses.next().unwrap_or_default().min(left));
            }
            Err(Errno::EINTR) => {}
            result => return Ok(result),
        }
    }
}

/// A running timer that signals the thread that started it. It must be dropped by the same thread.
struct Timer(libc::timer_t);

impl Timer {
    /// Nothing when no signal is free, or the kernel has no timer left for this user (`RLIMIT_SIGPENDING`).
    fn start(after: Duration) -> Option<Self> {
        // SAFETY: all bytes zero are a valid sigevent, which is integers and a pointer-sized union.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = claim_signal()?;
        // SAFETY: gettid takes nothing and always succeeds.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut id = std::ptr::null_mut();
        // SAFETY: `event` and `id` live through the call.
        let made =
            unsafe { libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut id) };
        if made == -1 {
            return None;
        }
        let timer = Self(id);
        // Zero would stop the timer instead of letting it fire at once.
        let first = after.max(Duration::from_nanos(1)).min(Duration::from_secs(1 << 31));
        let times = libc::itimerspec {
            it_interval: *timespec(PERIOD).as_ref(),
            it_value: *timespec(first).as_ref(),
        };
        // SAFETY: the timer exists, `times` lives through the call; the old times are not asked for.
        let set = unsafe { libc::timer_settime(id, 0, &raw const times, std::ptr::null_mut()) };
        (set == 0).then_some(timer)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: the timer was made by `start`, and is deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}

/// Does nothing: that it runs is what interrupts the system call.
extern "C" fn interrupt(_: libc::c_int) {}

/// The highest real-time signal that this thread does not block and whose handler is [`interrupt`], or whose
/// handler becomes [`interrupt`] now because the signal had its default action.
///
/// It is looked at each time, since with another's disposition "ignore" a wait would never end.
fn claim_signal() -> Option<libc::c_int> {
    static CLAIMING: Mutex<()> = Mutex::new(());
    let _claiming = CLAIMING.lock().unwrap_or_else(PoisonError::into_inner);
    let handler = interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t;
    // SAFETY: all bytes zero are valid bits of a set.
    let mut blocked: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: no set is given, so nothing changes; `blocked` lives through the call.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut blocked) };
    (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev().find(|&signal| {
        // SAFETY: `blocked` is initialised, and the number is one of the kernel's signals.
        if unsafe { libc::sigismember(&raw const blocked, signal) } == 1 {
            return false;
        }
        // SAFETY: all bytes zero are a valid sigaction: no flags, an empty mask.
        let (mut now, mut action): (libc::sigaction, libc::sigaction) =
            unsafe { std::mem::zeroed() };
        // SAFETY: `now` lives through the call, which only reads the disposition.
        if unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) } == -1
            || ![handler, libc::SIG_DFL].contains(&now.sa_sigaction)
        {
            return false;
        }
        action.sa_sigaction = handler;
        // Calls of the program that can be restarted are not to fail because of us. Those on System V
        // queues are never restarted.
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` lives through the call, and the handler touches nothing, so that it may run
        // at any moment.
        now.sa_sigaction == handler
            || unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } == 0
    })
}
