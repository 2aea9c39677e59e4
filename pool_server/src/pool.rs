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
    /// Gives the work back.
    fn submit_within(&self, work: T, patience: Duration) -> Result<(), T>;
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
    thread::Builder::new().name(format!("worker {at}")).spawn(body)?;
    Ok(())
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
    fn submit_within(&self, work: T, patience: Duration) -> Result<(), T> {
        match deadline(patience) {
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
    room: Gate,
    /// Counts what is queued anywhere, for workers that find nothing and want to sleep.
    work: Signal,
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
            room: Gate::new(queue),
            work: Signal::default(),
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
        let seen = shared.work.seen();
        match find_work(shared, own) {
            Some(work) => {
                shared.room.leave();
                if let Some(again) = run(work) {
                    // Behind everything else this worker has; the place it takes is not counted.
                    shared.room.enter_unasked();
                    own.push(again);
                }
            }
            None if shared.work.is_over() => return,
            None => shared.work.sleep_unless_since(seen),
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
    fn submit_within(&self, work: T, patience: Duration) -> Result<(), T> {
        if !self.shared.room.enter(deadline(patience)) {
            return Err(work);
        }
        self.shared.injector.push(work);
        self.shared.work.raise();
        Ok(())
    }
}

impl<T> Drop for StealPool<T> {
    fn drop(&mut self) {
        self.shared.work.end();
    }
}

// ---- rayon ----

struct RayonPool<T> {
    pool: rayon::ThreadPool,
    shared: Arc<Rayon<T>>,
}

struct Rayon<T> {
    run: Box<dyn Fn(T) -> Option<T> + Send + Sync>,
    room: Gate,
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
            .map_err(io::Error::other)?;
        let shared = Arc::new(Rayon { run: Box::new(run), room: Gate::new(queue) });
        Ok(RayonPool { pool, shared })
    }
}

impl<T: Send + 'static> Pool<T> for RayonPool<T> {
    fn submit_within(&self, work: T, patience: Duration) -> Result<(), T> {
        if !self.shared.room.enter(deadline(patience)) {
            return Err(work);
        }
        let shared = Arc::clone(&self.shared);
        self.pool.spawn_fifo(move || run_on_rayon(&shared, work));
        Ok(())
    }
}

fn run_on_rayon<T: Send + 'static>(shared: &Arc<Rayon<T>>, work: T) {
    shared.room.leave();
    if let Some(again) = (shared.run)(work) {
        shared.room.enter_unasked();
        let shared = Arc::clone(shared);
        rayon::spawn_fifo(move || run_on_rayon(&shared, again));
    }
}

// ---- What the two unbounded queues need to be bounded, and the stealing workers to sleep ----

fn deadline(patience: Duration) -> Option<Instant> {
    Instant::now().checked_add(patience)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A bound on how much is queued; free of locks while there is room and nobody waits.
///
/// Who waits is counted before the last look for room, and who leaves makes room before the look for who
/// waits: one of the two sees the other.
struct Gate {
    limit: usize,
    inside: AtomicUsize,
    waiting: AtomicUsize,
    turn: Mutex<()>,
    left: Condvar,
}

impl Gate {
    fn new(limit: usize) -> Gate {
        Gate {
            limit,
            inside: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            turn: Mutex::new(()),
            left: Condvar::new(),
        }
    }

    /// Gives whether there was room before `deadline`.
    fn enter(&self, deadline: Option<Instant>) -> bool {
        if self.try_enter() {
            return true;
        }
        let mut turn = lock(&self.turn);
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut entered = self.try_enter();
        while !entered {
            let patience =
                deadline.map_or(Duration::MAX, |d| d.saturating_duration_since(Instant::now()));
            if patience.is_zero() {
                break;
            }
            (turn, _) =
                self.left.wait_timeout(turn, patience).unwrap_or_else(PoisonError::into_inner);
            entered = self.try_enter();
        }
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        entered
    }

    fn try_enter(&self) -> bool {
        let step = |inside| (inside < self.limit).then_some(inside + 1);
        self.inside.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).is_ok()
    }

    fn enter_unasked(&self) {
        self.inside.fetch_add(1, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.turn)); // who has looked in vain holds this until it sleeps
            self.left.notify_one();
        }
    }
}

/// News of work, for those who sleep. A worker notes what it has [`seen`](Signal::seen), looks for work,
/// and sleeps only if no news came in between: nothing is lost between the look and the sleep.
#[derive(Default)]
struct Signal {
    raised: AtomicUsize,
    sleepers: AtomicUsize,
    over: Mutex<bool>,
    news: Condvar,
}

impl Signal {
    fn seen(&self) -> usize {
        self.raised.load(Ordering::SeqCst)
    }

    fn raise(&self) {
        self.raised.fetch_add(1, Ordering::SeqCst);
        if self.sleepers.load(Ordering::SeqCst) > 0 {
            drop(lock(&self.over)); // a worker between its last look and its sleep holds this
            self.news.notify_one();
        }
    }

    fn sleep_unless_since(&self, seen: usize) {
        let mut over = lock(&self.over);
        self.sleepers.fetch_add(1, Ordering::SeqCst);
        while !*over && self.raised.load(Ordering::SeqCst) == seen {
            over = self.news.wait(over).unwrap_or_else(PoisonError::into_inner);
        }
        self.sleepers.fetch_sub(1, Ordering::SeqCst);
    }

    fn end(&self) {
        *lock(&self.over) = true;
        self.news.notify_all();
    }

    fn is_over(&self) -> bool {
        *lock(&self.over)
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
    fn a_panic_costs_its_work_and_no_worker() {
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
    fn a_full_queue_pushes_back_and_gives_the_work_back() {
        every_kind(|kind| {
            let gate = Arc::new(Barrier::new(2));
            let (running, started) = channel();
            let at_gate = Arc::clone(&gate);
            let run = move |_: u32| {
                running.send(()).unwrap();
                at_gate.wait();
                None
            };
            let pool = start(kind, 1, 2, run).unwrap();
            pool.submit(0);
            started.recv().unwrap(); // the worker is busy, the queue is empty
            pool.submit(1);
            pool.submit(2);
            assert_eq!(pool.submit_within(3, Duration::from_millis(20)), Err(3), "{kind:?}");
            for _ in 0..3 {
                gate.wait();
            }
        });
    }

    #[test]
    fn what_is_given_back_is_run_again_and_others_in_between() {
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
