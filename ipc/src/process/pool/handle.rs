//! The handle to the result of a job.

use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use super::error::{Outcome, PoolError};
use super::job::{Completion, Job};
use super::shared::Shared;

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
