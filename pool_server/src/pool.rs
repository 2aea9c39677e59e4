//! Three pools behind one interface: a bounded number of threads, a bounded queue.
//!
//! | kind | how work reaches a worker | good for |
//! |---|---|---|
//! | [`Kind::Channel`] | one bounded queue for all | work of any kind; the simplest thing that is right |
//! | [`Kind::Steal`] | a common queue, from which workers take batches into deques of their own, and from each other's | many small pieces on many cores, where one queue would be fought over |
//! | [`Kind::Rayon`] | as with `Steal`, by the library that made it popular | pieces that compute and never block |
//!
//! The queues of the libraries have no bound that would spare work that is run again, so one is put in front here.
//!
//! A panic in a piece of work costs that piece, never a worker.

use crate::Kind;
use crossbeam::channel::{Receiver, Sender, unbounded};
use crossbeam::deque::{Injector, Steal, Stealer, Worker};
use server_core::cannot_start;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// Where work is handed in.
pub trait Pool<T>: Send + Sync {
    /// Queues `work`; waits while the queue is full. That is the back-pressure.
    fn submit(&self, work: T) {
        // There is no time after which a place would not be wanted any more.
        let _ = self.submit_within(work, Duration::MAX);
    }

    /// Queues `work` if a place becomes free in time.
    ///
    /// # Errors
    ///
    /// Returns the work if the time is over.
    fn submit_within(&self, work: T, timeout: Duration) -> Result<(), T>;
}

/// Starts `workers` threads that `run` what is submitted, of which `queue` pieces may wait.
///
/// All that `run` returns is run again, behind all that waits then. It takes no place in the queue. Dropping the pool ends the threads when the queue is empty.
///
/// # Errors
///
/// The system refuses a thread.
pub fn start<T: Send + 'static>(
    kind: Kind,
    workers: usize,
    queue: usize,
    run: impl Fn(T) -> Vec<T> + Send + Sync + 'static,
) -> io::Result<Box<dyn Pool<T>>> {
    // Whatever `run` had of the work is dropped in unwinding, so nothing half-done is seen again.
    let run = move |work| catch_unwind(AssertUnwindSafe(|| run(work))).unwrap_or_default();
    Ok(match kind {
        Kind::Channel => Box::new(ChannelPool::start(workers, queue, run)?),
        Kind::Steal => Box::new(StealPool::start(workers, queue, run)?),
        Kind::Rayon => Box::new(RayonPool::start(workers, queue, run)?),
    })
}

/// A piece of work that waits.
struct Queued<T> {
    work: T,
    /// It has taken a place in the queue. Work that is run again has not, or it could keep new work out.
    has_place: bool,
}

impl<T> Queued<T> {
    fn new(work: T) -> Queued<T> {
        Queued { work, has_place: true }
    }

    fn again(work: T) -> Queued<T> {
        Queued { work, has_place: false }
    }

    /// Takes the work out and frees its place.
    fn take(self, room: &Semaphore) -> T {
        if self.has_place {
            room.release();
        }
        self.work
    }
}

fn spawn_worker(at: usize, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let spawned = thread::Builder::new().name(format!("worker {at}")).spawn(body);
    spawned.map(drop).map_err(cannot_start(&format!("worker {at}")))
}

// ---- One queue ----

struct ChannelPool<T> {
    queue: Arc<Sender<Queued<T>>>,
    room: Arc<Semaphore>,
}

impl<T: Send + 'static> ChannelPool<T> {
    fn start(
        workers: usize,
        queue: usize,
        run: impl Fn(T) -> Vec<T> + Send + Sync + 'static,
    ) -> io::Result<ChannelPool<T>> {
        let (sender, receiver) = unbounded();
        let pool = ChannelPool { queue: Arc::new(sender), room: Arc::new(Semaphore::new(queue)) };
        let run = Arc::new(run);
        for at in 0..workers {
            let (receiver, run) = (receiver.clone(), Arc::clone(&run));
            // A sender of a worker's own would keep the channel open.
            let (sender, room) = (Arc::downgrade(&pool.queue), Arc::clone(&pool.room));
            spawn_worker(at, move || work_from_channel(&receiver, &sender, &room, &*run))?;
        }
        Ok(pool)
    }
}

/// The whole of a worker. It ends when the pool is dropped.
fn work_from_channel<T>(
    queue: &Receiver<Queued<T>>,
    sender: &Weak<Sender<Queued<T>>>,
    room: &Semaphore,
    run: &dyn Fn(T) -> Vec<T>,
) {
    for queued in queue {
        let mut again = run(queued.take(room));
        while let Some(work) = again.pop() {
            match sender.upgrade() {
                Some(sender) if !(queue.is_empty() && again.is_empty()) => {
                    let _ = sender.send(Queued::again(work)); // there is a receiver: this worker's
                }
                _ => again.extend(run(work)), // nothing waits
            }
        }
    }
}

