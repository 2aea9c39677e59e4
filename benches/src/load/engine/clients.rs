//! All clients of a run, and in which order they take requests.

use super::client::{Client, Stage};
use crate::load::recording::Totals;
use crate::load::workload::{Arrivals, Profile, Workload};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::mem;
use std::ops::{Index, IndexMut};

/// All clients of a run, by number.
pub(super) struct Clients {
    all: Vec<Client>,
    /// Those that can take a request, in an open loop.
    ready: VecDeque<u32>,
    /// Those of them that have no connection: taken if no other can.
    unconnected: VecDeque<u32>,
    /// Those that pause, and until when.
    paused: BinaryHeap<Reverse<(u64, u32)>>,
    /// Those whose connection was refused.
    refused: VecDeque<u32>,
    slow: Vec<u32>,
    /// The pipelining depth.
    depth: usize,
    /// So many of them are to work: the first ones.
    active: usize,
    /// So many of the active ones have begun to connect.
    started: usize,
    /// How many have a connection.
    pub(super) open: usize,
    /// How many have begun a connection that is not made yet.
    pub(super) connecting: usize,
}

impl Clients {
    /// The clients of `workload`; so many of them are to work as its first phase has.
    pub(super) fn new(workload: &Workload) -> Clients {
        let count = workload.most_connections();
        let share = workload.slow_share;
        // An open loop makes the others when they are needed.
        let first_ones = if workload.arrivals == Arrivals::Closed {
            count
        } else {
            workload.first_connections()
        };
        let slow = (share * first_ones as f64).ceil() as usize;
        let steady = workload.profile == Profile::Steady;
        // Where clients are added, slow ones are among those that are added.
        let is_slow = |client: usize| match steady {
            true => client < slow,
            false if client >= first_ones => false,
            false => (share * client as f64).floor() < (share * (client + 1) as f64).floor(),
        };
        let active = match (workload.arrivals, workload.phases().first()) {
            (Arrivals::Closed, Some(first)) => first.from as usize,
            _ => first_ones,
        };
        Clients {
            all: (0..count).map(|client| Client::new(is_slow(client))).collect(),
            ready: VecDeque::with_capacity(count),
            paused: BinaryHeap::new(),
            refused: VecDeque::new(),
            slow: (0..count as u32).filter(|client| is_slow(*client as usize)).collect(),
            unconnected: VecDeque::new(),
            depth: workload.depth(),
            active,
            started: active,
            open: 0,
            connecting: 0,
        }
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    pub(super) fn active(&self) -> usize {
        self.active
    }

    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    /// The numbers of the slow ones.
    pub(super) fn slow(&self) -> &[u32] {
        &self.slow
    }

    pub(super) fn can_take(&self, client: usize) -> bool {
        self.all[client].can_take(self.depth)
    }

    /// Queues a client for the next request of an open loop, if it can take one.
    pub(super) fn queue(&mut self, client: usize) {
        if self.can_take(client) && !self.all[client].queued {
            self.all[client].queued = true;
            self.ready.push_back(client as u32);
        }
    }

    /// The client that takes the next request of an open loop, if any can: one that is connected, or else one that was,
    /// or else a new one, which is active from now on.
    pub(super) fn take_ready(&mut self) -> Option<usize> {
        while let Some(client) = self.ready.pop_front() {
            if self.all[client as usize].stage == Stage::Closed {
                self.unconnected.push_back(client);
            } else if let Some(client) = self.take(client) {
                return Some(client);
            }
        }
        while let Some(client) = self.unconnected.pop_front() {
            if let Some(client) = self.take(client) {
                return Some(client);
            }
        }
        let next = self.active;
        (next < self.all.len()).then(|| {
            self.active += 1;
            self.started = self.active;
            next
        })
    }

    /// Takes a client that was queued, if it can still take a request.
    fn take(&mut self, client: u32) -> Option<usize> {
        let client = client as usize;
        self.all[client].queued = false;
        // One whose connection was refused is not preferred to one that has it.
        let refused = self.all[client].stage == Stage::Refused && self.open > 0;
        (self.can_take(client) && !refused).then_some(client)
    }

    /// Has a client take no request before `until`.
    pub(super) fn pause(&mut self, client: usize, until: u64) {
        let until = self.all[client].paused_until.map_or(until, |other| other.max(until));
        self.all[client].paused_until = Some(until);
        self.paused.push(Reverse((until, client as u32)));
    }

    /// The next client whose pause is over; it may be used again.
    pub(super) fn take_paused(&mut self, now: u64) -> Option<usize> {
        while let Some(Reverse((until, client))) = self.paused.peek().copied()
            && until <= now
        {
            self.paused.pop();
            let client = client as usize;
            // Not if the pause has become longer since.
            if self.all[client].paused_until == Some(until) {
                self.all[client].paused_until = None;
                return Some(client);
            }
        }
        None
    }

    /// When the next pause is over.
    pub(super) fn next_pause_end(&self) -> Option<u64> {
        self.paused.peek().map(|Reverse((until, _))| *until)
    }

    /// Has a client whose connection was refused wait until it may try again.
    pub(super) fn refuse(&mut self, client: usize) {
        self.all[client].refuse();
        if !mem::replace(&mut self.all[client].retries, true) {
            self.refused.push_back(client as u32);
        }
    }

    /// The next client that tries again to connect. Those that need no connection any longer are closed.
    pub(super) fn take_refused(&mut self, draining: bool) -> Option<usize> {
        while let Some(client) = self.refused.pop_front() {
            let client = client as usize;
            let needless = draining || client >= self.active;
            let this = &mut self.all[client];
            this.retries = false;
            if this.stage == Stage::Refused {
                if this.has_work() || !needless {
                    return Some(client);
                }
                this.stage = Stage::Closed;
            }
        }
        None
    }

    /// The clients whose connection was refused.
    pub(super) fn refused(&self) -> Vec<usize> {
        self.refused.iter().map(|client| *client as usize).collect()
    }

    pub(super) fn any_refused(&self) -> bool {
        !self.refused.is_empty()
    }

    /// Sets how many clients are to work; returns how many there were.
    pub(super) fn resize(&mut self, clients: usize) -> usize {
        self.started = self.started.min(clients);
        mem::replace(&mut self.active, clients)
    }

    /// The next active client that has not begun to connect; it is taken to have begun now.
    pub(super) fn start_next(&mut self) -> Option<usize> {
        (self.started < self.active).then(|| {
            self.started += 1;
            self.started - 1
        })
    }

    pub(super) fn all_started(&self) -> bool {
        self.started == self.active
    }

    /// Begins to count finished requests.
    pub(super) fn reset_finished(&mut self) {
        self.all.iter_mut().for_each(|client| client.finished = 0);
    }

    /// How many requests each of the first `count` clients has finished.
    pub(super) fn finished(&self, count: usize) -> Vec<u64> {
        self.all[..count].iter().map(|client| client.finished).collect()
    }

    /// `totals` with the counts of connections and clients. In a ramp, a client that still connects is not
    /// counted as refused.
    pub(super) fn count_into(&self, totals: Totals, ramp: bool) -> Totals {
        let asked = totals.connections_asked;
        let clients = || self.all.iter().take(asked as usize);
        // A client that was never needed was not refused.
        let tried =
            |client: &&Client| client.generation > 0 || client.stage == Stage::Connecting && !ramp;
        let unmade = clients().filter(tried).filter(|client| !client.made).count() as u64;
        Totals {
            connections_made: asked.saturating_sub(unmade),
            clients_served: clients().filter(|client| client.finished > 0).count() as u64,
            ..totals
        }
    }
}

impl Index<usize> for Clients {
    type Output = Client;

    fn index(&self, client: usize) -> &Client {
        &self.all[client]
    }
}

impl IndexMut<usize> for Clients {
    fn index_mut(&mut self, client: usize) -> &mut Client {
        &mut self.all[client]
    }
}
