//! The one wait of a parent that forks: for clients, for its children, and for the shutdown request.
//!
//! The parent has one thread, so the signals are read here and not by a watchdog.

use file_service::Service;
use rustix::event::{PollFd, PollFlags, poll};
use server_core::{
    Accepted, Acceptor, Connection, ConnectionHandle, ShutdownSignals, exit, timeout_until,
};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Instant;

/// What the parent has waited for.
#[derive(Debug)]
pub(crate) enum Next {
    /// A client.
    Connection(Connection),
    /// The descriptor of the children is readable.
    Children,
    /// The shutdown request, or the end of the drain timeout after it.
    Shutdown,
}

/// Waits for clients and for children.
#[derive(Debug)]
pub(crate) struct ParentWait {
    acceptor: Acceptor,
    signals: ShutdownSignals,
    /// Clients are to wait in the backlog.
    held: bool,
    paused_until: Option<Instant>,
    /// The end of the drain timeout, once shutdown was requested.
    cut_off: Option<Instant>,
}

impl ParentWait {
    /// Accepts from `listener`, which never blocks from now on.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd or an option of the socket.
    pub(crate) fn new(listener: TcpListener, service: &Service) -> io::Result<ParentWait> {
        listener.set_nonblocking(true)?;
        Ok(ParentWait {
            acceptor: Acceptor::new(listener, service)?,
            signals: ShutdownSignals::new()?,
            held: false,
            paused_until: None,
            cut_off: None,
        })
    }

    /// Sets whether clients are to wait in the backlog.
    pub(crate) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Tells a client that there is no room for it; see [`Acceptor::refuse`].
    pub(crate) fn refuse(&mut self, handle: Arc<ConnectionHandle>) {
        self.acceptor.refuse(handle);
    }

    /// Waits for a client, or until `children` is readable, whichever is first.
    ///
    /// After the shutdown request the listening socket is closed; further calls wait for `children` alone,
    /// until the drain timeout has passed. A second signal ends the process.
    pub(crate) fn next(&mut self, children: BorrowedFd<'_>) -> Next {
        loop {
            let accepting = !self.held && self.paused_until.is_none_or(|at| at <= Instant::now());
            let ready = self.poll(children, accepting);
            self.acceptor.visit_refused();
            if ready.signal
                && let Some(signal) = self.signals.read()
            {
                self.begin_shutdown(signal);
                return Next::Shutdown;
            }
            if ready.children {
                return Next::Children;
            }
            if self.cut_off.is_some_and(|at| Instant::now() >= at) {
                return Next::Shutdown;
            }
            if !accepting {
                continue;
            }
            match self.acceptor.try_accept() {
                Accepted::Connection(connection) => return Next::Connection(connection),
                Accepted::Pause(until) => self.paused_until = Some(until),
                Accepted::Retry | Accepted::Empty(_) | Accepted::Shutdown => {}
            }
        }
    }

    fn poll(&self, children: BorrowedFd<'_>, accepting: bool) -> Ready {
        // In one piece: to grow it would write to pages of the allocator that the children share with the parent.
        let mut fds = Vec::with_capacity(4 + self.acceptor.refused().count());
        fds.extend([watch(self.signals.as_fd()), watch(children)]);
        fds.extend(self.acceptor.refused().map(watch));
        if let Some(listener) = self.acceptor.listener().filter(|_| accepting) {
            fds.push(watch(listener.as_fd()));
        }
        let pause = self.paused_until.filter(|_| !accepting && !self.held);
        let until = [self.cut_off, self.acceptor.retry_at(), pause].into_iter().flatten().min();
        let timeout = timeout_until(until);
        // An interrupted wait, for example by SIGCHLD, is repeated by the caller.
        let ready = poll(&mut fds, timeout.as_ref()).is_ok();
        let is_ready = |at: usize| ready && !fds[at].revents().is_empty();
        Ready { signal: is_ready(0), children: is_ready(1) }
    }

    fn begin_shutdown(&mut self, signal: u32) {
        if self.cut_off.is_some() {
            exit(128 + signal as i32, self.acceptor.service());
        }
        tracing::info!("stopping");
        self.acceptor.close();
        self.cut_off = Some(Instant::now() + self.acceptor.service().settings().drain_timeout);
    }
}

struct Ready {
    signal: bool,
    children: bool,
}

fn watch(fd: BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}
