//! A worker for a connection that is ready, for as long as it has something to do.
//!
//! A poller thread watches all parked connections with one edge-triggered epoll set. A connection is
//! registered once, when it is first parked, and never touched again in the kernel: who owns its session
//! at a moment is a state of four values in user space. No system call but `epoll_wait` is added to a
//! request.
//!
//! ```text
//!            edge               a worker takes it              edge
//!   Parked --------> Queued ------------------> Running -----------------> Again
//!     ^                ^                          | |                       |
//!     |                '--------------------------' '<----------------------'
//!     |                 has had its share         |     looks once more
//!     '-------------------------------------------'
//!                   waits for an edge
//! ```

use crate::Options;
use crate::pool::{self, Pool};
use file_service::{Connection, Incoming, Moment, Service, Session, Socket, Step};
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// How many events one `epoll_wait` brings.
const BATCH: usize = 256;

pub(crate) fn run(listener: TcpListener, service: Service, options: &Options) -> io::Result<()> {
    let lot = Arc::new(Lot::new(service.clone())?);
    let work = {
        let lot = Arc::clone(&lot);
        move |client: Arc<Client>| {
            let _busy = Busy::count(&lot.busy);
            lot.serve(&client).then_some(client)
        }
    };
    let pool: Arc<dyn Pool<Arc<Client>>> =
        pool::start(options.pool, options.workers(), options.queue, work)?.into();
    {
        let pool = Arc::clone(&pool);
        thread::Builder::new().name("poller".into()).spawn(move || lot.poll(&*pool))?;
    }
    for connection in Incoming::non_blocking(listener, &service)? {
        let session = connection.session(&service);
        // The model: a ready client goes to the pool. A new one counts as ready, as most speak at once.
        pool.submit(Arc::new(Client::new(connection, session)));
    }
    Ok(())
}

/// A client, and who has its session.
struct Client {
    state: AtomicU8,
    /// The peer has ended its side. That edge may have come together with the last bytes.
    hung_up: AtomicBool,
    /// Where the client stands in the lot, once it has been parked; only its worker asks.
    place: AtomicUsize,
    /// The [`Moment`] at which the poller queued the client, for the trace.
    queued: AtomicU64,
    /// Never contended: whoever is in the state `RUNNING` has it.
    conversation: Mutex<(Connection, Session)>,
}

const PARKED: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const AGAIN: u8 = 3;

const NOWHERE: usize = usize::MAX;

impl Client {
    fn new(connection: Connection, session: Session) -> Client {
        Client {
            state: AtomicU8::new(QUEUED),
            hung_up: AtomicBool::new(false),
            place: AtomicUsize::new(NOWHERE),
            queued: AtomicU64::new(0),
            conversation: Mutex::new((connection, session)),
        }
    }

    /// An edge has come. Gives whether the client must be queued for it.
    fn notice(&self) -> bool {
        self.state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |state| match state {
                PARKED => Some(QUEUED),
                RUNNING => Some(AGAIN),
                _ => None, // it will be looked at anyway
            })
            .is_ok_and(|before| before == PARKED)
    }
}

/// Where silent clients are parked.
struct Lot {
    service: Service,
    epoll: OwnedFd,
    /// How many workers are at work.
    busy: AtomicUsize,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    /// With the number of the client that stands there: an event may come late, for one that has left.
    clients: Vec<Option<(u32, Arc<Client>)>>,
    free: Vec<usize>,
    next: u32,
}

