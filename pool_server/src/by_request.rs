//! A worker for a connection that is ready, for as long as it has something to do.
//!
//! A poller thread watches all parked connections with one edge-triggered epoll set. A connection is
//! registered once, when it is first parked, and never changed again in the kernel: who owns its session
//! at a moment is a state of four values in user space. No system call but `epoll_wait` is added to a
//! request.
//!
//! ```text
//!            edge               a worker takes it              edge
//!   Parked --------> Queued ------------------> Running -----------------> Notified
//!     ^                ^                          | |                         |
//!     |                '--------------------------' '<------------------------'
//!     |                 has had its share         |     reads once more
//!     '-------------------------------------------'
//!                   waits for an edge
//! ```

use crate::Options;
use crate::pool::{self, Pool};
use crate::submit::submit;
use file_service::{Job, Moment, Service, Session, Step};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use server_core::{
    Background, Connection, ConnectionHandle, Incoming, Key, Slab, Socket, cannot_start,
    deadline_tick, timeout_until,
};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many events one `epoll_wait` returns.
const BATCH: usize = 256;

/// How many workers are at work at once for clients that have ended their side.
const BACKGROUND: usize = 2;

/// The bits of a key's slot in an event.
const INDEX_BITS: u32 = 32;

pub(crate) fn run(listener: TcpListener, service: Service, options: &Options) -> io::Result<()> {
    let poller = Arc::new(Poller::new(service.clone(), options.workers())?);
    let work = {
        let poller = Arc::clone(&poller);
        move |client: Arc<Client>| {
            let _busy = Busy::count(&poller.busy);
            poller.serve(&client)
        }
    };
    let pool: Arc<dyn Pool<Arc<Client>>> =
        pool::start(options.pool, options.workers(), options.queue, work)?.into();
    {
        let pool = Arc::clone(&pool);
        let spawned =
            thread::Builder::new().name("poller".into()).spawn(move || poller.run(&*pool));
        spawned.map_err(cannot_start("the poller"))?;
    }
    let mut incoming = Incoming::non_blocking(listener, &service)?;
    while let Some(connection) = incoming.next() {
        let session = connection.session(&service);
        let client = Arc::new(Client::new(connection, session));
        // The model: a ready client goes to the pool. A new one counts as ready, since most send at once.
        let _ = submit(&*pool, client, Duration::MAX, &mut incoming); // it waits as long as it takes
    }
    Ok(())
}

/// A client, and who owns its session at the moment.
struct Client {
    state: AtomicU8,
    /// The peer has ended its side. That edge may have come together with the last bytes.
    hung_up: AtomicBool,
    /// The client's key among the parked ones, once it has been parked.
    key: OnceLock<Key>,
    handle: Arc<ConnectionHandle>,
    /// The [`Moment`] at which the poller queued the client, for the trace.
    queued: AtomicU64,
    /// Hardly ever contended: the thread that has set the state `RUNNING` owns it.
    conversation: Mutex<Conversation>,
}

struct Conversation {
    connection: Connection,
    session: Session,
    /// A job that is run at the client's next turn.
    background: Option<Job>,
}

const PARKED: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const NOTIFIED: u8 = 3;

impl Client {
    fn new(connection: Connection, session: Session) -> Client {
        Client {
            state: AtomicU8::new(QUEUED),
            hung_up: AtomicBool::new(false),
            key: OnceLock::new(),
            handle: Arc::clone(connection.handle()),
            queued: AtomicU64::new(0),
            conversation: Mutex::new(Conversation { connection, session, background: None }),
        }
    }

    /// Notes an edge. Returns whether the client must be queued for it.
    fn notify(&self) -> bool {
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
                PARKED => Some(QUEUED),
                RUNNING => Some(NOTIFIED),
                _ => None, // its session will be advanced anyway
            })
            .is_ok_and(|before| before == PARKED)
    }
}

/// Watches the parked clients.
struct Poller {
    service: Service,
    epoll: OwnedFd,
    /// How many workers are at work.
    busy: AtomicUsize,
    /// Whether a session has used up its share since the last look at the parked clients.
    yielded: AtomicBool,
    /// Bounds how many workers are at work for clients that have ended their side, and leaves one to the others.
    background: Background<Arc<Client>>,
    /// Every client that has ever been parked and has not left.
    clients: Mutex<Slab<Arc<Client>>>,
}

