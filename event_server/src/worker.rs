//! The loop.

use crate::clients::{Client, Places};
use crate::helpers::Errand;
use crate::poller::{Event, Poller, Token, Watch};
use crate::turn::Turn;
use crossbeam::channel::{Receiver, Sender, unbounded};
use file_service::{Accepted, Connection, Incoming, Interest, Outcome, Socket, Step};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many clients a worker that is alone accepts before others get their turn.
const ACCEPTS: usize = 64;

/// One of several accepts one client, and so leaves the next one to the worker that was woken for it; but one
/// for so many that are ready, or who is busy would never get to those who wait.
const READY_FOR_ONE: usize = 8;

/// One thread with its clients.
pub(crate) struct Worker<P> {
    number: usize,
    poller: P,
    incoming: Incoming,
    /// The listening socket by a descriptor of our own: it must leave the poller before it is closed, and
    /// `incoming` closes its one as soon as it hears of the stop.
    door: Option<OwnedFd>,
    at_door: Watch,
    /// The door is left alone until `come_by`, for want of descriptors.
    paused: bool,
    /// When to look after clients that were refused, or after the pause.
    come_by: Option<Instant>,
    turn: Arc<Turn>,
    helpers: Sender<Errand>,
    back: Sender<(Token, Option<Outcome>)>,
    outcomes: Receiver<(Token, Option<Outcome>)>,
    clients: Places<Client>,
    /// Clients whose turn comes, each once.
    ready: VecDeque<Token>,
    /// How often a client at the door woke this worker, and how many were there.
    wakes: u64,
    accepted: u64,
}

impl<P: Poller> Worker<P> {
    pub(crate) fn new(
        number: usize,
        mut poller: P,
        incoming: Incoming,
        helpers: Sender<Errand>,
        turn: Arc<Turn>,
    ) -> io::Result<Worker<P>> {
        let door = incoming.listener().map(|door| door.try_clone_to_owned()).transpose()?;
        poller.watch(turn.bell(number).as_fd(), Token::BELL, Watch::Nothing, Watch::Read)?;
        let (back, outcomes) = unbounded();
        Ok(Worker {
            number,
            poller,
            incoming,
            door,
            at_door: Watch::Nothing,
            paused: false,
            come_by: None,
            turn,
            helpers,
            back,
            outcomes,
            clients: Places::new(),
            ready: VecDeque::new(),
            wakes: 0,
            accepted: 0,
        })
    }

