//! Four ways to keep the process table free of zombies.
//!
//! A process that has ended stays in the table until its parent asks for its status. Signals are no
//! queue: many children may end and one SIGCHLD come, so every way that waits for the signal asks in a
//! loop until nobody is left to ask for.

use crate::tether::Tethers;
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::io;

/// How finished children leave the process table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Reap {
    /// A handler for SIGCHLD waits for all that have ended
    #[default]
    Sigchld,
    /// SIGCHLD is blocked and read from a descriptor, in the loop that accepts
    Signalfd,
    /// SIGCHLD is ignored: the kernel keeps no status, and nobody learns of it
    Ignore,
    /// Children of children that have ended at once: init adopts and reaps them
    DoubleFork,
}

/// The exit code of a middle child that could not fork.
pub(crate) const MIDDLE_FAILED: i32 = 75;

/// A way of reaping, installed.
#[derive(Debug)]
pub(crate) struct Reaper {
    reap: Reap,
    signals: Option<SignalFd>,
}

impl Reaper {
    /// Installs the way that `reap` names.
    pub(crate) fn install(reap: Reap, tethers: &Tethers) -> io::Result<Reaper> {
        let mut signals = None;
        match reap {
            Reap::Sigchld => {
                let flags = SaFlags::SA_NOCLDSTOP | SaFlags::SA_RESTART;
                set_handler(SigHandler::Handler(wait_for_all), flags)?;
            }
            Reap::Signalfd => {
                let mask = SigSet::from_iter([Signal::SIGCHLD]);
                mask.thread_block()?;
                let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
                let fd = SignalFd::with_flags(&mask, flags)?;
                tethers.watch(&fd)?;
                signals = Some(fd);
            }
            Reap::Ignore => set_handler(SigHandler::SigIgn, SaFlags::empty())?,
            // The middle child is waited for where it is forked.
            Reap::DoubleFork => {}
        }
        Ok(Reaper { reap, signals })
    }

    /// Whether the serving process must be a grandchild.
    pub(crate) fn forks_twice(&self) -> bool {
        self.reap == Reap::DoubleFork
    }

    /// Reads SIGCHLD from its descriptor, where there is one, and reaps. One signal may stand for many.
    pub(crate) fn reap(&mut self) {
        if let Some(signals) = &self.signals {
            while let Ok(Some(_)) = signals.read_signal() {}
            wait_for_all(0);
        }
    }
}

/// The handler: it may only call what is safe in a signal handler, and must leave `errno` as it was,
/// since it may run between a system call and the look at its error.
extern "C" fn wait_for_all(_: libc::c_int) {
    let errno = Errno::last_raw();
    while let Ok(WaitStatus::Exited(..) | WaitStatus::Signaled(..)) =
        waitpid(None, Some(WaitPidFlag::WNOHANG))
    {}
    Errno::set_raw(errno);
}

fn set_handler(handler: SigHandler, flags: SaFlags) -> io::Result<()> {
    let action = SigAction::new(handler, flags, SigSet::empty());
    // SAFETY: `wait_for_all` calls waitpid alone, which is async-signal-safe, and restores errno.
    unsafe { sigaction(Signal::SIGCHLD, &action) }?;
    Ok(())
}

/// What the end of a middle child says of the fork it was made for.
pub(crate) fn middle_child(status: WaitStatus) -> io::Result<()> {
    match status {
        WaitStatus::Exited(_, 0) => Ok(()),
        other => Err(io::Error::other(format!("the second fork failed: {other:?}"))),
    }
}
