//! Sending.

use std::ffi::{c_int, c_long};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::unistd::{getpid, getuid};

use super::Signal;
use crate::error::{Error, Result};
use crate::sys::{self, Deadline, retry_libc};

/// Sends `signal` to the process `pid`.
///
/// The process may have ended in the meantime, and another one have got its pid. Only for a child that was
/// not yet waited for is that impossible. [`PidFd`] is the way for all others.
///
/// # Errors
///
/// [`Error::Closed`]: there is no such process. [`Error::InvalidName`]: `pid` is not positive; such numbers mean
/// groups, or everybody. [`Error::System`]: not allowed (`kill`).
pub fn send(pid: i32, signal: Signal) -> Result<()> {
    check_pid(pid)?;
    // SAFETY: `kill` takes two numbers and touches no memory.
    retry_libc(|| unsafe { libc::kill(pid, signal.number()) })
        .map_err(|errno| error(describe(pid), "kill", errno))?;
    Ok(())
}

/// Sends `signal` to every process of the group `group`.
///
/// # Errors
///
/// [`Error::Closed`]: the group has no members. [`Error::InvalidName`]: `group` is not above 1 (0 is the caller's own
/// group, and 1 would be everybody). [`Error::System`]: not allowed for any of them (`killpg`).
pub fn send_group(group: i32, signal: Signal) -> Result<()> {
    if group <= 1 {
        let reason = "the number of a group is above 1";
        return Err(Error::InvalidName { name: group.to_string(), kind: "process group", reason });
    }
    // SAFETY: `killpg` takes two numbers and touches no memory.
    retry_libc(|| unsafe { libc::killpg(group, signal.number()) })
        .map_err(|errno| error(format!("process group {group}"), "killpg", errno))?;
    Ok(())
}

/// Sends `signal` to the calling thread.
///
/// # Errors
///
/// [`Error::System`] (`raise`), which does not happen on Linux.
pub fn raise(signal: Signal) -> Result<()> {
    // SAFETY: `raise` takes a number and touches no memory.
    match unsafe { libc::raise(signal.number()) } {
        0 => Ok(()),
        _ => Err(Error::last(signal.to_string(), "raise")),
    }
}

/// Sends `signal` with a number to the process `pid`.
///
/// A real-time signal queues: it arrives as often as it was sent. The value of a standard signal that is
/// pending already is lost.
///
/// # Errors
///
/// [`Error::Limit`] with `EAGAIN`: too many signals of this user wait (`RLIMIT_SIGPENDING`). Otherwise as
/// [`send`], with `sigqueue`.
pub fn queue(pid: i32, signal: Signal, value: i32) -> Result<()> {
    unsafe extern "C" {
        // Missing in the `libc` crate; POSIX, and in glibc and musl alike.
        fn sigqueue(pid: libc::pid_t, signal: c_int, value: libc::sigval) -> c_int;
    }
    check_pid(pid)?;
    // SAFETY: `sigqueue` takes its arguments by value and touches no memory.
    retry_libc(|| unsafe { sigqueue(pid, signal.number(), sigval(value)) })
        .map_err(|errno| error(describe(pid), "sigqueue", errno))?;
    Ok(())
}

/// One process, held by a pidfd: signals reach it or nobody, however often its pid is used again.
///
/// Between learning a pid and [`open`](Self::open) the process can still be replaced. The parent of the
/// process is safe from that until it has waited for it; others should compare what they know of the
/// process (start time, program) after opening.
///
/// ```
/// use ipc::signal::{PidFd, Signal};
/// use std::process::{Command, Stdio};
///
/// let mut child = Command::new("cat").stdin(Stdio::piped()).spawn()?;
/// let process = PidFd::open(child.id().cast_signed())?;
/// process.send(Signal::TERM)?;
/// child.wait()?;
/// assert!(matches!(process.send(Signal::TERM), Err(ipc::Error::Closed { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PidFd {
    fd: OwnedFd,
    pid: i32,
}