impl<T: Send> Pool<T> for ChannelPool<T> {
    fn submit_within(&self, work: T, timeout: Duration) -> Result<(), T> {
        if !self.room.acquire(deadline(timeout)) {
            return Err(work);
        }
        self.queue.send(Queued::new(work)).map_err(|error| error.into_inner().work)
    }
}

// ---- Deques with stealing ----

struct StealPool<T> {
    shared: Arc<StealShared<T>>,
}

struct StealShared<T> {
    /// Where work comes in.
    injector: Injector<Queued<T>>,
    /// The far ends of the workers' deques.
    stealers: Vec<Stealer<Queued<T>>>,
    room: Semaphore,
    /// Counts what is queued anywhere, for workers that find nothing and want to sleep.
    work: EventCount,
}

impl<T: Send + 'static> StealPool<T> {
    fn start(
        workers: usize,
        queue: usize,
        run: impl Fn(T) -> Vec<T> + Send + Sync + 'static,
    ) -> io::Result<StealPool<T>> {
        let deques: Vec<Worker<Queued<T>>> = (0..workers).map(|_| Worker::new_fifo()).collect();
        let shared = Arc::new(StealShared {
            injector: Injector::new(),
            stealers: deques.iter().map(Worker::stealer).collect(),
            room: Semaphore::new(queue),
            work: EventCount::default(),
        });
        let pool = StealPool { shared: Arc::clone(&shared) };
        let run = Arc::new(run);
        for (at, deque) in deques.into_iter().enumerate() {
            let (shared, run) = (Arc::clone(&shared), Arc::clone(&run));
            spawn_worker(at, move || work_by_stealing(&shared, &deque, &*run))?;
        }
        Ok(pool)
    }
}

fn work_by_stealing<T>(
    shared: &StealShared<T>,
    own: &Worker<Queued<T>>,
    run: &dyn Fn(T) -> Vec<T>,
) {
    loop {
        let seen = shared.work.epoch();
        match find_work(shared, own) {
            Some(queued) => {
                // Behind what has come in meanwhile: in its own deque, work that is run again and again would keep this
                // worker from the common queue.
                for (n, again) in run(queued.take(&shared.room)).into_iter().enumerate() {
                    shared.injector.push(Queued::again(again));
                    if n > 0 {
                        shared.work.notify(); // this worker takes one of them itself
                    }
                }
            }
            None if shared.work.is_closed() => return,
            None => shared.work.wait(seen),
        }
    }
}

/// One's own deque first, then what others have, then a batch from the common queue: what is in a deque has waited longer
/// than what is in the common queue, and its owner may be busy for long.
fn find_work<T>(shared: &StealShared<T>, own: &Worker<Queued<T>>) -> Option<Queued<T>> {
    own.pop().or_else(|| {
        std::iter::repeat_with(|| {
            let deques = shared.stealers.iter().filter(|deque| !deque.is_empty());
            let stolen: Steal<_> = deques.map(Stealer::steal).collect();
            stolen.or_else(|| shared.injector.steal_batch_and_pop(own))
        })
        .find(|steal| !steal.is_retry())
        .and_then(|steal| steal.success())
    })
}

impl<T: Send> Pool<T> for StealPool<T> {
    fn submit_within(&self, work: T, timeout: Duration) -> Result<(), T> {
        if !self.shared.room.acquire(deadline(timeout)) {
            return Err(work);
        }
        self.shared.injector.push(Queued::new(work));
        self.shared.work.notify();
        Ok(())
    }
}

impl<T> Drop for StealPool<T> {
    fn drop(&mut self) {
        self.shared.work.close();
    }
}

// ---- rayon ----

struct RayonPool<T> {
    pool: rayon::ThreadPool,
    shared: Arc<Rayon<T>>,
}

struct Rayon<T> {
    /// A task runs whatever waits longest. A worker prefers its own tasks to those from outside, so tasks that had their
    /// own work with them, and were spawned again and again, would keep new work waiting.
    queue: Injector<Queued<T>>,
    run: Box<dyn Fn(T) -> Vec<T> + Send + Sync>,
    room: Semaphore,
}

