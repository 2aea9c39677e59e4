//! Who accepts, so that a new client wakes one worker and clients are spread evenly.
//!
//! select and poll have no way to wake one waiter of several. So one worker at a time waits at the listening
//! socket. It hands this turn on when it is ahead of another one, and wakes that one by its bell: two workers
//! wake for a client at most, and mostly one, however many there are. nginx's `accept_mutex` is a turn likewise;
//! there, who did not get it tries again after a while.
//!
//! With epoll it is everybody's turn, and the kernel wakes one: the first in line that sleeps, which after a short
//! request is the same one again. So who is ahead goes to the end of the line: it takes the listening socket out
//! of its set and puts it back, as nginx does at every 16th client. Who is far ahead, after many clients have come at
//! once, stays away until others have caught up.
//!
//! The price of both: if the one at whom all wait is stuck in a blocking call, new clients wait with it.

use crate::helpers::Bell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// How many clients more than another one make a worker ahead, and how many far ahead.
const AHEAD: usize = 2;
const FAR_AHEAD: usize = 8;

const EVERYBODY: usize = usize::MAX;

pub(crate) struct Turn {
    whose: AtomicUsize,
    /// Nobody comes any more.
    over: AtomicBool,
    /// Each one's bell, and how many clients it has.
    workers: Vec<(Bell, AtomicUsize)>,
}

impl Turn {
    pub(crate) fn new(bells: Vec<Bell>, everybody: bool) -> Turn {
        let whose = if everybody || bells.len() == 1 { EVERYBODY } else { 0 };
        let workers = bells.into_iter().map(|bell| (bell, AtomicUsize::new(0))).collect();
        Turn { whose: AtomicUsize::new(whose), over: AtomicBool::new(false), workers }
    }

    pub(crate) fn bell(&self, worker: usize) -> &Bell {
        &self.workers[worker].0
    }

    pub(crate) fn workers(&self) -> usize {
        self.workers.len()
    }

    /// Whether `worker` may wait at the door. Who has the fewest clients may, if it is everybody's turn.
    pub(crate) fn is_of(&self, worker: usize) -> bool {
        match self.whose.load(Ordering::Acquire) {
            _ if self.over.load(Ordering::Acquire) => true, // let everybody see for himself
            EVERYBODY => self.lead(worker).0 < FAR_AHEAD,
            whose => whose == worker,
        }
    }

    /// How many clients `worker` has, for the others to know.
    pub(crate) fn note(&self, worker: usize, clients: usize) {
        self.workers[worker].1.store(clients, Ordering::Relaxed);
    }

    /// Tells the one with the fewest clients that it is his turn, if `worker` leaves it to him; gives whether
    /// `worker` is ahead.
    pub(crate) fn pass(&self, worker: usize) -> bool {
        let (lead, next) = self.lead(worker);
        let alone = self.whose.load(Ordering::Relaxed) == worker;
        if alone && lead >= AHEAD {
            self.whose.store(next, Ordering::Release);
        }
        if lead >= if alone { AHEAD } else { FAR_AHEAD } {
            self.bell(next).ring();
        }
        lead >= AHEAD
    }

    /// How many clients more `worker` has than the one with the fewest, and who that is.
    fn lead(&self, worker: usize) -> (usize, usize) {
        let clients = |of: usize| self.workers[of].1.load(Ordering::Relaxed);
        let fewest = (0..self.workers.len()).map(|of| (clients(of), of)).min();
        fewest.map_or((0, worker), |(few, of)| (clients(worker).saturating_sub(few), of))
    }

    /// Nobody comes any more.
    pub(crate) fn end(&self) {
        if !self.over.swap(true, Ordering::AcqRel) {
            self.workers.iter().for_each(|(bell, _)| bell.ring());
        }
    }
}
