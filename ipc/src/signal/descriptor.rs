//! Signals that are read like a file.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::PollFlags;

use super::{Blocked, Received, Signals, source};
use crate::error::{Error, Result};
use crate::sys::{self, Deadline, Owner, retry_libc, timespec};

/// A descriptor that signals are read from, one record for each, with its sender and its value.
///
/// The signals are blocked in the calling thread for as long as this lives: a signal that is delivered in
/// the usual way does not reach the descriptor. Other threads must block them as well; those started later do.
/// Real-time signals come after the standard ones, each as often as it was queued.
///
/// Dropping it discards what was not read: for most signals the usual course would be the end of the process.
/// In this order, it takes back the notifications of queues that would send one of the signals
/// ([`PosixQueue::notify`](crate::queue::PosixQueue::notify)), takes what is pending, and unblocks. A signal
/// that another guard of this thread still blocks stays pending for that guard. A signal to the process that
/// several threads receive is discarded for all of them, so let one thread receive it. Signals from other
/// processes and from [`alarm`](super::alarm) that come after the drop take their usual course.
///
/// ```
/// use ipc::signal::{Signal, SignalFd, raise};
///
/// let signals = SignalFd::new([Signal::TERM, Signal::INT])?;
/// raise(Signal::TERM)?;
/// let got = signals.read()?;
/// assert_eq!(got.signal, Signal::TERM);
/// assert_eq!(got.sender.map(|sender| sender.pid), Some(std::process::id().cast_signed()));
/// # Ok::<(), ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
    blocked: Blocked,
    owner: Owner,
}

impl SignalFd {
    /// Blocks `signals` and opens a descriptor for them.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]: `SIGKILL` or `SIGSTOP` is among them. [`Error::Limit`]: too many open files
    /// (`signalfd`).
    pub fn new(signals: impl Into<Signals>) -> Result<Self> {
        let blocked = Blocked::new(signals)?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: the set is initialised; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &blocked.signals().to_sigset(), flags) };
        if fd < 0 {
            return Err(Error::last(blocked.signals().describe(), "signalfd"));
        }
        // SAFETY: the call has just made this descriptor, and nobody else knows it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        source::add_receiver(blocked.signals());
        Ok(Self { fd, blocked, owner: Owner::here() })
    }

    /// Waits for a signal and takes it.
    ///
    /// # Errors
    ///
    /// [`Error::System`]: `read`.
    pub fn read(&self) -> Result<Received> {
        self.read_until(None)
    }

    /// As [`read`](Self::read), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: none came.
    pub fn read_timeout(&self, timeout: Duration) -> Result<Received> {
        self.read_until(Some(Deadline::monotonic(timeout)))
    }

    /// Takes a signal that is pending, and does not wait.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`]: there is none.
    pub fn try_read(&self) -> Result<Received> {
        let mut record = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of_val(&record);
        // SAFETY: `record` has room for `size` bytes.
        let got = retry_libc(|| unsafe {
            libc::read(self.fd.as_raw_fd(), record.as_mut_ptr().cast(), size)
        });
        match got {
            Ok(_) => {
                // SAFETY: the kernel writes whole records, and the type consists of numbers.
                let record = unsafe { record.assume_init() };
                Ok(Received::new(
                    record.ssi_signo.cast_signed(),
                    record.ssi_code,
                    record.ssi_pid.cast_signed(),
                    record.ssi_uid,
                    record.ssi_int,
                ))
            }
            Err(Errno::EAGAIN) => Err(Error::WouldBlock { object: self.object() }),
            Err(errno) => Err(Error::system(self.object(), "read", errno)),
        }
    }

    fn read_until(&self, deadline: Option<Deadline>) -> Result<Received> {
        loop {
            match self.try_read() {
                Err(Error::WouldBlock { object }) => {
                    sys::ready(&object, self.fd.as_fd(), PollFlags::POLLIN, deadline.as_ref())?;
                }
                result => return result,
            }
        }
    }

    fn object(&self) -> String {
        format!("signalfd {} ({})", self.fd.as_raw_fd(), self.blocked.signals().describe())
    }
}

impl AsFd for SignalFd {
    /// Readable while a signal is pending, for a poller.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for SignalFd {
    fn drop(&mut self) {
        // A forked copy has requested nothing, and must not wait for a lock that another thread of the parent
        // held at the fork.
        if self.owner.is_here() {
            source::remove_receiver(self.blocked.signals());
        }
        let released = self.blocked.released().to_sigset();
        let none = timespec(Duration::ZERO);
        // SAFETY: set and time live through the calls; what was taken is not asked for.
        while retry_libc(|| unsafe {
            libc::sigtimedwait(&released, ptr::null_mut(), none.as_ref())
        })
        .is_ok()
        {}
    }
}