impl<T: Send + 'static> RayonPool<T> {
    fn start(
        workers: usize,
        queue: usize,
        run: impl Fn(T) -> Vec<T> + Send + Sync + 'static,
    ) -> io::Result<RayonPool<T>> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(workers)
            .thread_name(|at| format!("worker {at}"))
            .build()
            .map_err(|error| cannot_start("rayon's workers")(io::Error::other(error)))?;
        let (room, queue) = (Semaphore::new(queue), Injector::new());
        let shared = Arc::new(Rayon { queue, run: Box::new(run), room });
        Ok(RayonPool { pool, shared })
    }
}

impl<T: Send + 'static> Pool<T> for RayonPool<T> {
    fn submit_within(&self, work: T, timeout: Duration) -> Result<(), T> {
        if !self.shared.room.acquire(deadline(timeout)) {
            return Err(work);
        }
        self.shared.queue.push(Queued::new(work));
        let shared = Arc::clone(&self.shared);
        self.pool.spawn_fifo(move || run_on_rayon(&shared));
        Ok(())
    }
}

fn run_on_rayon<T: Send + 'static>(shared: &Arc<Rayon<T>>) {
    // There are as many tasks as there is work, so each finds some.
    let found = std::iter::repeat_with(|| shared.queue.steal()).find(|steal| !steal.is_retry());
    let Some(queued) = found.and_then(|steal| steal.success()) else {
        return;
    };
    let mut again = (shared.run)(queued.take(&shared.room));
    while let Some(work) = again.pop() {
        if shared.queue.is_empty() && again.is_empty() {
            again = (shared.run)(work);
        } else {
            shared.queue.push(Queued::again(work));
            let shared = Arc::clone(shared);
            rayon::spawn_fifo(move || run_on_rayon(&shared));
        }
    }
}

// ---- A bound for the unbounded queues, and the sleep of the stealing workers ----

fn deadline(timeout: Duration) -> Option<Instant> {
    Instant::now().checked_add(timeout)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A semaphore that bounds how much is queued; without a lock while permits are free and nobody waits.
///
/// A thread that waits is counted before its last look for a permit, and a release frees the permit before it
/// looks at that count: one of the two sees the other.
struct Semaphore {
    limit: usize,
    acquired: AtomicUsize,
    waiting: AtomicUsize,
    turn: Mutex<()>,
    released: Condvar,
}

impl Semaphore {
    fn new(limit: usize) -> Semaphore {
        Semaphore {
            limit,
            acquired: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            turn: Mutex::new(()),
            released: Condvar::new(),
        }
    }

    /// Acquires a permit; returns whether one was free before `deadline`.
    fn acquire(&self, deadline: Option<Instant>) -> bool {
        if self.try_acquire() {
            return true;
        }
        let mut turn = lock(&self.turn);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut acquired = self.try_acquire();
        while !acquired {
            let left =
                deadline.map_or(Duration::MAX, |d| d.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                break;
            }
            (turn, _) =
                self.released.wait_timeout(turn, left).unwrap_or_else(PoisonError::into_inner);
            acquired = self.try_acquire();
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        acquired
    }

    fn try_acquire(&self) -> bool {
        let step = |acquired| (acquired < self.limit).then_some(acquired + 1);
        self.acquired.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).is_ok()
    }

    fn release(&self) {
        self.acquired.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.turn)); // a thread between its last look and its sleep holds this
            self.released.notify_one();
        }
    }
}

/// Puts workers to sleep without losing a wake-up. A worker reads the [`epoch`](EventCount::epoch), looks for work,
/// and sleeps only if the epoch is still the same, since work that was queued in between has changed it.
#[derive(Default)]
struct EventCount {
    epoch: AtomicUsize,
    sleepers: AtomicUsize,
    closed: Mutex<bool>,
    notified: Condvar,
}

impl EventCount {
    fn epoch(&self) -> usize {
        self.epoch.load(Ordering::SeqCst)
    }

