//! A job on its way to a worker, and the handle to its result.

use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::error::{Outcome, PoolError};
use super::shared::Shared;
use crate::process::frame::job_frame;

/// A job that was handed to a [`Pool`](super::Pool), and its result to come.
///
/// Dropping it loses the result; the job is done nevertheless.
pub struct JobHandle<T> {
    completion: Arc<Completion>,
    pool: Weak<Shared>,
    name: String,
    decode: fn(&str, &[u8]) -> Outcome<T>,
    result: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for JobHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobHandle").field("job", &self.name).field("ready", &self.ready()).finish()
    }
}

impl<T> JobHandle<T> {
    pub(super) fn new(
        job: &Job,
        pool: &Arc<Shared>,
        name: &str,
        decode: fn(&str, &[u8]) -> Outcome<T>,
    ) -> Self {
        Self {
            completion: job.completion.clone(),
            pool: Arc::downgrade(pool),
            name: name.to_owned(),
            decode,
            result: PhantomData,
        }
    }

    /// Whether [`get`](Self::get) would not wait.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.check_owner().is_err() || self.completion.lock().is_some()
    }

    /// A pool that is gone has completed its jobs.
    fn check_owner(&self) -> Outcome<()> {
        self.pool.upgrade().map_or(Ok(()), |pool| pool.check_owner())
    }

    /// Waits for the result. May be called again; it gives the same.
    ///
    /// # Errors
    ///
    /// How the job ended, if not with a result.
    pub fn get(&self) -> Outcome<T> {
        self.check_owner()?;
        let mut outcome = self.completion.lock();
        loop {
            match &*outcome {
                Some(outcome) => {
                    return (self.decode)(&self.name, outcome.as_ref().map_err(Clone::clone)?);
                }
                None => {
                    let waited = self.completion.completed.wait(outcome);
                    outcome = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// As [`get`](Self::get), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PoolError::TimedOut`]: the job goes on, and the handle stays good; the error says so if the pool could not start
    /// workers. Otherwise as [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Outcome<T> {
        self.check_owner()?;
        let (outcome, waited) = self
            .completion
            .completed
            .wait_timeout_while(self.completion.lock(), timeout, |outcome| outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        drop(outcome);
        if waited.timed_out() {
            return Err(PoolError::TimedOut {
                subject: format!("job {}", self.name),
                waited: timeout,
                shortage: self.pool.upgrade().and_then(|pool| pool.lock().shortage.clone()),
            });
        }
        self.get()
    }
}

/// Where a job's outcome is put for its handle.
#[derive(Debug, Default)]
struct Completion {
    outcome: Mutex<Option<Outcome<Vec<u8>>>>,
    completed: Condvar,
}

impl Completion {
    fn lock(&self) -> MutexGuard<'_, Option<Outcome<Vec<u8>>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job on its way. However it is dropped, its handle gets an outcome.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) frame: Vec<u8>,
    completion: Arc<Completion>,
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
