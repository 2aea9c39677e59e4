//! Helper threads for the file work that a session offloads, where its own thread must not block.

use crate::slab::Key;
use crate::start::cannot_start;
use crate::waker::Waker;
use crossbeam::channel::{Receiver, Sender, unbounded};
use file_service::{Job, Outcome};
use std::io;
use std::thread;

/// How many threads there are. With more long jobs than this the next one waits.
pub const HELPERS: usize = 8;

/// A job, and what to do with its outcome.
struct Task {
    job: Job,
    done: Box<dyn FnOnce(Option<Outcome>) + Send>,
}

/// The helper threads of a process. A clone leads to the same threads; they end when the last clone is
/// dropped.
#[derive(Clone, Debug)]
pub struct Helpers {
    queue: Sender<Task>,
}

impl Helpers {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// The system refuses a thread.
    pub fn start() -> io::Result<Helpers> {
        let (queue, tasks) = unbounded::<Task>();
        for _ in 0..HELPERS {
            let tasks = tasks.clone();
            let work = move || {
                for Task { job, done } in tasks {
                    done(job.attempt());
                }
            };
            let spawned = thread::Builder::new().name("helper".into()).spawn(work);
            spawned.map_err(cannot_start("a helper thread"))?;
        }
        Ok(Helpers { queue })
    }

    /// Runs `job` on a helper thread, which then calls `done`: with the outcome, or with `None` if the job
    /// panicked.
    pub fn run(&self, job: Job, done: impl FnOnce(Option<Outcome>) + Send + 'static) {
        // The threads receive for as long as this sender lives.
        let _ = self.queue.send(Task { job, done: Box::new(done) });
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
