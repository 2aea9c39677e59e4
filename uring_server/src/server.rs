//! The loop: completions in, sessions advanced, submissions out.

use crate::ring::{Arrival, Ring};
use crate::wire::{Exchange, Pool, Tags, Wire};
use file_service::{Interest, Service, Session, Step};
use io_uring::cqueue;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use server_core::{Accepted, Acceptor, Connection, Helpers, Key, Outcomes, Slab, Waker};
use std::io;
use std::mem::ManuallyDrop;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// What a client's session waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    ToRead,
    ToWrite,
    /// For a helper.
    ForWork,
    /// For nothing: it has had its share.
    ForItsTurn,
    /// It has ended; the kernel still has operations of the connection.
    ForTheKernel,
}

struct Client {
    wire: Wire,
    session: Option<Box<Session>>,
    connection: Connection,
    waits: Waits,
    /// The turn of the loop in which its session was last advanced, and how many requests it had made before.
    turn: u64,
    requests: u64,
}

impl Client {
    /// Whether its session may be advanced for a completion in this turn of the loop. Many completions may have come for
    /// it, and each would have a share of its own. So only those of one request are taken at once.
    fn takes_turn(&mut self, turn: u64) -> bool {
        let requests = self.session.as_ref().map_or(0, |session| session.requests());
        if self.turn != turn {
            (self.turn, self.requests) = (turn, requests);
        }
        self.requests == requests
    }
}

/// Whether bytes that have arrived can be read, or the end of the stream.
fn is_readable(socket: &TcpStream) -> bool {
    poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&Timespec::default())) == Ok(1)
}

/// The kinds of operations, in the lowest bits of a tag.
const ACCEPT: u64 = 0;
const WAKE: u64 = 1;
const CANCEL: u64 = 2;
const RECEIVE: u64 = 3;
const SEND: u64 = 4;
const READ: u64 = 5;
const KIND_BITS: u32 = 3;

/// The bits of a key's slot in a tag. The key stands in the tags of its client's operations, so that a late
/// completion for one client reaches no other.
const INDEX_BITS: u32 = 29;

fn tag(key: Key, kind: u64) -> u64 {
    key.to_bits(INDEX_BITS) << KIND_BITS | kind
}

fn tags(key: Key) -> Tags {
    Tags {
        receive: tag(key, RECEIVE),
        send: tag(key, SEND),
        read: tag(key, READ),
        cancel: tag(key, CANCEL),
    }
}

fn key_of(tag: u64) -> Key {
    Key::from_bits(tag >> KIND_BITS, INDEX_BITS)
}

/// One ring and everything that hangs on it.
pub(crate) struct Server {
    ring: Ring,
    acceptor: Acceptor,
    service: Service,
    outcomes: Outcomes,
    /// Where a read of the waker goes.
    wakes: Box<u64>,
    clients: Slab<Client>,
    pool: Pool,
    /// Clients with operations to be submitted.
    pending: Vec<Key>,
    /// Clients whose session has yielded.
    yielded: Vec<Key>,
    /// When deadlines are looked at next.
    next_tick: Instant,
    /// How often completions were taken, and when this was done last.
    turn: u64,
    now: Instant,
    accepting: bool,
    /// No client is accepted before this moment.
    pause: Option<Instant>,
    stopped: bool,
}

impl Server {
    pub(crate) fn new(
        acceptor: Acceptor,
        service: &Service,
        helpers: Helpers,
    ) -> io::Result<Server> {
        Ok(Server {
            ring: Ring::new()?,
            acceptor,
            service: service.clone(),
            outcomes: Outcomes::new(helpers, Waker::blocking()?),
            wakes: Box::default(),
            clients: Slab::default(),
            pool: Pool::default(),
            pending: Vec::new(),
            yielded: Vec::new(),
            next_tick: Instant::now(),
            turn: 0,
            now: Instant::now(),
            accepting: false,
            pause: None,
            stopped: false,
        })
    }

    /// Serves until shutdown is requested, and then until the last client has left.
    pub(crate) fn run(self) -> io::Result<()> {
        // Until the last operation has completed the kernel may write to what this server owns. So none of it
        // is ever freed after an error or a panic.
        let mut server = ManuallyDrop::new(self);
        server.serve_all()?;
        server.cancel_waker_read()?;
        drop(ManuallyDrop::into_inner(server));
        Ok(())
    }

    fn serve_all(&mut self) -> io::Result<()> {
        self.read_waker()?;
        loop {
            let refused = self.acceptor.visit_refused();
            if self.stopped && self.clients.is_empty() {
                return Ok(());
            }
            self.accept_again()?;
            // The model: hand all pending operations to the kernel, and wait until one has been done.
            self.submit_pending()?;
            self.ring.turn(self.wait_timeout(refused))?;
            self.turn += 1;
            self.now = Instant::now();
            let completions = self.ring.take();
            for completion in &completions {
                self.complete(completion)?;
            }
            self.ring.taken(completions);
            for key in std::mem::take(&mut self.yielded) {
                self.serve(key, None);
            }
            self.look_around()?;
        }
    }