impl PidFd {
    /// Takes hold of the process that has the number `pid` now.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: there is no such process. [`Error::InvalidName`]: `pid` is not positive.
    /// [`Error::System`]: `pidfd_open`.
    pub fn open(pid: i32) -> Result<Self> {
        check_pid(pid)?;
        // SAFETY: `pidfd_open` takes two numbers and touches no memory.
        let fd =
            retry_libc(|| unsafe { libc::syscall(libc::SYS_pidfd_open, c_long::from(pid), 0) })
                .map_err(|errno| error(describe(pid), "pidfd_open", errno))?;
        // SAFETY: the call has just made this descriptor (close-on-exec), and nobody else knows it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(fd as c_int) }, pid })
    }

    /// The number that the process had when it was opened.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends `signal`.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]: the process has ended and was waited for. [`Error::System`]: not allowed
    /// (`pidfd_send_signal`).
    pub fn send(&self, signal: Signal) -> Result<()> {
        self.deliver(signal, ptr::null())
    }

    /// Sends `signal` with a number, as [`queue`] does.
    ///
    /// # Errors
    ///
    /// As [`queue`].
    pub fn queue(&self, signal: Signal, value: i32) -> Result<()> {
        /// What the kernel expects after the three numbers at the beginning of `siginfo_t`.
        #[repr(C)]
        struct Fields {
            pid: libc::pid_t,
            uid: libc::uid_t,
            value: libc::sigval,
        }
        #[repr(C)]
        struct Layout {
            head: [c_int; 3],
            fields: Fields,
        }
        const { assert!(size_of::<Layout>() <= size_of::<libc::siginfo_t>()) }
        // SAFETY: `siginfo_t` consists of numbers and padding, for which all zeroes are valid.
        let mut info: libc::siginfo_t = unsafe { mem::zeroed() };
        info.si_signo = signal.number();
        info.si_code = libc::SI_QUEUE;
        let fields =
            Fields { pid: getpid().as_raw(), uid: getuid().as_raw(), value: sigval(value) };
        // SAFETY: the assertion above says that the fields lie within `info`, and `repr(C)` gives `Layout` the
        // alignment and the offsets of the kernel's structure, whose alignment `siginfo_t` has.
        unsafe {
            (&raw mut info)
                .cast::<Fields>()
                .byte_add(mem::offset_of!(Layout, fields))
                .write(fields);
        }
        self.deliver(signal, &info)
    }

    /// Waits at most `timeout` for the end of the process. It need not be a child, and is not reaped.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: it lives on.
    pub fn wait_end(&self, timeout: Duration) -> Result<()> {
        let deadline = Deadline::monotonic(timeout);
        sys::ready(&describe(self.pid), self.fd.as_fd(), PollFlags::POLLIN, Some(&deadline))
    }

    fn deliver(&self, signal: Signal, info: *const libc::siginfo_t) -> Result<()> {
        let (fd, number) = (c_long::from(self.fd.as_raw_fd()), c_long::from(signal.number()));
        retry_libc(|| {
            // SAFETY: `info` is null or points to a whole `siginfo_t` that the call only reads.
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, number, info, 0) }
        })
        .map_err(|errno| error(describe(self.pid), "pidfd_send_signal", errno))?;
        Ok(())
    }
}

impl AsFd for PidFd {
    /// Readable once the process has ended, for a poller.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn check_pid(pid: i32) -> Result<()> {
    if pid > 0 {
        return Ok(());
    }
    let reason = "zero and negative numbers mean groups";
    Err(Error::InvalidName { name: pid.to_string(), kind: "process", reason })
}

fn describe(pid: i32) -> String {
    format!("process {pid}")
}

fn error(object: String, call: &'static str, errno: Errno) -> Error {
    match errno {
        Errno::ESRCH => Error::Closed { object },
        errno => Error::system(object, call, errno),
    }
}

/// In C a union of a number and a pointer, of which the `libc` crate shows only the pointer.
fn sigval(value: i32) -> libc::sigval {
    let mut both = libc::sigval { sival_ptr: ptr::null_mut() };
    // SAFETY: a pointer is at least as large as an `int` and as strictly aligned.
    unsafe { (&raw mut both).cast::<c_int>().write(value) };
    both
}
