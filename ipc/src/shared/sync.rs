//! The atomics and the futex, in one place, so that the algorithms that stand on them can be checked by a
//! model: `tests/loom.rs` compiles the same files against loom's.

pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

pub(crate) use crate::sys::Deadline;

use nix::errno::Errno;

/// Sleeps for as long as `word` is `expected`: until [`futex_wake`], until a signal comes, or until the
/// deadline, when it returns `true`. May also return for no reason.
///
/// futex(2). Not the private kind: the kernel finds the sleepers by the page, whatever the address
/// at which a process has mapped it.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, until: Option<&Deadline>) -> bool {
    let until = until.map_or(std::ptr::null(), |deadline| deadline.at().as_ref());
    // SAFETY: `word` is a live, aligned 32-bit word; `until` is null or points to a timespec that outlives
    // the call. The absolute time is on CLOCK_MONOTONIC, as FUTEX_WAIT_BITSET reads it.
    let result = unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            expected,
            until,
            std::ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    };
    // EAGAIN (it was not `expected` any more) and EINTR are reasons to look again, which callers do anyway.
    result == -1 && Errno::last() == Errno::ETIMEDOUT
}

/// Wakes at most `count` of those who sleep on `word`, in all processes.
pub(crate) fn futex_wake(word: &AtomicU32, count: i32) {
    // SAFETY: `word` is a live, aligned 32-bit word; the kernel uses its address only. FUTEX_WAKE reads
    // no further arguments, and cannot fail with a good address.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count);
    }
}