    /// Has the kernel accept clients, unless it does or there is a reason not to.
    fn accept_again(&mut self) -> io::Result<()> {
        if self.pause.is_some_and(|until| Instant::now() >= until) {
            self.pause = None;
        }
        if let (false, None, Some(listener)) =
            (self.accepting, self.pause, self.acceptor.listener())
        {
            self.ring.accept(listener.as_raw_fd(), ACCEPT)?;
            self.accepting = true;
        }
        Ok(())
    }

    /// Submits what sessions have asked for. From here until the kernel has been called no session is
    /// advanced: the descriptors that the submissions name stay what they are.
    fn submit_pending(&mut self) -> io::Result<()> {
        for key in self.pending.drain(..) {
            if let Some(client) = self.clients.get_mut(key)
                && client.session.is_some()
            {
                client.wire.submit(&mut self.ring, tags(key), &mut self.pool)?;
            }
        }
        Ok(())
    }

    /// How long to wait for a completion; without an end if nothing else is due.
    fn wait_timeout(&self, refused: Option<Instant>) -> Option<Duration> {
        if !self.yielded.is_empty() {
            return Some(Duration::ZERO);
        }
        let tick = (!self.clients.is_empty()).then_some(self.next_tick);
        let due = [self.pause, refused, tick].into_iter().flatten().min()?;
        // Not zero, which would not wait.
        Some(due.saturating_duration_since(Instant::now()).max(Duration::from_micros(100)))
    }

    fn complete(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let key = key_of(completion.user_data());
        match completion.user_data() & ((1 << KIND_BITS) - 1) {
            ACCEPT => self.accepted(completion),
            WAKE => {
                self.read_waker()?;
                self.take_outcomes();
            }
            RECEIVE => self.received(key, completion),
            SEND => {
                let Some(client) = self.clients.get_mut(key) else { return Ok(()) };
                client.wire.sent(completion.result(), &mut self.pool);
                self.written(key, true);
            }
            READ => {
                let Some(client) = self.clients.get_mut(key) else { return Ok(()) };
                let ready = client.wire.file_fell_short(completion.result());
                self.written(key, ready);
            }
            _ => {} // CANCEL: what was cancelled has a completion of its own
        }
        Ok(())
    }