    /// Serves until the order to stop, and then until the last client has left.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events = Vec::new();
        while self.door.is_some() || self.clients.count() > 0 {
            self.mind_the_door()?;
            // The model: one question for all clients, and a turn for each that is ready.
            self.poller.wait(&mut events, self.patience())?;
            for Event { token, hung_up } in events.drain(..) {
                match token {
                    Token::DOOR => self.answer_the_door(),
                    Token::BELL => self.take_outcomes(),
                    client => self.notice(client, hung_up),
                }
            }
            if self.come_by.is_some_and(|at| at <= Instant::now()) {
                self.accept();
            }
            // Whoever has more to do when his turn ends goes to the end, behind those who come now.
            for _ in 0..self.ready.len() {
                if let Some(client) = self.ready.pop_front() {
                    self.advance(client);
                }
            }
        }
        let Worker { number, wakes, accepted, .. } = self;
        tracing::debug!(number, wakes, accepted, "worker ends");
        Ok(())
    }

    /// How long the next wait may be.
    fn patience(&self) -> Option<Duration> {
        if self.ready.is_empty() {
            self.come_by.map(|at| at.saturating_duration_since(Instant::now()))
        } else {
            Some(Duration::ZERO)
        }
    }

    /// The client is ready; it gets its turn.
    fn notice(&mut self, token: Token, hung_up: bool) {
        // Nobody, if this was said of one who has left.
        let Some(client) = self.clients.find(token) else { return };
        client.hung_up |= hung_up;
        if client.queued {
            client.news = true;
        } else {
            client.session.dispatched(self.incoming.service().moment());
            self.queue(token);
        }
    }

    fn queue(&mut self, token: Token) {
        if let Some(client) = self.clients.find(token) {
            client.queued = true;
            self.ready.push_back(token);
        }
    }

    /// A client's turn.
    fn advance(&mut self, token: Token) {
        let Some(client) = self.clients.find(token) else { return };
        client.queued = false;
        client.connection.link().wait_until(None);
        if Instant::now() >= client.session.deadline() {
            client.session.expire();
        }
        let turn = || client.session.advance(&mut Socket(client.connection.socket()));
        // A session that panics is over, and costs no other client.
        match catch_unwind(AssertUnwindSafe(turn)).unwrap_or(Step::Closed) {
            Step::Yield => self.queue(token),
            // It has not read since it was reported: by edge, that will not be said again.
            Step::Idle if client.news || client.hung_up => {
                client.news = false;
                self.queue(token);
            }
            Step::Idle => self.park(token, Interest::Read),
            Step::Wait(interest) => {
                client.news = false;
                self.park(token, interest);
            }
            Step::Offload(job) => {
                // Watched meanwhile, a client that speaks or resets would wake the loop again and again.
                if self.watch(token, Watch::Nothing) {
                    let (back, bell) = (self.back.clone(), self.turn.bell(self.number).clone());
                    // The helpers end after the workers.
                    let _ = self.helpers.send(Errand { job, client: token, back, bell });
                }
            }
            Step::Closed => self.leave(token),
        }
    }

    /// Leaves the client to the poller.
    fn park(&mut self, token: Token, interest: Interest) {
        if self.watch(token, interest.into())
            && let Some(client) = self.clients.find(token)
        {
            // It becomes ready when this time passes.
            client.connection.link().wait_for(interest, client.session.deadline());
        }
    }

    /// Gives whether the client can be watched like this; one that cannot is lost.
    fn watch(&mut self, token: Token, wanted: Watch) -> bool {
        let Some(client) = self.clients.find(token) else { return false };
        if client.watched == wanted {
            return true;
        }
        let fd = client.connection.socket().as_fd();
        let outcome = self.poller.watch(fd, token, client.watched, wanted);
        match outcome {
            Ok(()) => client.watched = wanted,
            Err(error) => {
                tracing::warn!("a client cannot be watched: {error}");
                self.leave(token);
                return false;
            }
        }
        true
    }

    fn leave(&mut self, token: Token) {
        if let Some(client) = self.clients.leave(token) {
            if client.watched != Watch::Nothing {
                self.poller.forget(client.connection.socket().as_fd(), token);
            }
            // Dropping the connection closes the socket: not before this.
            drop(client);
            self.turn.note(self.number, self.clients.count());
        }
    }

    /// Helpers have done something, or it is this worker's turn to accept.
    fn take_outcomes(&mut self) {
        self.turn.bell(self.number).hush();
        while let Ok((token, outcome)) = self.outcomes.try_recv() {
            match (outcome, self.clients.find(token)) {
                (Some(outcome), Some(client)) => {
                    client.session.resume(outcome);
                    self.queue(token);
                }
                // The job has panicked.
                _ => self.leave(token),
            }
        }
    }

    /// Watches the door if it is this worker's turn, and only then.
    fn mind_the_door(&mut self) -> io::Result<()> {
        let wanted = self.turn.is_of(self.number) && !self.paused;
        let wanted = if wanted { Watch::Accept } else { Watch::Nothing };
        if let Some(door) = &self.door
            && self.at_door != wanted
        {
            self.poller.watch(door.as_fd(), Token::DOOR, self.at_door, wanted)?;
            self.at_door = wanted;
        }
        Ok(())
    }

    fn answer_the_door(&mut self) {
        self.wakes += 1;
        self.accept();
    }

    /// Accepts some of those who wait. Who is left over is reported again.
    fn accept(&mut self) {
        let now = Instant::now();
        let limit = match self.turn.workers() {
            1 => ACCEPTS,
            _ => 1 + self.ready.len() / READY_FOR_ONE,
        };
        self.paused = false;
        // Unless it is known better at the end.
        self.come_by = self.come_by.map(|_| now);
        for _ in 0..limit {
            match self.incoming.try_next() {
                Accepted::Connection(connection) => self.admit(connection),
                Accepted::Again => self.come_by = Some(now),
                Accepted::Nobody(until) => {
                    self.come_by = until;
                    break;
                }
                Accepted::Pause(until) => {
                    (self.paused, self.come_by) = (true, Some(until));
                    break;
                }
                Accepted::Stop => {
                    self.close_the_door();
                    break;
                }
            }
        }
        self.turn.note(self.number, self.clients.count());
        if self.turn.pass(self.number) {
            self.leave_the_door();
        }
    }

    /// Waits at the door no more; in the next round again, behind the others, if it is still our turn.
    fn leave_the_door(&mut self) {
        if let Some(door) = &self.door
            && self.at_door != Watch::Nothing
        {
            // Does not fail: it is watched.
            let _ = self.poller.watch(door.as_fd(), Token::DOOR, self.at_door, Watch::Nothing);
            self.at_door = Watch::Nothing;
        }
    }

    /// A new client counts as ready, as most speak at once. The poller hears of it when it must wait.
    fn admit(&mut self, connection: Connection) {
        self.accepted += 1;
        if self.poller.can_watch(connection.socket().as_fd()) {
            let session = connection.session(self.incoming.service());
            let token = self.clients.enter(Client::new(connection, session));
            self.queue(token);
        } else {
            let link = Arc::clone(connection.link());
            drop(connection);
            self.incoming.refuse(link);
            self.come_by = Some(Instant::now());
        }
    }

    fn close_the_door(&mut self) {
        // Others hold the same socket: closing our descriptor would not take it out of an epoll set.
        self.leave_the_door();
        self.door = None;
        self.come_by = None;
        self.turn.end();
    }
}
