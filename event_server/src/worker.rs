//! The loop.

use crate::balancer::AcceptBalancer;
use crate::client::Client;
use crate::poller::{Event, LISTENER, Poller, RESERVED, WAKER, Watch};
use file_service::Step;
use server_core::{
    Accepted, Acceptor, Connection, Helpers, Key, Outcomes, Slab, Socket, deadline_tick,
};
use std::collections::VecDeque;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many clients a single worker accepts before others get their turn.
const ACCEPTS: usize = 64;

/// One of several workers accepts one client, and so leaves the next one to the worker that was woken for it;
/// but one for so many that are ready, or a busy worker would never reach the clients that wait.
const READY_FOR_ONE: usize = 8;

/// One thread with its clients.
pub(crate) struct Worker<P> {
    number: usize,
    poller: P,
    acceptor: Acceptor,
    /// The listening socket by a descriptor of our own: it must leave the poller before it is closed, and
    /// the acceptor closes its own one as soon as shutdown is requested.
    listener: Option<TcpListener>,
    listener_watched: Watch,
    /// The listening socket is not watched until `retry_accept_at`, for want of descriptors.
    paused: bool,
    /// When to try to accept without an event: for refused clients, or after the pause.
    retry_accept_at: Option<Instant>,
    balancer: Arc<AcceptBalancer>,
    outcomes: Outcomes,
    clients: Slab<Client>,
    /// Clients whose session is to be advanced, each once.
    ready: VecDeque<Key>,
    /// When deadlines are looked at next.
    next_tick: Instant,
    /// How often a new client woke this worker, and how many it accepted.
    wakes: u64,
    accepted: u64,
}

impl<P: Poller> Worker<P> {
    pub(crate) fn new(
        number: usize,
        mut poller: P,
        acceptor: Acceptor,
        helpers: Helpers,
        balancer: Arc<AcceptBalancer>,
    ) -> io::Result<Worker<P>> {
        let listener = acceptor.listener().map(TcpListener::try_clone).transpose()?;
        let waker = balancer.waker(number).clone();
        poller.watch(waker.as_fd(), WAKER, Watch::Nothing, Watch::Read)?;
        Ok(Worker {
            number,
            poller,
            acceptor,
            listener,
            listener_watched: Watch::Nothing,
            paused: false,
            retry_accept_at: None,
            balancer,
            outcomes: Outcomes::new(helpers, waker),
            clients: Slab::with_reserved(RESERVED),
            ready: VecDeque::new(),
            next_tick: Instant::now(),
            wakes: 0,
            accepted: 0,
        })
    }