impl Lot {
    fn new(service: Service) -> io::Result<Lot> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Lot { service, epoll, busy: AtomicUsize::new(0), places: Mutex::default() })
    }

    /// What a worker does with a ready client. Gives whether there is more to do at once.
    fn serve(&self, client: &Arc<Client>) -> bool {
        client.state.store(RUNNING, Ordering::Release);
        // Leaves the lot when this panics, too.
        let leave = LeaveOnDrop { lot: self, client };
        let mut conversation = lock(&client.conversation);
        let (connection, session) = &mut *conversation;
        connection.link().wait_until(None);
        let queued = client.queued.load(Ordering::Relaxed);
        if queued != 0 {
            session.dispatched(Moment::from_bits(queued));
        }
        if Instant::now() >= session.deadline() {
            session.expire();
        }
        loop {
            match session.advance(&mut Socket(connection.socket())) {
                Step::Idle if client.hung_up.load(Ordering::Acquire) => {}
                Step::Idle | Step::Wait(_) => {
                    connection.link().wait_until(Some(session.deadline()));
                    match self.park(client, connection) {
                        Ok(true) => {
                            std::mem::forget(leave);
                            return false;
                        }
                        Ok(false) => connection.link().wait_until(None),
                        Err(errno) => {
                            tracing::warn!("no room to park a client: {errno}");
                            return false;
                        }
                    }
                }
                Step::Yield => {
                    std::mem::forget(leave);
                    client.queued.store(self.service.moment().to_bits(), Ordering::Relaxed);
                    client.state.store(QUEUED, Ordering::Release);
                    return true;
                }
                // A thread that may block is what a pool is for.
                Step::Offload(job) => session.resume(job.run()),
                Step::Closed => return false,
            }
        }
    }
    /// Leaves the client to the poller; gives whether it may be left. Not so if an edge came meanwhile.
    fn park(&self, client: &Arc<Client>, connection: &Connection) -> Result<bool, Errno> {
        if client.place.load(Ordering::Relaxed) == NOWHERE {
            let (place, number) = lock(&self.places).enter(client);
            client.place.store(place, Ordering::Relaxed);
            let data = epoll::EventData::new_u64(u64::from(number) << 32 | place as u64);
            let edges = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            // Whatever is ready by now makes the first edge.
            epoll::add(&self.epoll, connection.link().as_ref(), data, edges)?;
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

    /// The poller's thread; it ends with the process. A full queue stops it, and so leaves every other
    /// client parked.
    fn poll(&self, pool: &dyn Pool<Arc<Client>>) {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let mut events = Vec::with_capacity(BATCH);
        let mut ready = Vec::with_capacity(BATCH);
        loop {
            events.clear();
            self.wait(&mut events, None);
            if events.len() < BATCH && self.busy.load(Ordering::Relaxed) >= cores {
                // The workers first, and then whoever has become ready meanwhile: while all cores are
                // busy, a switch to this thread for each single client would cost as much as its request.
                thread::yield_now();
                self.wait(&mut events, Some(&NOW));
            }
            {
                let places = lock(&self.places);
                for event in &events {
                    let Some(client) = places.find(event.data.u64()) else {
                        continue;
                    };
                    let flags = event.flags;
                    if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                        client.hung_up.store(true, Ordering::Release);
                    }
                    if client.notice() {
                        client.queued.store(self.service.moment().to_bits(), Ordering::Relaxed);
                        ready.push(Arc::clone(client));
                    }
                }
            }
            ready.drain(..).for_each(|client| pool.submit(client));
        }
    }
}

impl Lot {
    fn wait(&self, events: &mut Vec<epoll::Event>, timeout: Option<&Timespec>) {
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => tracing::error!("epoll_wait: {errno}"),
        }
    }
}

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

impl Places {
    fn enter(&mut self, client: &Arc<Client>) -> (usize, u32) {
        let number = self.next;
        self.next = number.wrapping_add(1);
        let place = self.free.pop().unwrap_or_else(|| {
            self.clients.push(None);
            self.clients.len() - 1
        });
        self.clients[place] = Some((number, Arc::clone(client)));
        (place, number)
    }

    /// The client that an event is about, unless it has left.
    fn find(&self, data: u64) -> Option<&Arc<Client>> {
        let (number, place) = ((data >> 32) as u32, data as u32 as usize);
        let (stands, client) = self.clients.get(place)?.as_ref()?;
        (*stands == number).then_some(client)
    }

    fn leave(&mut self, place: usize) -> Option<(u32, Arc<Client>)> {
        self.free.push(place);
        self.clients[place].take()
    }
}

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

/// Takes a client that has ended, or whose session has panicked, out of the lot.
struct LeaveOnDrop<'a> {
    lot: &'a Lot,
    client: &'a Client,
}

impl Drop for LeaveOnDrop<'_> {
    fn drop(&mut self) {
        let place = self.client.place.load(Ordering::Relaxed);
        if place != NOWHERE {
            // Dropped after the lock is given back: it may close a socket.
            let left = lock(&self.lot.places).leave(place);
            drop(left);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A session that panicked is never advanced again, so nobody sees what it left.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
