//! Helpers of all mechanisms: retrying, deadlines, pauses, names.

use std::ffi::CString;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, getpid};

use crate::error::{Error, Result};

/// Repeats `call` for as long as a signal interrupts it.
///
/// Only for calls that may begin anew: one with a relative timeout would start its time again, so those
/// take a [`Deadline`].
pub(crate) fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}

/// As [`retry`], for a call of `libc` that answers -1 and sets `errno`.
pub(crate) fn retry_libc<T: PartialEq + From<i8>>(mut call: impl FnMut() -> T) -> nix::Result<T> {
    retry(|| match call() {
        failed if failed == T::from(-1) => Err(Errno::last()),
        value => Ok(value),
    })
}

/// The process that made an object, and so the one whose values remove or end it when they are dropped.
///
/// A forked child has a copy of every value of its parent. It made nothing, so its copies remove nothing. The pid
/// alone does not show a copy: the first child in a new pid namespace of process 1 is process 1, too, and a pid is used
/// again. So the forks that lead to a process count as well. A fork around the C library is not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: Pid,
    forks: u32,
}

/// The forks between the first owner and this process.
static FORKS: AtomicU32 = AtomicU32::new(0);

impl Owner {
    /// The calling process.
    pub(crate) fn here() -> Self {
        static COUNTING: AtomicBool = AtomicBool::new(false);
        extern "C" fn count() {
            FORKS.fetch_add(1, Ordering::Relaxed);
        }
        // Not `Once`, which a fork in the middle would leave locked in the child.
        if !COUNTING.swap(true, Ordering::Relaxed) {
            // SAFETY: the function lives as long as the program, and changes an atomic only. Without memory the call
            // fails, and the pid has to do.
            unsafe { libc::pthread_atfork(None, None, Some(count)) };
        }
        Self { pid: getpid(), forks: FORKS.load(Ordering::Relaxed) }
    }

    /// Whether the caller is that process, and not a forked copy of it.
    pub(crate) fn is_here(self) -> bool {
        self == Self { pid: getpid(), forks: FORKS.load(Ordering::Relaxed) }
    }
}

/// The moment at which waiting ends, on the clock that the waiting call reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    clock: ClockId,
    at: TimeSpec,
    allowed: Duration,
}

impl Deadline {
    /// `timeout` from now on the clock that does not jump. For calls that take it: `futex`, `poll`.
    pub(crate) fn monotonic(timeout: Duration) -> Self {
        Self::on(ClockId::CLOCK_MONOTONIC, timeout)
    }

    /// `timeout` from now on the wall clock, which POSIX prescribes for `mq_timedsend`, `sem_timedwait` and
    /// their like: setting the clock moves the deadline.
    pub(crate) fn wall(timeout: Duration) -> Self {
        Self::on(ClockId::CLOCK_REALTIME, timeout)
    }

    fn on(clock: ClockId, timeout: Duration) -> Self {
        let now = clock_gettime(clock).map(Duration::from).unwrap_or_default();
        // Beyond any calendar is the same as for ever, and must not overflow.
        let at = now.saturating_add(timeout).min(Duration::from_secs(1 << 40));
        Self { clock, at: timespec(at), allowed: timeout }
    }

    /// The moment itself, for calls that take an absolute one.
    pub(crate) fn at(&self) -> &TimeSpec {
        &self.at
    }

    /// What is left, for calls that take a relative time. Zero when the moment has passed.
    pub(crate) fn left(&self) -> Duration {
        let now = clock_gettime(self.clock).map(Duration::from).unwrap_or_default();
        Duration::from(self.at).saturating_sub(now)
    }

    /// The error of a wait on `object` that took too long.
    pub(crate) fn passed(&self, object: impl Into<String>) -> Error {
        Error::TimedOut { object: object.into(), waited: self.allowed }
    }
}

/// Waits until `descriptor` is ready for `events`, or its other side is gone, or the deadline has passed.
///
/// An interrupting signal shortens nothing: the wait goes on for what is left.
pub(crate) fn ready(
    object: &str,
    descriptor: BorrowedFd<'_>,
    events: PollFlags,
    deadline: Option<&Deadline>,
) -> Result<()> {
    let mut wanted = [PollFd::new(descriptor, events)];
    let result = retry(|| {
        let left = deadline.map(|deadline| timespec(deadline.left()));
        ppoll(&mut wanted, left, None)
    });
    match (result, deadline) {
        (Ok(0), Some(deadline)) => Err(deadline.passed(object)),
        (Ok(_), _) => Ok(()),
        (Err(errno), _) => Err(Error::system(object, "ppoll", errno)),
    }
}

/// A length of time as the system calls take it; its `as_ref` is that of the C library.
pub(crate) fn timespec(time: Duration) -> TimeSpec {
    TimeSpec::from_duration(time)
}

/// As [`timespec`], for the calls that count in microseconds. Rounds up: a shorter time would otherwise become zero,
/// which those calls take for "off" or "forever".
pub(crate) fn timeval(time: Duration) -> libc::timeval {
    // A time beyond any calendar must not overflow.
    let time = time.min(Duration::from_secs(1 << 30)).saturating_add(Duration::from_nanos(999));
    libc::timeval {
        tv_sec: time.as_secs() as libc::time_t,
        tv_usec: time.subsec_micros() as libc::suseconds_t,
    }
}

