//! Why a job has no result.

use std::time::Duration;

use crate::process::Exit;

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The worker died with the job in hand, or just before it began it. The job is not tried again, since
    /// it may have done half of its work, and may be the reason. The worker is replaced.
    #[error(
        "job {job}: worker {worker} (pid {pid}) died in it, and the job is not tried again: {exit}"
    )]
    Died {
        /// The name of the job.
        job: String,
        /// The name of the worker.
        worker: String,
        /// The pid that the worker had.
        pid: i32,
        /// How it ended.
        exit: Exit,
    },
    /// The job itself failed: it panicked, its input could not be read, its output was too large.
    #[error("job {job}: failed in worker {worker} (pid {pid}): {text}")]
    Failed {
        /// The name of the job.
        job: String,
        /// The name of the worker.
        worker: String,
        /// The pid of the worker, which goes on.
        pid: i32,
        /// What went wrong.
        text: String,
    },
    /// The workers have no such job.
    #[error(
        "job {job}: worker {worker} (pid {pid}) has no job of that name; add it there by Worker::job"
    )]
    Unknown {
        /// The name of the job.
        job: String,
        /// The name of the worker.
        worker: String,
        /// The pid of the worker.
        pid: i32,
    },
    /// The name or the input is larger than a frame allows. Nothing was sent.
    #[error("job {job}: {part} of {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The name of the job.
        job: String,
        /// The part that is too large.
        part: &'static str,
        /// Its size.
        bytes: usize,
        /// The largest size allowed.
        limit: usize,
    },
    /// Input or output does not have the form that the caller's types say.
    #[error("job {job}: {text}")]
    Form {
        /// The name of the job.
        job: String,
        /// What does not fit.
        text: String,
    },
    /// The worker did not send a reply of the protocol. It was killed and is replaced.
    #[error("job {job}: worker {worker} (pid {pid}) sent {text} and was killed")]
    Protocol {
        /// The name of the job.
        job: String,
        /// The name of the worker.
        worker: String,
        /// The pid that the worker had.
        pid: i32,
        /// What it sent.
        text: String,
    },
    /// No worker is left, and none is started any more: each ended five times in a row before it took a job, or the
    /// program is not a worker, or cannot be started at all.
    #[error(
        "pool {pool}: no worker is left, and none is started; the last one, {worker}: {reason}"
    )]
    NoWorkers {
        /// The name of the pool.
        pool: String,
        /// The name of the last worker.
        worker: String,
        /// How it ended, or why it could not be started.
        reason: String,
    },
    /// The pool takes no more jobs: it was closed.
    #[error("pool {pool}: closed, it takes no more jobs")]
    Closed {
        /// The name of the pool.
        pool: String,
    },
    /// The pool was terminated, or dropped, before the job was done.
    #[error("job {job}: the pool was terminated before it was done")]
    Terminated {
        /// The name of the job.
        job: String,
    },
    /// This process is a forked copy of the one that started the pool. The workers reply to that one.
    #[error(
        "pool {pool}: this process is a forked copy of the one that started it; start a pool of its own"
    )]
    Forked {
        /// The name of the pool.
        pool: String,
    },
    /// The time that the caller was ready to wait has passed; what was waited for goes on.
    #[error("{subject}: not done within {waited:?}{}", shortage_text(.shortage.as_deref()))]
    TimedOut {
        /// The pool or the job that was waited for.
        subject: String,
        /// The time that the caller allowed.
        waited: Duration,
        /// Why the pool has fewer workers than it should have, if it could not start one and tries again.
        shortage: Option<String>,
    },
}

fn shortage_text(shortage: Option<&str>) -> String {
    shortage.map_or_else(String::new, |text| format!("; the pool is short of workers: {text}"))
}

/// The result of everything that a pool does.
pub(super) type Outcome<T> = Result<T, PoolError>;
