//! Three pools behind one interface: a bounded number of threads, a bounded queue.
//!
//! | kind | how work reaches a worker | good for |
//! |---|---|---|
//! | [`Kind::Channel`] | one bounded queue for all | work of any kind; the simplest thing that is right |
//! | [`Kind::Steal`] | a common queue, from which workers take batches into deques of their own, and from each other's | many small pieces on many cores, where one queue would be fought over |
//! | [`Kind::Rayon`] | as with `Steal`, by the library that made it popular | pieces that compute and never block: its queue has no bound, so one is put in front here |
//!
//! A panic in a piece of work costs that piece, never a worker.

use crate::Kind;
use crossbeam::channel::{Receiver, SendTimeoutError, Sender, TryRecvError, bounded};
use crossbeam::deque::{Injector, Stealer, Worker};
use server_core::cannot_start;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
/// What `run` gives back is run again after others have had their turn. Dropping the pool ends the
/// threads when the queue is empty.
///
/// # Errors
///
/// The system refuses a thread.
pub fn start<T: Send + 'static>(
    kind: Kind,
    workers: usize,
    queue: usize,
    run: impl Fn(T) -> Option<T> + Send + Sync + 'static,
) -> io::Result<Box<dyn Pool<T>>> {
    // Whatever `run` had of the work is dropped in unwinding, so nothing half-done is seen again.
    let run = move |work| catch_unwind(AssertUnwindSafe(|| run(work))).unwrap_or(None);
    Ok(match kind {
        Kind::Channel => Box::new(ChannelPool::start(workers, queue, run)?),
        Kind::Steal => Box::new(StealPool::start(workers, queue, run)?),
        Kind::Rayon => Box::new(RayonPool::start(workers, queue, run)?),
    })
}

fn spawn_worker(at: usize, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let spawned = thread::Builder::new().name(format!("worker {at}")).spawn(body);
    spawned.map(drop).map_err(cannot_start(&format!("worker {at}")))
}

// ---- One queue ----

struct ChannelPool<T> {
    queue: Sender<T>,
}

impl<T: Send + 'static> ChannelPool<T> {
    fn start(
        workers: usize,
        queue: usize,
        run: impl Fn(T) -> Option<T> + Send + Sync + 'static,
    ) -> io::Result<ChannelPool<T>> {
        let (sender, receiver) = bounded(queue);
        let run = Arc::new(run);
        for at in 0..workers {
            let (receiver, run) = (receiver.clone(), Arc::clone(&run));
            spawn_worker(at, move || work_from_channel(&receiver, &*run))?;
        }
        Ok(ChannelPool { queue: sender })
    }
}

/// The whole of a worker. It ends when the sender is dropped.
fn work_from_channel<T>(queue: &Receiver<T>, run: &dyn Fn(T) -> Option<T>) {
    // What is to be run again stays with this worker: putting it back could wait for ourselves.
    let mut again = VecDeque::new();
    loop {
        let fresh = if again.is_empty() {
            queue.recv().map_err(|_| TryRecvError::Disconnected)
        } else {
            queue.try_recv()
        };
        match fresh {
            Ok(work) => again.extend(run(work)),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) if again.is_empty() => return,
            Err(TryRecvError::Disconnected) => {}
        }
        if let Some(work) = again.pop_front() {
            again.extend(run(work));
        }
    }
}

impl<T: Send> Pool<T> for ChannelPool<T> {
    fn submit_within(&self, work: T, timeout: Duration) -> Result<(), T> {
        match deadline(timeout) {
            None => self.queue.send(work).map_err(|error| error.into_inner()),
            Some(deadline) => {
                self.queue.send_deadline(work, deadline).map_err(|error| match error {
                    SendTimeoutError::Timeout(work) | SendTimeoutError::Disconnected(work) => work,
                })
            }
        }
    }
}

// ---- Deques with stealing ----

struct StealPool<T> {
    shared: Arc<Steal<T>>,
}

struct Steal<T> {
    /// Where work comes in.
    injector: Injector<T>,
    /// The far ends of the workers' deques.
    stealers: Vec<Stealer<T>>,
    room: Semaphore,
    /// Counts what is queued anywhere, for workers that find nothing and want to sleep.
    work: EventCount,
}

impl<T: Send + 'static> StealPool<T> {
    fn start(
        workers: usize,
        queue: usize,
        run: impl Fn(T) -> Option<T> + Send + Sync + 'static,
    ) -> io::Result<StealPool<T>> {
        let deques: Vec<Worker<T>> = (0..workers).map(|_| Worker::new_fifo()).collect();
        let shared = Arc::new(Steal {
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

fn work_by_stealing<T>(shared: &Steal<T>, own: &Worker<T>, run: &dyn Fn(T) -> Option<T>) {
    loop {
        let seen = shared.work.epoch();
        match find_work(shared, own) {
            Some(work) => {
                shared.room.release();
                if let Some(again) = run(work) {
                    // Behind what has come in meanwhile: in its own deque, work that is run again and again would keep this
                    // worker from the common queue. The place it takes is not counted.
                    shared.room.force_acquire();
                    shared.injector.push(again);
                }
            }
            None if shared.work.is_closed() => return,
            None => shared.work.wait(seen),
        }
    }
}

/// One's own deque first, then a batch from the common queue, then what others have.
fn find_work<T>(shared: &Steal<T>, own: &Worker<T>) -> Option<T> {
    own.pop().or_else(|| {
        std::iter::repeat_with(|| {
            shared
                .injector
                .steal_batch_and_pop(own)
                .or_else(|| shared.stealers.iter().map(Stealer::steal).collect())
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
        self.shared.injector.push(work);
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
    queue: Injector<T>,
    run: Box<dyn Fn(T) -> Option<T> + Send + Sync>,
    room: Semaphore,
}

impl<T: Send + 'static> RayonPool<T> {
    fn start(
        workers: usize,
        queue: usize,
        run: impl Fn(T) -> Option<T> + Send + Sync + 'static,
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
        self.shared.queue.push(work);
        let shared = Arc::clone(&self.shared);
        self.pool.spawn_fifo(move || run_on_rayon(&shared));
        Ok(())
    }
}

fn run_on_rayon<T: Send + 'static>(shared: &Arc<Rayon<T>>) {
    // There are as many tasks as there is work, so each finds some.
    let found = std::iter::repeat_with(|| shared.queue.steal()).find(|steal| !steal.is_retry());
    let Some(work) = found.and_then(|steal| steal.success()) else {
        return;
    };
    shared.room.release();
    if let Some(again) = (shared.run)(work) {
        shared.room.force_acquire();
        shared.queue.push(again);
        let shared = Arc::clone(shared);
        rayon::spawn_fifo(move || run_on_rayon(&shared));
    }
}

// ---- A bound for the two unbounded queues, and the sleep of the stealing workers ----

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

    fn force_acquire(&self) {
        self.acquired.fetch_add(1, Ordering::SeqCst);
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
                None
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
                None
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

    #[test]
    fn returned_work_runs_after_other_work() {
        every_kind(|kind| {
            let (sender, done) = channel();
            let run = move |(name, turns): (char, u32)| {
                sender.send(name).unwrap();
                (turns > 1).then_some((name, turns - 1))
            };
            let pool = start(kind, 1, 8, run).unwrap();
            pool.submit(('a', 1000));
            pool.submit(('b', 1));
            let order: Vec<char> = done.iter().take(1001).collect();
            assert!(order.contains(&'b'), "{kind:?}: the second piece starves");
            assert_eq!(order.iter().filter(|name| **name == 'a').count(), 1000, "{kind:?}");
        });
    }
}