/// Waits for `time`, or until a signal comes: the pause between two attempts where the kernel has no call to
/// wait with. A signal only makes the next attempt come sooner.
pub(crate) fn pause(time: Duration) {
    let _ = ppoll(&mut [], Some(timespec(time)), None);
}

/// The lengths of such pauses: they double from `first` to `longest`.
pub(crate) fn backoff(first: Duration, longest: Duration) -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(first), move |pause| Some((*pause * 2).min(longest)))
}

/// Opens an object, or makes it if there is none. Between the two calls another process may make it or remove
/// it: then both are tried again. One call with `O_CREAT` and without `O_EXCL` would do, but would not tell
/// which process is the creator.
pub(crate) fn create_or_open<T>(
    create: impl Fn() -> Result<T>,
    open: impl Fn() -> Result<T>,
) -> Result<T> {
    loop {
        match create() {
            Err(error) if error.errno() == Some(Errno::EEXIST) => {}
            result => return result,
        }
        match open() {
            // A System V object that was removed while it was opened is closed.
            Err(Error::Closed { .. }) => {}
            Err(error) if error.errno() == Some(Errno::ENOENT) => {}
            result => return result,
        }
    }
}

/// The longest name of a POSIX object, after its slash. `NAME_MAX` less what the C library puts before
/// the name of a semaphore's file (`sem.`).
const LONGEST_NAME: usize = 251;

/// Checks a name of the kinds that POSIX spells `/name`, and gives it as the system calls want it.
///
/// The slash at the beginning may be left out; it is always there in the result. Any other slash is an
/// error, and so are an empty name, `.` and `..`, a NUL, and more than 251 bytes.
pub(crate) fn posix_name(kind: &'static str, name: &str) -> Result<CString> {
    let refuse = |reason| Error::InvalidName { name: name.to_owned(), kind, reason };
    let bare = name.strip_prefix('/').unwrap_or(name);
    match bare {
        "" => return Err(refuse("it is empty")),
        "." | ".." => return Err(refuse("it means a directory")),
        _ => {}
    }
    if bare.contains('/') {
        return Err(refuse("a slash may stand at the beginning only"));
    }
    if bare.len() > LONGEST_NAME {
        return Err(refuse("it is longer than 251 bytes"));
    }
    CString::new(format!("/{bare}")).map_err(|_| refuse("it contains a NUL byte"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn posix_name_with_bad_syntax_is_refused() {
        for (given, reason) in [
            ("", "empty"),
            ("/", "empty"),
            ("..", "directory"),
            ("a/b", "slash"),
            ("//a", "slash"),
            ("a\0b", "NUL"),
        ] {
            let error = posix_name("queue", given).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("queue"), "{given:?}: {error}");
        }
        assert!(posix_name("queue", &"a".repeat(252)).is_err());
        assert!(posix_name("queue", &"a".repeat(251)).is_ok());
        assert_eq!(posix_name("queue", "a").unwrap(), posix_name("queue", "/a").unwrap());
    }

    #[test]
    fn deadline_beyond_calendar_does_not_overflow() {
        let deadline = Deadline::wall(Duration::MAX);
        assert!(deadline.left() > Duration::from_secs(1 << 30));
        assert_eq!(Deadline::monotonic(Duration::ZERO).left(), Duration::ZERO);
    }

    #[test]
    fn create_or_open_retries_lost_races() {
        let calls = std::cell::Cell::new(0);
        // The object is there, then removed, then there again and complete.
        let create = || match calls.replace(calls.get() + 1) {
            0 | 2 | 4 => Err(Error::system("x", "create", Errno::EEXIST)),
            _ => unreachable!("an open comes between two attempts to create"),
        };
        let open = || match calls.replace(calls.get() + 1) {
            1 => Err(Error::system("x", "open", Errno::ENOENT)),
            3 => Err(Error::Closed { object: "x".to_owned() }),
            number => Ok(number),
        };
        assert_eq!(create_or_open(create, open).unwrap(), 5);
        let denied = || Err::<(), _>(Error::system("x", "create", Errno::EACCES));
        assert_eq!(create_or_open(denied, || Ok(())).unwrap_err().errno(), Some(Errno::EACCES));
    }

    #[test]
    fn backoff_doubles_up_to_the_longest() {
        let pauses = backoff(Duration::from_millis(1), Duration::from_millis(5));
        let pauses: Vec<u128> = pauses.take(5).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [1, 2, 4, 5, 5]);
    }

    #[test]
    fn timeval_rounds_up_to_microseconds() {
        let parts = |time| (timeval(time).tv_sec, timeval(time).tv_usec);
        assert_eq!(parts(Duration::ZERO), (0, 0));
        assert_eq!(parts(Duration::from_nanos(1)), (0, 1));
        assert_eq!(parts(Duration::new(1, 999_999_001)), (2, 0));
        assert_eq!(parts(Duration::MAX), (1 << 30, 0));
    }
}
