//! A job on its way to a worker.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::error::{Outcome, PoolError};
use crate::process::frame::job_frame;

/// Where a job's outcome is put for its handle.
#[derive(Debug, Default)]
pub(super) struct Completion {
    outcome: Mutex<Option<Outcome<Vec<u8>>>>,
    pub(super) completed: Condvar,
}

impl Completion {
    pub(super) fn lock(&self) -> MutexGuard<'_, Option<Outcome<Vec<u8>>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job on its way. However it is dropped, its handle gets an outcome.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) frame: Vec<u8>,
    pub(super) completion: Arc<Completion>,
}

/// Jobs that go to one worker together.
pub(super) type Chunk = VecDeque<Job>;

impl Job {
    /// The caller has checked both limits of a frame.
    pub(super) fn new(id: u64, name: &str, input: &[u8]) -> Self {
        let (name, frame) = (name.to_owned(), job_frame(id, name, input));
        Self { id, name, frame, completion: Arc::default() }
    }

    /// The first outcome counts.
    pub(super) fn complete(&self, outcome: Outcome<Vec<u8>>) {
        self.completion.lock().get_or_insert(outcome);
        self.completion.completed.notify_all();
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let job = std::mem::take(&mut self.name);
        self.complete(Err(PoolError::Terminated { job }));
    }
}