impl Poller {
    fn new(service: Service, workers: usize) -> io::Result<Poller> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Poller {
            service,
            epoll,
            busy: AtomicUsize::new(0),
            yielded: AtomicBool::new(false),
            background: Background::new(BACKGROUND.min(workers - 1)),
            clients: Mutex::default(),
        })
    }

    /// Serves a ready client until it waits. Returns the clients that are to be queued again.
    fn serve(&self, client: &Arc<Client>) -> Vec<Arc<Client>> {
        client.state.store(RUNNING, Ordering::Release);
        // Removes the client when this panics, too.
        let remove = RemoveOnDrop { poller: self, client };
        let mut conversation = lock(&client.conversation);
        let Conversation { connection, session, background } = &mut *conversation;
        let queued = client.queued.load(Ordering::Relaxed);
        if queued != 0 {
            session.dispatched(Moment::from_bits(queued));
        }
        client.handle.end_wait();
        if let Some(job) = background.take() {
            let outcome = job.attempt();
            let mut again = Vec::from_iter(self.background.leave());
            if let Some(outcome) = outcome {
                session.resume(outcome);
                std::mem::forget(remove);
                again.push(self.queue_again(client));
            }
            return again;
        }
        loop {
            match session.advance(&mut Socket(connection.socket())) {
                Step::Idle if client.hung_up.load(Ordering::Acquire) => {}
                Step::Idle | Step::Wait(_) => {
                    client.handle.begin_wait(session.deadline());
                    match self.park(client) {
                        Ok(true) => {
                            std::mem::forget(remove);
                            return Vec::new();
                        }
                        Ok(false) => client.handle.end_wait(),
                        Err(errno) => {
                            tracing::warn!("a client cannot be watched: {errno}");
                            return Vec::new();
                        }
                    }
                }
                Step::Yield => {
                    std::mem::forget(remove);
                    return vec![self.queue_again(client)];
                }
                Step::Offload(job) if job.is_background() => {
                    std::mem::forget(remove);
                    *background = Some(job);
                    // Another worker may have it before this returns.
                    return Vec::from_iter(self.background.enter(self.queue_again(client)));
                }
                Step::Offload(job) => {
                    // A thread that may block is what a pool is for. The job was a share.
                    session.resume(job.run());
                    std::mem::forget(remove);
                    return vec![self.queue_again(client)];
                }
                Step::Closed => return Vec::new(),
            }
        }
    }

    /// Returns the client for the queue, because it has had its share.
    fn queue_again(&self, client: &Arc<Client>) -> Arc<Client> {
        self.yielded.store(true, Ordering::Relaxed);
        client.queued.store(self.service.moment().to_bits(), Ordering::Relaxed);
        client.state.store(QUEUED, Ordering::Release);
        Arc::clone(client)
    }

    /// Leaves the client to the poller; returns whether it may be left. It may not if an edge came meanwhile.
    fn park(&self, client: &Arc<Client>) -> Result<bool, Errno> {
        if client.key.get().is_none() {
            let key = lock(&self.clients).insert(Arc::clone(client));
            let _ = client.key.set(key);
            let data = epoll::EventData::new_u64(key.to_bits(INDEX_BITS));
            let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            // Whatever is ready by now makes the first edge.
            epoll::add(&self.epoll, client.handle.as_ref(), data, edges)?;
        }
        let parked = client
            .state
            .compare_exchange(RUNNING, PARKED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok();
        if !parked {
            client.state.store(RUNNING, Ordering::Release);
        }
        Ok(parked)
    }

    /// The poller's thread; it ends with the process. A full queue blocks it, and so leaves every other
    /// client parked.
    fn run(&self, pool: &dyn Pool<Arc<Client>>) {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut events = Vec::with_capacity(BATCH);
        let mut ready = Vec::with_capacity(BATCH);
        let tick = deadline_tick(&self.service);
        let mut next_tick = Instant::now() + tick;
        loop {
            events.clear();
            self.wait(&mut events, timeout_until(next_tick).as_ref());
            if events.len() < BATCH
                && self.busy.load(Ordering::Relaxed) >= cores
                && !self.yielded.swap(false, Ordering::Relaxed)
            {
                // The workers first, and then all that has become ready meanwhile: while all cores are
                // busy, a switch to this thread for each single client would cost as much as its request.
                // Not so where sessions have their whole share of a worker: that would take as long as all their shares.
                thread::yield_now();
                self.wait(&mut events, Some(&NOW));
            }
            {
                let clients = lock(&self.clients);
                for event in &events {
                    let key = Key::from_bits(event.data.u64(), INDEX_BITS);
                    let Some(client) = clients.get(key) else { continue };
                    let flags = event.flags;
                    if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                        client.hung_up.store(true, Ordering::Release);
                    }
                    if client.notify() {
                        client.queued.store(self.service.moment().to_bits(), Ordering::Relaxed);
                        ready.push(Arc::clone(client));
                    }
                }
            }
            let now = Instant::now();
            if now >= next_tick {
                next_tick = now + tick;
                ready.extend(self.overdue(now));
            }
            ready.drain(..).for_each(|client| pool.submit(client));
        }
    }

    /// Returns the parked clients whose deadline has passed, which counts as an edge.
    fn overdue(&self, now: Instant) -> Vec<Arc<Client>> {
        let clients = lock(&self.clients);
        let overdue =
            clients.iter().map(|(_, client)| client).filter(|client| client.handle.is_overdue(now));
        let overdue = overdue.filter(|client| client.notify());
        let queued = self.service.moment().to_bits();
        overdue
            .inspect(|client| client.queued.store(queued, Ordering::Relaxed))
            .map(Arc::clone)
            .collect()
    }

    fn wait(&self, events: &mut Vec<epoll::Event>, timeout: Option<&Timespec>) {
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => tracing::error!("epoll_wait: {errno}"),
        }
    }
}

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// A worker at work, for as long as this lives.
struct Busy<'a>(&'a AtomicUsize);

impl Busy<'_> {
    fn count(busy: &AtomicUsize) -> Busy<'_> {
        busy.fetch_add(1, Ordering::Relaxed);
        Busy(busy)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Removes a client that has ended, or whose session has panicked.
struct RemoveOnDrop<'a> {
    poller: &'a Poller,
    client: &'a Client,
}

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(&key) = self.client.key.get() {
            // Dropped after the lock is released: it may close a socket.
            let removed = lock(&self.poller.clients).remove(key);
            drop(removed);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A session that panicked is never advanced again, so nobody sees what it left.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