    /// Serves until shutdown is requested, and then until the last client has left.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Vec::new();
        while self.listener.is_some() || !self.clients.is_empty() {
            self.update_listener_interest()?;
            // The model: one wait for all clients, and a turn for each that is ready.
            self.poller.wait(&mut events, self.wait_timeout())?;
            for Event { key, hung_up } in events.drain(..) {
                match key {
                    LISTENER => {
                        self.wakes += 1;
                        self.accept();
                    }
                    WAKER => self.take_outcomes(),
                    client => self.client_ready(client, hung_up),
                }
            }
            if self.retry_accept_at.is_some_and(|at| at <= Instant::now()) {
                self.accept();
            }
            self.queue_overdue();
            // A client that has more to do when its turn ends goes to the end, behind those that come now.
            for _ in 0..self.ready.len() {
                if let Some(client) = self.ready.pop_front() {
                    self.serve(client);
                }
            }
        }
        let Worker { number, wakes, accepted, .. } = self;
        tracing::debug!(number, wakes, accepted, "worker ends");
        Ok(())
    }

    /// How long the next wait may be.
    fn wait_timeout(&self) -> Option<Duration> {
        if !self.ready.is_empty() {
            return Some(Duration::ZERO);
        }
        let tick = (!self.clients.is_empty()).then_some(self.next_tick);
        let until = self.retry_accept_at.into_iter().chain(tick).min();
        until.map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Queues the clients whose deadline has passed, now and then.
    fn queue_overdue(&mut self) {
        let now = Instant::now();
        if now < self.next_tick {
            return;
        }
        self.next_tick = now + deadline_tick(self.acceptor.service());
        for (key, client) in self.clients.iter_mut() {
            if !client.queued && client.session.deadline() <= now {
                client.queued = true;
                self.ready.push_back(key);
            }
        }
    }

    // ---- Clients ----

    /// Notes that the client is ready, and queues it for its turn.
    fn client_ready(&mut self, key: Key, hung_up: bool) {
        // None, if the event is about a client that has left.
        let Some(client) = self.clients.get_mut(key) else { return };
        client.hung_up |= hung_up;
        if client.queued {
            client.reported = true;
        } else {
            client.session.dispatched(self.acceptor.service().moment());
            self.queue(key);
        }
    }

    fn queue(&mut self, key: Key) {
        if let Some(client) = self.clients.get_mut(key)
            && !std::mem::replace(&mut client.queued, true)
        {
            self.ready.push_back(key);
        }
    }

    /// Gives the client its turn.
    fn serve(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.queued = false;
        let turn = || client.session.advance(&mut Socket(client.connection.socket()));
        // A session that panics is over, and costs no other client.
        match catch_unwind(AssertUnwindSafe(turn)).unwrap_or(Step::Closed) {
            // It has not read since it was reported: by edge, it will not be reported again.
            Step::Idle if client.reported || client.hung_up => {
                client.reported = false;
                self.queue(key);
            }
            Step::Idle => self.watch(key, Watch::Read),
            Step::Wait(interest) => {
                client.reported = false;
                self.watch(key, interest.into());
            }
            Step::Yield => self.queue(key),
            Step::Offload(job) => {
                // Watched meanwhile, a client that sends or resets would wake the loop again and again.
                self.watch(key, Watch::Nothing);
                self.outcomes.offload(key, job);
            }
            Step::Closed => self.remove(key),
        }
    }

    /// Watches the client for `wanted`. A client that cannot be watched is lost.
    fn watch(&mut self, key: Key, wanted: Watch) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.watched == wanted {
            return;
        }
        let fd = client.connection.socket().as_fd();
        let outcome = self.poller.watch(fd, key, client.watched, wanted);
        match outcome {
            Ok(()) => client.watched = wanted,
            Err(error) => {
                tracing::warn!("a client cannot be watched: {error}");
                self.remove(key);
            }
        }
    }

    fn remove(&mut self, key: Key) {
        if let Some(client) = self.clients.remove(key) {
            if client.watched != Watch::Nothing {
                self.poller.forget(client.connection.socket().as_fd(), key);
            }
            // Dropping the connection closes the socket: not before this.
            drop(client);
            self.balancer.set_clients(self.number, self.clients.len());
        }
    }

    /// Resumes the sessions whose offloaded work is done. Without any, the wake-up meant that this worker may
    /// accept.
    fn take_outcomes(&mut self) {
        self.outcomes.waker().clear();
        while let Some((key, outcome)) = self.outcomes.next() {
            match (outcome, self.clients.get_mut(key)) {
                (Some(outcome), Some(client)) => {
                    client.session.resume(outcome);
                    self.queue(key);
                }
                // The job has panicked.
                _ => self.remove(key),
            }
        }
    }

    // ---- New clients ----

    /// Watches the listening socket if this worker may accept, and only then.
    fn update_listener_interest(&mut self) -> io::Result<()> {
        let wanted = self.balancer.may_accept(self.number) && !self.paused;
        let wanted = if wanted { Watch::Accept } else { Watch::Nothing };
        if let Some(listener) = &self.listener
            && self.listener_watched != wanted
        {
            self.poller.watch(listener.as_fd(), LISTENER, self.listener_watched, wanted)?;
            self.listener_watched = wanted;
        }
        Ok(())
    }

    /// Accepts some of the clients that wait. The others are reported again.
    fn accept(&mut self) {
        let now = Instant::now();
        let limit = match self.balancer.workers() {
            1 => ACCEPTS,
            _ => 1 + self.ready.len() / READY_FOR_ONE,
        };
        self.paused = false;
        // Unless the acceptor returns a time below.
        self.retry_accept_at = self.retry_accept_at.map(|_| now);
        for _ in 0..limit {
            match self.acceptor.try_accept() {
                Accepted::Connection(connection) => self.admit(connection),
                Accepted::Retry => self.retry_accept_at = Some(now),
                Accepted::Empty(until) => {
                    self.retry_accept_at = until;
                    break;
                }
                Accepted::Pause(until) => {
                    (self.paused, self.retry_accept_at) = (true, Some(until));
                    break;
                }
                Accepted::Shutdown => {
                    self.close_listener();
                    break;
                }
            }
        }
        self.balancer.set_clients(self.number, self.clients.len());
        if self.balancer.hand_off(self.number) {
            self.unwatch_listener();
        }
    }

    /// Queues a new client, which counts as ready, since most send at once. The poller watches it when it
    /// must wait.
    fn admit(&mut self, connection: Connection) {
        self.accepted += 1;
        if self.poller.can_watch(connection.socket().as_fd()) {
            let session = connection.session(self.acceptor.service());
            let key = self.clients.insert(Client::new(connection, session));
            self.queue(key);
        } else {
            let handle = Arc::clone(connection.handle());
            drop(connection);
            self.acceptor.refuse(handle);
            self.retry_accept_at = Some(Instant::now());
        }
    }

    /// Stops watching the listening socket; in the next round it is watched again, behind the other workers,
    /// if this one may still accept.
    fn unwatch_listener(&mut self) {
        if let Some(listener) = &self.listener
            && self.listener_watched != Watch::Nothing
        {
            // Does not fail: it is watched.
            let from = self.listener_watched;
            let _ = self.poller.watch(listener.as_fd(), LISTENER, from, Watch::Nothing);
            self.listener_watched = Watch::Nothing;
        }
    }

    fn close_listener(&mut self) {
        // Other workers hold the same socket: closing our descriptor would not take it out of an epoll set.
        self.unwatch_listener();
        self.listener = None;
        self.retry_accept_at = None;
        self.balancer.close();
    }
}
