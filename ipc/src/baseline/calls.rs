//! One system call each, and the reading of its result. Nothing is retried; errors are the kernel's.

use std::io::{Error, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::AtomicU32;

/// `read(2)`: how many bytes came, 0 at the end.
#[inline]
pub fn read(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: pointer and length are those of `buffer`, which is borrowed mutably.
    count(unsafe { libc::read(from.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// `write(2)`: how many bytes were taken.
#[inline]
pub fn write(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    // SAFETY: pointer and length are those of `bytes`, which the call only reads.
    count(unsafe { libc::write(to.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
}

/// `send(2)`, without the signal PIPE: how many bytes were taken.
#[inline]
pub fn send(to: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize> {
    let (data, length) = (bytes.as_ptr().cast(), bytes.len());
    // SAFETY: pointer and length are those of `bytes`, which the call only reads.
    count(unsafe { libc::send(to.as_raw_fd(), data, length, libc::MSG_NOSIGNAL) })
}

/// `recv(2)`: how many bytes came, 0 at the end. What does not find room of a datagram is lost.
#[inline]
pub fn receive(from: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    let (data, length) = (buffer.as_mut_ptr().cast(), buffer.len());
    // SAFETY: pointer and length are those of `buffer`, which is borrowed mutably.
    count(unsafe { libc::recv(from.as_raw_fd(), data, length, 0) })
}

/// `mq_send(3)`, with priority 0.
#[inline]
pub fn mq_send(queue: BorrowedFd<'_>, message: &[u8]) -> Result<()> {
    let (data, length) = (message.as_ptr().cast(), message.len());
    // SAFETY: pointer and length are those of `message`. On Linux a queue is a descriptor.
    check(unsafe { libc::mq_send(queue.as_raw_fd(), data, length, 0) })
}

/// `mq_receive(3)`: the length of the message. The buffer must have room for the longest of the queue.
///
/// Asks for the priority too, as the library does: that takes a tenth of a microsecond.
#[inline]
pub fn mq_receive(queue: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    let (data, length, mut priority) = (buffer.as_mut_ptr().cast(), buffer.len(), 0);
    // SAFETY: pointer and length are those of `buffer`, which is borrowed mutably; `priority` outlives the call.
    count(unsafe { libc::mq_receive(queue.as_raw_fd(), data, length, &raw mut priority) })
}

/// The bytes before the text of a System V message: its type, a `long` in the order of the machine.
pub const TYPE: usize = size_of::<libc::c_long>();

/// `msgsnd(2)` of a message that begins with its [type](TYPE), which must not be zero.
///
/// Fails with `EINVAL` for a message without a type.
#[inline]
pub fn msgsnd(queue: i32, typed: &[u8]) -> Result<()> {
    let Some(length) = typed.len().checked_sub(TYPE) else { return Err(invalid()) };
    // SAFETY: a type and `length` bytes are readable there. The kernel does not ask for alignment.
    check(unsafe { libc::msgsnd(queue, typed.as_ptr().cast(), length, 0) })
}

/// `msgrcv(2)`: how many bytes follow its [type](TYPE) in the buffer. `which` is the call's own argument: 0 is the
/// oldest message, a negative number the one of the least type up to its magnitude, for which the kernel looks
/// at every message that waits.
///
/// Fails with `EINVAL` for a buffer without room for a type.
#[inline]
pub fn msgrcv(queue: i32, typed: &mut [u8], which: libc::c_long) -> Result<usize> {
    let Some(length) = typed.len().checked_sub(TYPE) else { return Err(invalid()) };
    // SAFETY: there is room for a type and `length` bytes, borrowed mutably.
    count(unsafe { libc::msgrcv(queue, typed.as_mut_ptr().cast(), length, which, 0) })
}

/// `semop(2)`: adds `by` to the first semaphore of a set, and waits where that would make it negative.
#[inline]
pub fn semop(set: i32, by: i16) -> Result<()> {
    let mut operation = libc::sembuf { sem_num: 0, sem_op: by, sem_flg: 0 };
    // SAFETY: one operation, which outlives the call.
    check(unsafe { libc::semop(set, &raw mut operation, 1) })
}

/// `sigqueue(3)`.
///
/// Fails with `EINVAL` for a number that means several processes.
#[inline]
pub fn sigqueue(process: i32, signal: i32, value: i32) -> Result<()> {
    unsafe extern "C" {
        // Missing in the `libc` crate; POSIX, and in glibc and musl alike.
        fn sigqueue(pid: libc::pid_t, signal: libc::c_int, value: libc::sigval) -> libc::c_int;
    }
    if process <= 0 {
        return Err(invalid());
    }
    let value = libc::sigval { sival_ptr: std::ptr::without_provenance_mut(value as u32 as usize) };
    // SAFETY: the C library's declaration; it takes numbers and touches no memory.
    check(unsafe { sigqueue(process, signal, value) })
}

/// `sigwaitinfo(2)` for one signal, which the caller has blocked: the number that [`sigqueue`] sent.
#[inline]
pub fn sigwait(signal: i32) -> Result<i32> {
    let mut set = MaybeUninit::uninit();
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: `sigemptyset` initialises the set that the others use; `info` has room for what the last writes.
    let taken = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        libc::sigwaitinfo(set.as_ptr(), info.as_mut_ptr())
    };
    check(taken.min(0))?;
    // SAFETY: the call has filled `info` in, which was all zeroes before; of its union a number is read.
    let value = unsafe { info.assume_init_ref().si_value() };
    Ok(value.sival_ptr.addr() as i32)
}

/// `futex(2)`: sleeps for as long as `word` is `expected`, or shorter, between processes.
#[inline]
pub fn futex_wait(word: &AtomicU32, expected: u32) {
    let forever = std::ptr::null::<libc::timespec>();
    // SAFETY: `word` is a live, aligned 32-bit word, and no time is a null pointer. All reasons to return (woken,
    // changed already, a signal) are reasons to look again, which the caller does anyway.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, expected, forever) };
}

/// `futex(2)`: wakes all that sleep on `word`.
#[inline]
pub fn futex_wake_all(word: &AtomicU32) {
    // SAFETY: `word` is a live, aligned 32-bit word; the kernel uses its address only.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
}

#[inline]
fn count(result: isize) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::last_os_error())
}

#[inline]
pub(super) fn check(result: libc::c_int) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

#[cold]
fn invalid() -> Error {
    Error::from_raw_os_error(libc::EINVAL)
}
