//! Helper threads for the file work that a session offloads, where its own thread must not block.
//!
//! There are two queues, each with threads of its own: one for hashes, and one for the other jobs, which are short. So a
//! listing never waits behind a hash. Both are first come, first served, and both are bounded and fair: a session has
//! at most one job, and a long hash is many jobs, between which it goes to the end of the queue.

use crate::slab::Key;
use crate::start::cannot_start;
use crate::waker::Waker;
use crossbeam::channel::{Receiver, Sender, unbounded};
use file_service::{Job, Outcome};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::{fmt, io};

/// How many threads each queue has. With more jobs than this the next one waits.
const THREADS: usize = 8;

/// How many jobs of clients that have ended their side run at once.
const BACKGROUND: usize = 2;

/// A job, and what to do with its outcome.
struct Task {
    job: Job,
    done: Box<dyn FnOnce(Option<Outcome>) + Send>,
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("job", &self.job).finish_non_exhaustive()
    }
}

/// The helper threads of a process. A clone leads to the same threads; they end when the last clone is
/// dropped.
#[derive(Clone, Debug)]
pub struct Helpers {
    hashes: Sender<Task>,
    short: Sender<Task>,
    background: Arc<Background<Task>>,
}

impl Helpers {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub fn start() -> io::Result<Helpers> {
        Ok(Helpers {
            hashes: start_threads("hasher")?,
            short: start_threads("helper")?,
            background: Arc::new(Background::new(BACKGROUND)),
        })
    }

    /// Runs `job` on a helper thread, which then calls `done`: with the outcome, or with `None` if the job
    /// panicked.
    pub fn run(&self, job: Job, done: impl FnOnce(Option<Outcome>) + Send + 'static) {
        let queue = if job.is_hash() { &self.hashes } else { &self.short };
        let task = if job.is_background() {
            self.background.enter(self.background_task(queue, job, done))
        } else {
            Some(Task { job, done: Box::new(done) })
        };
        if let Some(task) = task {
            // The threads receive for as long as this sender lives.
            let _ = queue.send(task);
        }
    }

    /// Returns a task after which the next one of its kind goes to the end of the queue.
    fn background_task(
        &self,
        queue: &Sender<Task>,
        job: Job,
        done: impl FnOnce(Option<Outcome>) + Send + 'static,
    ) -> Task {
        let (queue, background) = (queue.clone(), Arc::clone(&self.background));
        let done = move |outcome| {
            done(outcome);
            if let Some(next) = background.leave() {
                let _ = queue.send(next);
            }
        };
        Task { job, done: Box::new(done) }
    }
}

fn start_threads(name: &str) -> io::Result<Sender<Task>> {
    let (queue, tasks) = unbounded::<Task>();
    for _ in 0..THREADS {
        let tasks = tasks.clone();
        let work = move || {
            for Task { job, done } in tasks {
                done(job.attempt());
            }
        };
        let spawned = thread::Builder::new().name(name.into()).spawn(work);
        spawned.map_err(cannot_start(&format!("a {name} thread")))?;
    }
    Ok(queue)
}

/// Bounds how much of the work of clients that have ended their side runs at once: what comes above the bound waits here
/// and keeps no thread waiting.
#[derive(Debug)]
pub struct Background<T> {
    limit: usize,
    state: Mutex<BackgroundState<T>>,
}

#[derive(Debug)]
struct BackgroundState<T> {
    running: usize,
    waiting: VecDeque<T>,
}

impl<T> Background<T> {
    /// Creates a bound of `limit` pieces of work, at least 1.
    pub fn new(limit: usize) -> Background<T> {
        let state = BackgroundState { running: 0, waiting: VecDeque::new() };
        Background { limit: limit.max(1), state: Mutex::new(state) }
    }

    /// Returns `work` if it may run; [`leave`](Background::leave) must follow. Otherwise keeps it until then.
    pub fn enter(&self, work: T) -> Option<T> {
        let mut state = self.lock();
        if state.running < self.limit {
            state.running += 1;
            return Some(work);
        }
        state.waiting.push_back(work);
        None
    }

    /// Notes that a piece of work has run. Returns the next one, which has entered by this.
    pub fn leave(&self) -> Option<T> {
        let mut state = self.lock();
        let next = state.waiting.pop_front();
        if next.is_none() {
            state.running -= 1;
        }
        next
    }

    fn lock(&self) -> MutexGuard<'_, BackgroundState<T>> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcomes that helper threads return to one event loop, which a [`Waker`] wakes for them.
#[derive(Debug)]
pub struct Outcomes {
    helpers: Helpers,
    sender: Sender<(Key, Option<Outcome>)>,
    receiver: Receiver<(Key, Option<Outcome>)>,
    waker: Waker,
}

impl Outcomes {
    /// Creates an empty queue for the loop that `waker` wakes.
    pub fn new(helpers: Helpers, waker: Waker) -> Outcomes {
        let (sender, receiver) = unbounded();
        Outcomes { helpers, sender, receiver, waker }
    }

    /// Runs `job` of the client `key` on a helper thread and queues the outcome here.
    pub fn offload(&self, key: Key, job: Job) {
        let (sender, waker) = (self.sender.clone(), self.waker.clone());
        self.helpers.run(job, move |outcome| {
            // A loop that has ended wants no outcome.
            let _ = sender.send((key, outcome));
            waker.wake();
        });
    }

    /// Returns the next outcome, and whose it is; the outcome is `None` if the job panicked.
    pub fn next(&self) -> Option<(Key, Option<Outcome>)> {
        self.receiver.try_recv().ok()
    }

    /// What wakes the loop.
    pub fn waker(&self) -> &Waker {
        &self.waker
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_work_waits_in_order() {
        let background = Background::new(2);
        let entered: Vec<_> = (0..5).map(|n| background.enter(n)).collect();
        assert_eq!(entered, [Some(0), Some(1), None, None, None]);
        let left: Vec<_> = (0..5).map(|_| background.leave()).collect();
        assert_eq!(left, [Some(2), Some(3), Some(4), None, None]);
        assert_eq!(background.enter(5), Some(5));
    }
}
