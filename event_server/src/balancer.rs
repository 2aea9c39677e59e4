//! Decides which worker waits for new clients, so that a client wakes one worker and clients are spread evenly.
//!
//! select and poll have no way to wake one waiter of several. So one worker at a time watches the listening
//! socket. It hands this role on when it is ahead of another worker, and wakes that one: two workers wake for
//! a client at most, and mostly one, however many there are. nginx's `accept_mutex` is such a role; there a
//! worker that did not get it tries again after a while.
//!
//! With epoll every worker watches the listening socket, and the kernel wakes one: the first in line that
//! sleeps, which after a short request is the same one again. So a worker that is ahead goes to the end of the
//! line: it takes the listening socket out of its set and puts it back, as nginx does at every 16th client. A
//! worker that is far ahead, after many clients have come at once, stays away until others have caught up.
//!
//! The price of both: if the worker that would accept is stuck in a blocking call, new clients wait with it.

use server_core::Waker;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many clients more than another one make a worker ahead, and how many far ahead.
const AHEAD: usize = 2;
const FAR_AHEAD: usize = 8;

/// In place of a worker's number: every worker may accept.
const EVERY_WORKER: usize = usize::MAX;

pub(crate) struct AcceptBalancer {
    /// The worker that may accept.
    acceptor: AtomicUsize,
    /// Shutdown was requested.
    closed: AtomicBool,
    /// Each worker's waker, and how many clients it has.
    workers: Vec<(Waker, AtomicUsize)>,
}

impl AcceptBalancer {
    /// Balances the workers of these wakers; `together` if all may watch the listening socket at once.
    pub(crate) fn new(wakers: Vec<Waker>, together: bool) -> AcceptBalancer {
        let acceptor = if together || wakers.len() == 1 { EVERY_WORKER } else { 0 };
        let workers = wakers.into_iter().map(|waker| (waker, AtomicUsize::new(0))).collect();
        AcceptBalancer {
            acceptor: AtomicUsize::new(acceptor),
            closed: AtomicBool::new(false),
            workers,
        }
    }

    pub(crate) fn waker(&self, worker: usize) -> &Waker {
        &self.workers[worker].0
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Whether `worker` may watch the listening socket. After the shutdown request every worker may, to see
    /// it.
    pub(crate) fn may_accept(&self, worker: usize) -> bool {
        match self.acceptor.load(Ordering::Acquire) {
            _ if self.closed.load(Ordering::Acquire) => true,
            EVERY_WORKER => self.lead(worker).0 < FAR_AHEAD,
            acceptor => acceptor == worker,
        }
    }

    /// Publishes how many clients `worker` has.
    pub(crate) fn set_clients(&self, worker: usize, clients: usize) {
        self.workers[worker].1.store(clients, Ordering::Relaxed);
    }

    /// Lets the worker with the fewest clients accept, and wakes it, if `worker` is ahead. Returns whether it
    /// is.
    pub(crate) fn hand_off(&self, worker: usize) -> bool {
        let (lead, next) = self.lead(worker);
        let alone = self.acceptor.load(Ordering::Relaxed) == worker;
        if alone && lead >= AHEAD {
            self.acceptor.store(next, Ordering::Release);
        }
        if lead >= if alone { AHEAD } else { FAR_AHEAD } {
            self.waker(next).wake();
        }
        lead >= AHEAD
    }

    /// Returns how many clients more `worker` has than the worker with the fewest, and which that is.
    fn lead(&self, worker: usize) -> (usize, usize) {
        let clients = |of: usize| self.workers[of].1.load(Ordering::Relaxed);
        let fewest = (0..self.workers.len()).map(|of| (clients(of), of)).min();
        fewest.map_or((0, worker), |(few, of)| (clients(worker).saturating_sub(few), of))
    }

    /// Wakes every worker for the shutdown.
    pub(crate) fn close(&self) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            self.workers.iter().for_each(|(waker, _)| waker.wake());
        }
    }
}
