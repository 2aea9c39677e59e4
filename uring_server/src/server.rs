//! The loop: completions in, sessions advanced, submissions out.

use crate::aside::{Helpers, Returns};
use crate::ring::{Arrival, Ring};
use crate::wire::{Exchange, Pool, Tags, Wire};
use file_service::{Accepted, Connection, Incoming, Interest, Service, Session, Step};
use io_uring::cqueue;
use rustix::io::Errno;
use std::io;
use std::mem::ManuallyDrop;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
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
}

/// The kinds of operations, in the lowest bits of a tag.
const ACCEPT: u64 = 0;
const BELL: u64 = 1;
const CANCEL: u64 = 2;
const RECEIVE: u64 = 3;
const SEND: u64 = 4;
const READ: u64 = 5;
const KIND_BITS: u32 = 3;

/// A client's name: its place, and how many have had that place before. It stands in the tags of its
/// operations, so that what comes late for one client reaches nobody else.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    place: u32,
    generation: u32,
}

const PLACE_BITS: u32 = 29;

impl Key {
    fn number(self) -> u64 {
        u64::from(self.generation) << PLACE_BITS | u64::from(self.place)
    }

    fn tag(self, kind: u64) -> u64 {
        self.number() << KIND_BITS | kind
    }

    fn of(number: u64) -> Key {
        let place = (number & ((1 << PLACE_BITS) - 1)) as u32;
        Key { place, generation: (number >> PLACE_BITS) as u32 }
    }
}

#[derive(Default)]
struct Place {
    generation: u32,
    client: Option<Client>,
}

/// All clients of one ring.
#[derive(Default)]
struct Clients {
    places: Vec<Place>,
    free: Vec<u32>,
    count: usize,
}

impl Clients {
    fn add(&mut self, client: Client) -> Key {
        self.count += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            (self.places.len() - 1) as u32
        });
        let entry = &mut self.places[place as usize];
        entry.client = Some(client);
        Key { place, generation: entry.generation }
    }

    fn get(&mut self, key: Key) -> Option<&mut Client> {
        let place = self.places.get_mut(key.place as usize)?;
        if place.generation == key.generation { place.client.as_mut() } else { None }
    }

    fn remove(&mut self, key: Key) -> Option<Client> {
        let place = self.places.get_mut(key.place as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let client = place.client.take()?;
        // It wraps after four billion; no operation outlives so many successors.
        place.generation = place.generation.wrapping_add(1);
        self.free.push(key.place);
        self.count -= 1;
        Some(client)
    }
}

/// One ring and everything that hangs on it.
pub(crate) struct Server {
    ring: Ring,
    incoming: Incoming,
    service: Service,
    helpers: Helpers,
    returns: Returns,
    clients: Clients,
    pool: Pool,
    /// Those whose session has said what it waits for since the last turn.
    noted: Vec<Key>,
    /// Those who have had their share.
    again: Vec<Key>,
    /// How many sessions wait to write. The keeper of `incoming` wakes those that wait to read.
    writers: usize,
    writers_looked_at: Instant,
    /// When the completions of this turn were taken.
    now: Instant,
    accepting: bool,
    /// Nobody is accepted before this moment.
    pause: Option<Instant>,
    stopped: bool,
}

impl Server {
    pub(crate) fn new(
        incoming: Incoming,
        service: &Service,
        helpers: Helpers,
    ) -> io::Result<Server> {
        Ok(Server {
            ring: Ring::new()?,
            incoming,
            service: service.clone(),
            helpers,
            returns: Returns::new()?,
            clients: Clients::default(),
            pool: Pool::default(),
            noted: Vec::new(),
            again: Vec::new(),
            writers: 0,
            writers_looked_at: Instant::now(),
            now: Instant::now(),
            accepting: false,
            pause: None,
            stopped: false,
        })
    }

    /// Serves until the order to stop has been given and the last client has left.
    pub(crate) fn run(self) -> io::Result<()> {
        // Until the last operation has completed the kernel may write to what this server owns. So none of it
        // is ever freed after an error or a panic.
        let mut server = ManuallyDrop::new(self);
        server.serve()?;
        server.silence_the_bell()?;
        drop(ManuallyDrop::into_inner(server));
        Ok(())
    }

    fn serve(&mut self) -> io::Result<()> {
        self.watch_the_bell()?;
        loop {
            let refused = self.incoming.attend();
            if self.stopped && self.clients.count == 0 {
                return Ok(());
            }
            self.accept_again()?;
            // The model: hand over all that was noted, and wait until something has been done.
            self.submit_noted()?;
            self.ring.turn(self.patience(refused))?;
            self.now = Instant::now();
            let completions = self.ring.take();
            for completion in &completions {
                self.complete(completion)?;
            }
            self.ring.taken(completions);
            for key in std::mem::take(&mut self.again) {
                self.advance(key, None);
            }
            self.expire_writers();
        }
    }

