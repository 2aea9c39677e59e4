//! File calls that are interrupted (EINTR), and what becomes of them.
//!
//! The system calls on files that a session makes are not interrupted by signals on local disks. NFS and FUSE
//! interrupt them, and a call that did nothing is simply made again. The number of tries has a bound: a file
//! system that interrupts every call would otherwise keep a thread, or the loop of all clients, without end.
//! `close` is never repeated, since the descriptor is gone in either case.

use rustix::fs::{Mode, OFlags, RawDir, RawDirEntry, openat};
use rustix::io::Errno;
use std::io;
use std::os::fd::BorrowedFd;

/// How often an interrupted call is made again.
const RETRIES: usize = 100;

/// ERESTARTSYS, which Linux turns into EINTR or a repetition where a signal is the reason. Where a FUSE file system
/// interrupts `flock` without one, it comes as it is.
const RESTART: Errno = Errno::from_raw_os_error(512);

/// How much of a directory is read at a time, in bytes.
const DIRECTORY_CHUNK: usize = 32 * 1024;

/// An error of a file call.
pub(crate) trait CallError: From<Errno> {
    /// Whether it is EINTR.
    fn is_interruption(&self) -> bool;
}

impl CallError for Errno {
    fn is_interruption(&self) -> bool {
        matches!(*self, Errno::INTR | RESTART)
    }
}

impl CallError for io::Error {
    fn is_interruption(&self) -> bool {
        Errno::from_io_error(self).is_some_and(|errno| errno.is_interruption())
    }
}

/// Makes a file call, and makes it again while it is interrupted.
///
/// # Errors
///
/// Those of the call. EIO takes the place of EINTR where the interruptions do not end: no caller tries again then.
pub(crate) fn uninterrupted<T, E: CallError>(
    mut call: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    for _ in 0..=RETRIES {
        match call() {
            Err(error) if error.is_interruption() => {}
            outcome => return outcome,
        }
    }
    Err(Errno::IO.into())
}

/// Makes a call that changes a name as [`uninterrupted`] does. Over a network an interrupted call may have been
/// executed, and then it cannot be repeated: so after each interruption `is_done` is asked for that.
///
/// # Errors
///
/// As for [`uninterrupted`].
pub(super) fn uninterrupted_once(
    mut call: impl FnMut() -> Result<(), Errno>,
    is_done: impl Fn() -> bool,
) -> Result<(), Errno> {
    uninterrupted(|| match call() {
        Err(Errno::INTR) if is_done() => Ok(()),
        outcome => outcome,
    })
}

/// Calls `visit` with each entry of `directory`, until it fails.
///
/// # Errors
///
/// The system's error when the directory cannot be read, and that of `visit`.
pub(super) fn each_entry<E: From<Errno>>(
    directory: BorrowedFd<'_>,
    mut visit: impl FnMut(RawDirEntry<'_>) -> Result<(), E>,
) -> Result<(), E> {
    // A descriptor of its own, since its position moves.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let own = uninterrupted(|| openat(directory, c".", flags, Mode::empty()))?;
    let mut buffer = Vec::with_capacity(DIRECTORY_CHUNK);
    let mut entries = RawDir::new(own, buffer.spare_capacity_mut());
    let mut interruptions = 0;
    loop {
        match entries.next() {
            None => return Ok(()),
            Some(Err(Errno::INTR)) if interruptions < RETRIES => interruptions += 1,
            Some(Err(Errno::INTR)) => return Err(Errno::IO.into()),
            Some(entry) => {
                interruptions = 0;
                visit(entry?)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A call that is interrupted so often, and then returns `outcome`.
    fn interrupted<T: Copy>(
        times: usize,
        outcome: Result<T, Errno>,
    ) -> impl FnMut() -> Result<T, Errno> {
        let mut calls = 0;
        move || {
            calls += 1;
            if calls <= times { Err(Errno::INTR) } else { outcome }
        }
    }

    #[test]
    fn interrupted_call_is_repeated() {
        assert_eq!(uninterrupted(interrupted(RETRIES, Ok(7))), Ok(7));
        assert_eq!(uninterrupted(interrupted::<()>(3, Err(Errno::NOSPC))), Err(Errno::NOSPC));
    }

    #[test]
    fn endless_interruption_is_an_error() {
        assert_eq!(uninterrupted(interrupted(usize::MAX, Ok(()))), Err(Errno::IO));
        let endless = || Err::<(), io::Error>(Errno::INTR.into());
        assert_eq!(uninterrupted(endless).unwrap_err().raw_os_error(), Some(5));
    }

    #[test]
    fn executed_call_is_not_repeated() {
        let calls = Cell::new(0);
        let call = || {
            calls.set(calls.get() + 1);
            Err(Errno::INTR)
        };
        assert_eq!(uninterrupted_once(call, || calls.get() == 2), Ok(()));
        assert_eq!(calls.get(), 2);
    }
}
