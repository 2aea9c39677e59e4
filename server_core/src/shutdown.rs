//! The shutdown request, and the watchdog that executes it.
//!
//! SIGTERM and SIGINT are blocked in every thread and read from a signalfd (signalfd(2)): by the watchdog's
//! thread, or, in a process that must stay single-threaded to fork, by its own loop.
//!
//! 1. The first signal shuts the reading side of every connection that waits for a request, which wakes its
//!    session wherever it waits. The others end after the request under way.
//! 2. It also shuts the listening socket down, so that new connections are refused at once.
//! 3. Connections that outlast the drain timeout are cut.
//!
//! A second signal ends the process at once.

use crate::acceptor::Acceptor;
use crate::limit::Registry;
use crate::log;
use crate::start::cannot_start;
use crate::timeout::timeout_until;
use file_service::Service;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long connections that were cut have to end before the process does.
pub(crate) const CUT_GRACE: Duration = Duration::from_secs(1);

/// Blocks SIGTERM and SIGINT, to be read from a signalfd, and SIGXFSZ, so that a file above the
/// process's limit is an error of `write` and not the end of the server.
///
/// Threads inherit the mask, so this comes first in `main`.
pub(crate) fn block_signals() -> io::Result<()> {
    let mut mask = signals();
    mask.add(Signal::SIGXFSZ);
    Ok(mask.thread_block()?)
}

fn signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
}

/// The signals that request the shutdown, for a process without a watchdog.
#[derive(Debug)]
pub struct ShutdownSignals(SignalFd);

impl ShutdownSignals {
    /// Watches for SIGTERM and SIGINT, which [`crate::launch`] has blocked.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd.
    pub fn new() -> io::Result<ShutdownSignals> {
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(ShutdownSignals(SignalFd::with_flags(&signals(), flags)?))
    }

    /// Reads a signal without waiting; returns its number.
    pub fn read(&self) -> Option<u32> {
        let signal = self.0.read_signal().ok().flatten()?;
        Some(signal.ssi_signo)
    }

    /// Waits until `other` is readable, or seems so, or for at most `timeout`. Returns whether shutdown was
    /// requested, even if `other` is readable too.
    pub fn arrive_before(&self, other: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> bool {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut fds = vec![PollFd::from_borrowed_fd(self.0.as_fd(), PollFlags::IN)];
        fds.extend(other.map(|other| PollFd::from_borrowed_fd(other, PollFlags::IN)));
        // An interrupted wait is repeated by the caller.
        let ready = poll(&mut fds, timeout.as_ref()).is_ok();
        let requested = ready && !fds[0].revents().is_empty();
        if requested {
            tracing::info!("stopping");
        }
        requested
    }
}

impl AsFd for ShutdownSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The one thread that a server has besides its model: it reads the signals and keeps the drain timeout.
pub(crate) struct Watchdog {
    signals: ShutdownSignals,
    listener: TcpListener,
    registry: Arc<Registry>,
    service: Service,
}

impl Watchdog {
    /// Starts the thread for the connections of `acceptor`.
    pub(crate) fn start(listener: TcpListener, acceptor: &Acceptor) -> io::Result<()> {
        let watchdog = Watchdog {
            signals: ShutdownSignals::new()?,
            listener,
            registry: Arc::clone(acceptor.registry()),
            service: acceptor.service().clone(),
        };
        thread::Builder::new()
            .name("watchdog".into())
            .stack_size(64 * 1024)
            .spawn(move || watchdog.run())
            .map_err(cannot_start("the watchdog"))?;
        Ok(())
    }

    fn run(self) {
        let mut requested = false;
        loop {
            let cut_off = self.registry.cut_off();
            let timeout = timeout_until(cut_off);
            // Only the end of the listening socket is reported, as a hang-up: another process may have ended it.
            let listener = PollFd::new(&self.listener, PollFlags::empty());
            let signals = PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN);
            let mut fds = [signals, listener];
            let watched = if cut_off.is_none() { &mut fds[..] } else { &mut fds[..1] };
            let _ = poll(watched, timeout.as_ref());
            if !fds[1].revents().is_empty() {
                self.registry.begin_shutdown(self.service.settings().drain_timeout);
            }
            if let Some(signal) = self.signals.read() {
                // Not by the cut-off: the first may have come from another process with the same socket, and
                // a terminal's signal then come to all.
                if std::mem::replace(&mut requested, true) {
                    exit(128 + signal as i32, &self.service);
                }
                tracing::info!("stopping");
                self.registry.begin_shutdown(self.service.settings().drain_timeout);
                // Of all processes and threads that hold this socket: nobody can connect any more, and
                // the accept loop wakes.
                let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
            }
            if cut_off.is_some_and(|cut_off| Instant::now() >= cut_off) {
                return self.end();
            }
        }
    }

    /// Ends the process when the drain timeout has passed.
    fn end(self) {
        self.registry.cut();
        // Sessions end by themselves now, and their temporary files with them; what hangs is left.
        self.registry.wait_until_empty(CUT_GRACE);
        exit(0, &self.service)
    }
}

/// Ends the process from within, while other threads may still be at work.
pub fn exit(code: i32, service: &Service) -> ! {
    finish(service);
    std::process::exit(code)
}

/// Writes out the trace, and logs what it and the log are missing. A process calls this when it ends; it is not left to
/// the last handle to the trace, which a detached thread may have.
pub fn finish(service: &Service) {
    if let Some(trace) = service.trace() {
        trace.end();
    }
    log::end();
}

/// Returns how often a loop should look at the deadlines of its sessions: often enough that none is missed by much.
pub fn deadline_tick(service: &Service) -> Duration {
    let least = service.settings().least_timeout();
    (least / 40).clamp(Duration::from_millis(10), Duration::from_millis(250))
}