    /// Has the kernel accept clients, unless it does or there is a reason not to.
    fn accept_again(&mut self) -> io::Result<()> {
        if self.pause.is_some_and(|until| Instant::now() >= until) {
            self.pause = None;
        }
        if let (false, None, Some(listener)) =
            (self.accepting, self.pause, self.incoming.listener())
        {
            self.ring.accept(listener.as_raw_fd(), ACCEPT)?;
            self.accepting = true;
        }
        Ok(())
    }

    /// Submits what sessions have asked for. From here until the kernel has been called no session is
    /// advanced: the descriptors that the submissions name stay what they are.
    fn submit_noted(&mut self) -> io::Result<()> {
        for key in self.noted.drain(..) {
            if let Some(client) = self.clients.get(key)
                && client.session.is_some()
            {
                let tags = Tags {
                    receive: key.tag(RECEIVE),
                    send: key.tag(SEND),
                    read: key.tag(READ),
                    cancel: key.tag(CANCEL),
                };
                client.wire.submit(&mut self.ring, tags, &mut self.pool)?;
            }
        }
        Ok(())
    }

    /// How long to wait for a completion; without an end if nothing else is due.
    fn patience(&self, refused: Option<Instant>) -> Option<Duration> {
        if !self.again.is_empty() {
            return Some(Duration::ZERO);
        }
        let look = (self.writers > 0).then(|| self.writers_looked_at + self.tick());
        let due = [self.pause, refused, look].into_iter().flatten().min()?;
        // Not zero, which would not wait.
        Some(due.saturating_duration_since(Instant::now()).max(Duration::from_micros(100)))
    }