    fn notify(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.closed)); // a worker between its last look and its sleep holds this
            self.notified.notify_one();
        }
    }

    fn wait(&self, seen: usize) {
        let mut closed = lock(&self.closed);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !*closed && self.epoch.load(Ordering::SeqCst) == seen {
            closed = self.notified.wait(closed).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn close(&self) {
        *lock(&self.closed) = true;
        self.notified.notify_all();
    }

    fn is_closed(&self) -> bool {
        *lock(&self.closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use std::sync::Barrier;
    use std::sync::mpsc::channel;

    /// How long a place in the queue may take to become free.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// How many turns of other work are too many.
    const TURNS: usize = 1_000_000;

    fn every_kind(test: impl Fn(Kind)) {
        Kind::value_variants().iter().copied().for_each(test);
    }

    #[test]
    fn panic_in_work_spares_worker() {
        every_kind(|kind| {
            let (sender, done) = channel();
            let run = move |n: usize| {
                assert!(n % 2 == 1, "even work panics here on purpose");
                sender.send(n).unwrap();
                Vec::new()
            };
            let pool = start(kind, 2, 8, run).unwrap();
            (0..100).for_each(|n| pool.submit(n));
            let mut odd: Vec<usize> = done.iter().take(50).collect();
            odd.sort_unstable();
            assert!(odd.iter().copied().eq((1..100).step_by(2)), "{kind:?}: {odd:?}");
        });
    }

    #[test]
    fn full_queue_returns_the_work() {
        every_kind(|kind| {
            let barrier = Arc::new(Barrier::new(2));
            let (running, started) = channel();
            let at_barrier = Arc::clone(&barrier);
            let run = move |_: u32| {
                running.send(()).unwrap();
                at_barrier.wait();
                Vec::new()
            };
            let pool = start(kind, 1, 2, run).unwrap();
            pool.submit(0);
            started.recv().unwrap(); // the worker is busy, the queue is empty
            pool.submit(1);
            pool.submit(2);
            assert_eq!(pool.submit_within(3, Duration::from_millis(20)), Err(3), "{kind:?}");
            for _ in 0..3 {
                barrier.wait();
            }
        });
    }

    type GatedPool = Box<dyn Pool<(char, u32)>>;

    /// Names that are digits wait at the barrier of that number; the others return as often as their number of turns allows.
    fn start_gated(
        kind: Kind,
        workers: usize,
        queue: usize,
    ) -> (GatedPool, Arc<[Barrier; 3]>, Receiver<char>) {
        let gates = Arc::new([const { Barrier::new(2) }; 3]);
        let (sender, started) = unbounded();
        let at_gates = Arc::clone(&gates);
        let run = move |(name, turns): (char, u32)| {
            if sender.send(name).is_err() {
                return Vec::new(); // the test is over
            }
            if let Some(gate) = name.to_digit(10) {
                at_gates[gate as usize].wait();
            }
            if turns > 1 { vec![(name, turns - 1)] } else { Vec::new() }
        };
        (start(kind, workers, queue, run).unwrap(), gates, started)
    }

    /// How often 'a' ran before `other` did.
    fn turns_before(other: char, order: &[char]) -> usize {
        let end = order.iter().position(|&name| name == other).expect("it ran");
        order[..end].iter().filter(|&&name| name == 'a').count()
    }

    #[test]
    fn returned_work_runs_behind_all_work() {
        every_kind(|kind| {
            let (pool, gates, started) = start_gated(kind, 1, 32);
            pool.submit(('0', 1));
            assert_eq!(started.recv(), Ok('0')); // the worker is busy until all is queued
            pool.submit(('a', 1000));
            ('b'..='m').for_each(|name| pool.submit((name, 1)));
            gates[0].wait();
            let order: Vec<char> = started.iter().take(1012).collect();
            assert!(turns_before('m', &order) <= 2, "{kind:?}: {order:?}");
        });
    }

    #[test]
    fn busy_worker_keeps_no_work_waiting() {
        every_kind(|kind| {
            let (pool, gates, started) = start_gated(kind, 2, 32);
            pool.submit(('0', 1));
            pool.submit(('1', 1));
            assert!(started.iter().take(2).all(|name| name.is_ascii_digit())); // both workers are busy
            "2bcdaefg".chars().for_each(|name| {
                pool.submit((name, if name == 'a' { 1000 } else { 1 }));
            });
            gates[0].wait();
            assert_eq!(started.recv(), Ok('2')); // one is busy again, and may have taken some of the rest
            gates[1].wait();
            let order: Vec<char> = started.iter().take(1006).collect();
            gates[2].wait();
            assert!(turns_before('d', &order) <= 2, "{kind:?}: {order:?}");
        });
    }

    #[test]
    fn returned_work_takes_no_place() {
        every_kind(|kind| {
            let (pool, gates, started) = start_gated(kind, 1, 1);
            pool.submit(('0', 1));
            assert_eq!(started.recv(), Ok('0'));
            pool.submit(('a', u32::MAX));
            gates[0].wait();
            // Each finds a place, though 'a' waits or runs all the time.
            for name in 'b'..='m' {
                assert_eq!(pool.submit_within((name, 1), TIMEOUT), Ok(()), "{kind:?}");
            }
            assert!(started.iter().take(TURNS).any(|name| name == 'm'), "{kind:?}: 'm' starves");
        });
    }
}
