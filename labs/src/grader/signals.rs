//! Signals that ask the command to end: they wait until a check is cleaned up.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, Ordering};

static INTERRUPTED: AtomicI32 = AtomicI32::new(0);

/// The signal that asked this program to end while a check was run, if one did. No check is run after it.
pub fn interrupted() -> Option<Signal> {
    Signal::try_from(INTERRUPTED.load(Ordering::Relaxed)).ok()
}

/// The signals that ask to end, blocked while there is something to clean up.
#[derive(Debug)]
pub struct TerminationSignals {
    queue: SignalFd,
    before: SigSet,
}

impl TerminationSignals {
    pub(super) fn set() -> SigSet {
        SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
    }

    /// Keeps them from being delivered to this thread until the value is dropped. Guards may be nested.
    ///
    /// # Errors
    ///
    /// The system refuses a descriptor.
    pub fn block() -> io::Result<TerminationSignals> {
        let signals = TerminationSignals::set();
        let queue = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let before = SigSet::thread_get_mask()?;
        signals.thread_block()?;
        Ok(TerminationSignals { queue, before })
    }

    /// Whether one has arrived.
    pub fn arrived(&self) -> bool {
        if let Ok(Some(signal)) = self.queue.read_signal() {
            INTERRUPTED.store(signal.ssi_signo as i32, Ordering::Relaxed);
        }
        interrupted().is_some()
    }
}

impl AsFd for TerminationSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

impl Drop for TerminationSignals {
    fn drop(&mut self) {
        self.arrived();
        let _ = self.before.thread_set_mask();
    }
}