    fn accepted(&mut self, completion: &cqueue::Entry) {
        self.accepting &= cqueue::more(completion.flags());
        let outcome = match completion.result() {
            // SAFETY: the kernel has just made this descriptor for us, and tells nobody else of it.
            socket if socket >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(socket) }),
            error => Err(Errno::from_raw_os_error(-error)),
        };
        match self.acceptor.accept_completed(outcome) {
            Accepted::Connection(connection) => {
                let session = Some(Box::new(connection.session(&self.service)));
                let wire = Wire::new(connection.socket().as_raw_fd());
                let waits = Waits::ForItsTurn;
                let key = self.clients.insert(Client {
                    wire,
                    session,
                    connection,
                    waits,
                    turn: 0,
                    requests: 0,
                });
                self.serve(key, None);
            }
            Accepted::Pause(until) => self.pause = Some(until),
            Accepted::Shutdown => self.stopped = true,
            Accepted::Retry | Accepted::Empty(_) => {}
        }
    }

    fn received(&mut self, key: Key, completion: &cqueue::Entry) {
        let arrival = Arrival::of(completion);
        let Some(client) = self.clients.get_mut(key) else {
            return self.release(arrival);
        };
        let more = cqueue::more(completion.flags());
        client.wire.received(completion.result(), more, &mut self.pool);
        match client.waits {
            Waits::ToRead if client.wire.is_readable() || arrival.is_some() => {
                return self.serve_in_turn(key, arrival);
            }
            Waits::ToRead => self.pending.push(key), // no buffer was free, or this was the end of a stream
            Waits::ForTheKernel => {
                self.release(arrival);
                return self.remove_if_done(key);
            }
            // The session is busy otherwise, and reads it later.
            Waits::ToWrite | Waits::ForWork | Waits::ForItsTurn => {
                if let Some(arrival) = arrival {
                    client.wire.keep(self.ring.bytes(arrival));
                    self.pending.push(key); // it may be enough
                }
            }
        }
        self.release(arrival);
    }

    /// A send has completed, and the session is told if it waits for that.
    fn written(&mut self, key: Key, ready: bool) {
        let Some(client) = self.clients.get_mut(key) else { return };
        match client.waits {
            Waits::ToWrite if ready => self.serve_in_turn(key, None),
            Waits::ForTheKernel => self.remove_if_done(key),
            _ if client.wire.has_pending() => self.pending.push(key), // what is left of it
            _ => {}
        }
    }

    /// Advances the session of a client, or queues the client if it has had its share in this turn of the loop.
    fn serve_in_turn(&mut self, key: Key, arrival: Option<Arrival>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        if client.takes_turn(self.turn) {
            return self.serve(key, arrival);
        }
        if let Some(arrival) = arrival {
            client.wire.keep(self.ring.bytes(arrival));
        }
        client.waits = Waits::ForItsTurn;
        self.yielded.push(key);
        self.pending.push(key);
        self.release(arrival);
    }

    /// Advances the session of a client, with what has just arrived for it.
    fn serve(&mut self, key: Key, arrival: Option<Arrival>) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let Some(session) = &mut client.session else { return };
        let arrived = arrival.map_or(&[][..], |arrival| self.ring.bytes(arrival));
        let socket = client.connection.socket();
        let mut exchange =
            Exchange { wire: &mut client.wire, socket, arrived, pool: &mut self.pool };
        // A panic costs the client whose session it was in, and nobody else.
        let turn = AssertUnwindSafe(|| session.advance(&mut exchange));
        let step = catch_unwind(turn).unwrap_or(Step::Closed);
        let rest = exchange.arrived;
        client.wire.keep(rest);
        client.waits = match step {
            Step::Idle if client.wire.receive_while_idle() => Waits::ForItsTurn,
            // Nothing more will come, which the session is told when what it has written has gone.
            Step::Idle | Step::Wait(Interest::Read) if client.wire.is_ending() => Waits::ToWrite,
            Step::Idle | Step::Wait(Interest::Read) => Waits::ToRead,
            Step::Wait(Interest::Write) => Waits::ToWrite,
            Step::Wait(Interest::Job) => Waits::ForWork,
            Step::Yield => Waits::ForItsTurn,
            Step::Offload(job) => {
                self.outcomes.offload(key, job);
                Waits::ForWork
            }
            Step::Closed => Waits::ForTheKernel,
        };
        match client.waits {
            Waits::ForTheKernel => self.end_session(key),
            Waits::ForItsTurn => {
                self.yielded.push(key);
                self.pending.push(key);
            }
            _ => self.pending.push(key),
        }
        self.release(arrival);
    }

    /// Frees what the session holds; the rest when no operation of the client is under way any more.
    fn end_session(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(key) else { return };
        client.session = None;
        client.waits = Waits::ForTheKernel;
        if !client.wire.is_done() {
            // Ends a receive, a send, and a send that is still to come behind a read, which no
            // cancellation would find. Until they have completed the buffers are the kernel's.
            let _ = client.connection.socket().shutdown(Shutdown::Both);
        }
        self.remove_if_done(key);
    }

    fn remove_if_done(&mut self, key: Key) {
        if self.clients.get_mut(key).is_some_and(|client| client.wire.is_done())
            && let Some(client) = self.clients.remove(key)
        {
            client.wire.release(&mut self.pool);
        }
    }

    fn release(&mut self, arrival: Option<Arrival>) {
        if let Some(arrival) = arrival {
            self.ring.release(arrival);
        }
    }

    /// Serves the clients whose deadline has passed, and takes large buffers from those that send nothing, now and then.
    fn look_around(&mut self) -> io::Result<()> {
        let now = self.now;
        if now < self.next_tick {
            return Ok(());
        }
        self.next_tick = now + server_core::deadline_tick(&self.service);
        let is_overdue = |client: &Client| {
            client.waits != Waits::ForItsTurn
                && client.session.as_ref().is_some_and(|session| session.deadline() <= now)
                // What has arrived in time comes with a completion of its own, perhaps after a pause of this process.
                && !(client.waits == Waits::ToRead
                    && client.wire.is_open()
                    && is_readable(client.connection.socket()))
        };
        let overdue: Vec<Key> = self
            .clients
            .iter()
            .filter(|(_, client)| is_overdue(client))
            .map(|(key, _)| key)
            .collect();
        for key in overdue {
            self.serve(key, None);
        }
        for (key, client) in self.clients.iter_mut() {
            client.wire.take_idle_bulk(&mut self.ring, tags(key))?;
        }
        Ok(())
    }

    fn take_outcomes(&mut self) {
        while let Some((key, outcome)) = self.outcomes.next() {
            let Some(session) =
                self.clients.get_mut(key).and_then(|client| client.session.as_mut())
            else {
                continue;
            };
            match outcome {
                Some(outcome) => {
                    session.resume(outcome);
                    self.serve_in_turn(key, None);
                }
                None => self.end_session(key),
            }
        }
    }

    /// Has the kernel read the waker, when a helper thread wakes this one.
    fn read_waker(&mut self) -> io::Result<()> {
        let wakes: *mut u64 = &mut *self.wakes;
        let waker = self.outcomes.waker().as_fd().as_raw_fd();
        // SAFETY: the number is on the heap, nobody else looks at it, and it is freed after `run`, which
        // ends with the completion of this read, or never.
        unsafe { self.ring.read_event(waker, wakes, WAKE) }
    }

    /// Ends the last operation of all.
    fn cancel_waker_read(&mut self) -> io::Result<()> {
        self.ring.cancel(WAKE, CANCEL)?;
        loop {
            self.ring.turn(None)?;
            let completions = self.ring.take();
            let silent = completions.iter().any(|completion| completion.user_data() == WAKE);
            self.ring.taken(completions);
            if silent {
                return Ok(());
            }
        }
    }
}
