//! The one real-time timer that every process has.

use std::mem::MaybeUninit;
use std::time::Duration;

use super::Signal;
use crate::error::{Error, Result};
use crate::sys::timeval;

/// Has the kernel send `SIGALRM` to this process once, `after` from now. Returns the time that was left of an
/// alarm set before, which this one replaces.
///
/// The default effect of `SIGALRM` is the end of the process. A process has one alarm; a child made by `fork`
/// has none, and a program started by `exec` inherits that of its process. The time is kept in
/// microseconds, and setting the clock does not change it. TLPI, section 23.1.
///
/// # Errors
///
/// [`Error::OutOfRange`]: zero, which would mean [`alarm_cancel`].
///
/// ```
/// use ipc::signal::{Blocked, Signal, alarm, alarm_left};
/// use std::time::Duration;
///
/// let blocked = Blocked::new([Signal::ALRM])?;
/// assert_eq!(alarm(Duration::from_secs(3600))?, None);
/// assert!(alarm(Duration::from_millis(5))?.is_some_and(|left| left > Duration::from_secs(3000)));
/// assert_eq!(blocked.wait()?.signal, Signal::ALRM);
/// assert_eq!(alarm_left()?, None);
/// # Ok::<(), ipc::Error>(())
/// ```
pub fn alarm(after: Duration) -> Result<Option<Duration>> {
    set(check_positive(after)?, Duration::ZERO)
}

/// As [`alarm`], the first time `first` from now and then `every` so often, until [`alarm_cancel`].
///
/// A process that is too slow gets fewer: `SIGALRM` does not queue.
///
/// # Errors
///
/// [`Error::OutOfRange`]: one of the two is zero.
pub fn alarm_every(first: Duration, every: Duration) -> Result<Option<Duration>> {
    set(check_positive(first)?, check_positive(every)?)
}

/// The time until the next `SIGALRM`, if an alarm is set.
///
/// # Errors
///
/// None on Linux; [`Error::System`] is there for `getitimer`.
pub fn alarm_left() -> Result<Option<Duration>> {
    let mut now = MaybeUninit::uninit();
    // SAFETY: the call writes the timer's state.
    if unsafe { libc::getitimer(libc::ITIMER_REAL, now.as_mut_ptr()) } != 0 {
        return Err(Error::last(OBJECT, "getitimer"));
    }
    // SAFETY: the call succeeded, so it has written the state.
    Ok(left(unsafe { now.assume_init_ref() }))
}

/// Takes the alarm back. Returns the time that was left, if one was set.
///
/// A `SIGALRM` that is pending already stays so.
///
/// # Errors
///
/// None on Linux; [`Error::System`] is there for `setitimer`.
pub fn alarm_cancel() -> Result<Option<Duration>> {
    set(Duration::ZERO, Duration::ZERO)
}

const OBJECT: &str = "alarm";

fn check_positive(time: Duration) -> Result<Duration> {
    let object = format!("{OBJECT} ({})", Signal::ALRM);
    let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Error::check_range(&object, "time in nanoseconds", nanoseconds, 1..=u64::MAX)?;
    Ok(time)
}

fn set(first: Duration, every: Duration) -> Result<Option<Duration>> {
    let wanted = libc::itimerval { it_value: timeval(first), it_interval: timeval(every) };
    let mut before = MaybeUninit::uninit();
    // SAFETY: the first state is initialised, the second is written by the call.
    if unsafe { libc::setitimer(libc::ITIMER_REAL, &wanted, before.as_mut_ptr()) } != 0 {
        return Err(Error::last(OBJECT, "setitimer"));
    }
    // SAFETY: the call succeeded, so it has written the state of before.
    Ok(left(unsafe { before.assume_init_ref() }))
}

fn left(timer: &libc::itimerval) -> Option<Duration> {
    let value = timer.it_value;
    let left = Duration::new(value.tv_sec.unsigned_abs(), 0)
        + Duration::from_micros(value.tv_usec.unsigned_abs());
    (!left.is_zero()).then_some(left)
}