    fn complete(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let key = Key::of(completion.user_data() >> KIND_BITS);
        match completion.user_data() & ((1 << KIND_BITS) - 1) {
            ACCEPT => self.accepted(completion),
            BELL => {
                self.watch_the_bell()?;
                self.take_returns();
            }
            RECEIVE => self.received(key, completion),
            SEND => {
                let Some(client) = self.clients.get(key) else { return Ok(()) };
                client.wire.sent(completion.result(), &mut self.pool);
                self.written(key, true);
            }
            READ => {
                let Some(client) = self.clients.get(key) else { return Ok(()) };
                let news = client.wire.file_fell_short(completion.result());
                self.written(key, news);
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
        match self.incoming.completed(outcome) {
            Accepted::Connection(connection) => {
                let session = Some(Box::new(connection.session(&self.service)));
                let wire = Wire::new(connection.socket().as_raw_fd());
                let waits = Waits::ForItsTurn;
                let key = self.clients.add(Client { wire, session, connection, waits });
                self.advance(key, None);
            }
            Accepted::Pause(until) => self.pause = Some(until),
            Accepted::Stop => self.stopped = true,
            Accepted::Again | Accepted::Nobody(_) => {}
        }
    }

    fn received(&mut self, key: Key, completion: &cqueue::Entry) {
        let arrival = Arrival::of(completion);
        let Some(client) = self.clients.get(key) else {
            return self.give_back(arrival);
        };
        let more = cqueue::more(completion.flags());
        client.wire.received(completion.result(), more, &mut self.pool);
        match client.waits {
            Waits::ToRead if client.wire.has_news() || arrival.is_some() => {
                return self.advance(key, arrival);
            }
            Waits::ToRead => self.noted.push(key), // no buffer was free, or this was the end of a stream
            Waits::ForTheKernel => {
                self.give_back(arrival);
                return self.remove_if_quiet(key);
            }
            // The session is busy otherwise, and reads it later.
            Waits::ToWrite | Waits::ForWork | Waits::ForItsTurn => {
                if let Some(arrival) = arrival {
                    client.wire.keep(self.ring.bytes(arrival));
                    self.noted.push(key); // it may be enough
                }
            }
        }
        self.give_back(arrival);
    }

    /// A send has completed, and the session is told if it waits for that.
    fn written(&mut self, key: Key, news: bool) {
        let Some(client) = self.clients.get(key) else { return };
        match client.waits {
            Waits::ToWrite if news => self.advance(key, None),
            Waits::ForTheKernel => self.remove_if_quiet(key),
            _ if client.wire.has_noted() => self.noted.push(key), // what is left of it
            _ => {}
        }
    }

    /// Advances the session of a client, with what has just arrived for it.
    fn advance(&mut self, key: Key, arrival: Option<Arrival>) {
        let Some(client) = self.clients.get(key) else { return };
        let Some(session) = &mut client.session else { return };
        let link = client.connection.link();
        link.wait_until(None);
        let waited = matches!(client.waits, Waits::ToRead | Waits::ToWrite);
        if waited && self.now >= session.deadline() {
            session.expire();
        }
        self.writers -= usize::from(client.waits == Waits::ToWrite);
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
            Step::Closed => Waits::ForTheKernel,
            Step::Idle if client.wire.listen() => Waits::ForItsTurn,
            // Nothing more will come, which the session is told when what it has written has gone.
            Step::Idle | Step::Wait(Interest::Read) if client.wire.is_ending() => {
                self.writers += 1;
                Waits::ToWrite
            }
            Step::Idle | Step::Wait(Interest::Read) => {
                link.wait_until(Some(session.deadline()));
                Waits::ToRead
            }
            Step::Wait(Interest::Write) => {
                self.writers += 1;
                Waits::ToWrite
            }
            Step::Yield => Waits::ForItsTurn,
            Step::Offload(job) => {
                self.returns.send(&self.helpers, key.number(), job);
                Waits::ForWork
            }
        };
        match client.waits {
            Waits::ForTheKernel => self.let_go(key),
            Waits::ForItsTurn => {
                self.again.push(key);
                self.noted.push(key);
            }
            _ => self.noted.push(key),
        }
        self.give_back(arrival);
    }

    /// Frees what the session holds; the rest when no operation of the client is under way any more.
    fn let_go(&mut self, key: Key) {
        let Some(client) = self.clients.get(key) else { return };
        client.session = None;
        client.waits = Waits::ForTheKernel;
        if !client.wire.is_quiet() {
            // Ends a receive, a send, and a send that is still to come behind a read, which no
            // cancellation would find. Until they have completed the buffers are the kernel's.
            let _ = client.connection.socket().shutdown(Shutdown::Both);
        }
        self.remove_if_quiet(key);
    }

    fn remove_if_quiet(&mut self, key: Key) {
        if self.clients.get(key).is_some_and(|client| client.wire.is_quiet())
            && let Some(client) = self.clients.remove(key)
        {
            client.wire.release(&mut self.pool);
        }
    }

    fn give_back(&mut self, arrival: Option<Arrival>) {
        if let Some(arrival) = arrival {
            self.ring.give_back(arrival);
        }
    }

    /// Ends what clients have let pass their deadline who do not take what is sent to them.
    fn expire_writers(&mut self) {
        let now = self.now;
        if self.writers == 0 || now < self.writers_looked_at + self.tick() {
            return;
        }
        self.writers_looked_at = now;
        let expired = |client: &Client| {
            client.waits == Waits::ToWrite
                && client.session.as_ref().is_some_and(|session| session.deadline() <= now)
        };
        for place in 0..self.clients.places.len() {
            let Place { generation, client } = &self.clients.places[place];
            if client.as_ref().is_some_and(expired) {
                self.advance(Key { place: place as u32, generation: *generation }, None);
            }
        }
    }

    /// How often that is looked for.
    fn tick(&self) -> Duration {
        let least = self.service.settings().least_timeout();
        (least / 8).clamp(Duration::from_millis(20), Duration::from_millis(250))
    }

    fn take_returns(&mut self) {
        while let Some((client, outcome)) = self.returns.next() {
            let key = Key::of(client);
            let Some(session) = self.clients.get(key).and_then(|client| client.session.as_mut())
            else {
                continue;
            };
            match outcome {
                Some(outcome) => {
                    session.resume(outcome);
                    self.advance(key, None);
                }
                None => self.let_go(key),
            }
        }
    }

    fn watch_the_bell(&mut self) -> io::Result<()> {
        let number: *mut u64 = &mut *self.returns.number;
        // SAFETY: the number is on the heap, nobody else looks at it, and it is freed after `run`, which
        // ends with the completion of this read, or never.
        unsafe { self.ring.read_event(self.returns.bell(), number, BELL) }
    }

    /// Ends the last operation of all.
    fn silence_the_bell(&mut self) -> io::Result<()> {
        self.ring.cancel(BELL, CANCEL)?;
        loop {
            self.ring.turn(None)?;
            let completions = self.ring.take();
            let silent = completions.iter().any(|completion| completion.user_data() == BELL);
            self.ring.taken(completions);
            if silent {
                return Ok(());
            }
        }
    }
}
