//! A pool of worker processes: the side that hands out jobs.
//!
//! - [`Pool`] and [`PoolOptions`], here: what the caller sees.
//! - `job`: a job on its way; `handle`: the handle to its result.
//! - `shared`: the queue and the state, between the callers and the supervisor.
//! - `supervisor`: the thread that starts workers, hands out jobs, and replaces workers that end.
//! - `worker_process`: one worker process and the socket to it.

mod error;
mod handle;
mod job;
mod shared;
mod supervisor;
mod worker_process;

pub use error::PoolError;
pub use handle::JobHandle;

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::child::Executable;
use super::frame::{MESSAGE_LIMIT, NAME_LIMIT};
use crate::error::{Error, Result};
use crate::sys::Owner;
use error::Outcome;
use job::{Chunk, Job};
use shared::{Shared, State};
use supervisor::Supervisor;

/// The most jobs that [`Pool::map`] sends to one worker at a time.
const MAX_CHUNK: usize = 64;

/// The most workers of a pool.
const MAX_WORKERS: u64 = 1024;

/// How a pool is to be: made by [`Pool::entry`] and [`Pool::command`].
#[derive(Clone, Debug)]
#[must_use = "no worker runs before start()"]
pub struct PoolOptions {
    executable: Executable,
    arguments: Vec<String>,
    workers: usize,
    start_timeout: Duration,
}

impl PoolOptions {
    fn new(executable: Executable) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { executable, arguments: Vec::new(), workers, start_timeout: Duration::from_secs(10) }
    }

    /// How many workers: 1 to 1,024. Without this, as many as processors can be used.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers;
        self
    }

    /// Adds an argument that every worker gets.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// How long a worker may take to send its hello; then it is killed, which counts as an end without a job. If no worker
    /// of the pool has ever sent its hello, the program is taken for one that is not a worker, and is not started again.
    /// Without this, 10 seconds.
    pub fn start_timeout(mut self, timeout: Duration) -> Self {
        self.start_timeout = timeout;
        self
    }

    /// Starts the workers. Does not wait for them to be ready.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`]: no worker, or too many. Otherwise as [`Launch::start`](super::Launch::start);
    /// then none of the workers is left.
    pub fn start(self) -> Result<Pool> {
        let name = self.executable.name();
        let object = format!("pool {name}");
        Error::check_range(&object, "number of workers", self.workers as u64, 1..=MAX_WORKERS)?;
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| Error::system(&object, "eventfd", errno))?;
        let shared = Arc::new(Shared {
            workers: self.workers,
            next_id: AtomicU64::new(0),
            state: Mutex::new(State::default()),
            finished: Condvar::new(),
            owner: Owner::here(),
            wake,
            name,
        });
        // The workers are started by the thread that watches them: a third-party program dies with the thread
        // that started it, and this one lives as long as the pool.
        let (report, started) = sync_channel(1);
        let supervisor = Supervisor::new(shared.clone(), self);
        std::thread::Builder::new()
            .name("pool".into())
            .spawn(move || supervisor.run(&report))
            .map_err(|error| {
                let errno = error.raw_os_error().map_or(Errno::EAGAIN, Errno::from_raw);
                Error::system(object, "pthread_create", errno)
            })?;
        let pool = Pool { shared };
        // The thread reports in any case. Had it died, dropping the pool would show that.
        started.recv().unwrap_or(Ok(()))?;
        Ok(pool)
    }
}

/// A number of worker processes that do jobs.
///
/// A *job* is a name and an input; a worker has a function for the name (see [`Worker`](super::Worker)) and
/// sends back its output. Jobs are messages, since closures do not cross `exec`. Each worker does one job
/// at a time; jobs wait in a queue in this process, which is not bounded.
///
/// ```standalone_crate
/// use ipc::process::{self, Pool, Worker};
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     process::init(&[("worker", worker)]);
///     let pool = Pool::new("worker", 2)?;
///     let square: u64 = pool.apply("square", &12)?;
///     assert_eq!(square, 144);
///     let squares: Vec<u64> = pool.map("square", &[1, 2, 3])?;
///     assert_eq!(squares, [1, 4, 9]);
///     Ok(())
/// }
///
/// fn worker(_: &[String]) -> Result<(), Box<dyn std::error::Error>> {
///     Worker::new().job("square", |n: u64| n * n).serve()?;
///     Ok(())
/// }
/// ```
///
/// A worker that dies is replaced, and the job that it had in hand ends with [`PoolError::Died`]; what had
/// been sent to it beyond that goes to others. There are three reasons for which a worker is not replaced:
///
/// - it ended five times in a row without having taken a job (with pauses of 10 to 80 ms in between, so that a broken
///   program does not become a storm of processes);
/// - it sent no hello within [`start_timeout`](PoolOptions::start_timeout), and no worker of the pool has ever sent one;
/// - it cannot be started, and trying again would not help: the program is gone, or may not be executed.
///
/// When none is left, every job ends with [`PoolError::NoWorkers`], which holds the last reason. A *shortage* (of
/// descriptors, processes or memory) is not a reason. While jobs are there, the pool tries the start again, ever more
/// slowly, up to once in a second, and [`JobHandle::get_timeout`] reports what is short.
///
/// When the parent is killed, its workers end too: see [`Launch::daemon`](super::Launch::daemon). In a forked copy of the
/// parent, a pool has no workers: every job is refused with [`PoolError::Forked`], and dropping it does nothing.
///
/// Dropping a pool terminates it: no process is left, and jobs that were not done end with
/// [`PoolError::Terminated`]. To let them finish, [`join`](Self::join) first.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
}

impl Pool {
    /// Starts a pool of `workers` processes that run the entry `entry` of this program (see
    /// [`init`](super::init)), which is to call [`Worker::serve`](super::Worker::serve).
    ///
    /// # Errors
    ///
    /// As [`PoolOptions::start`].
    pub fn new(entry: &str, workers: usize) -> Result<Self> {
        Self::entry(entry).workers(workers).start()
    }

    /// Prepares a pool whose workers run an entry of this program.
    pub fn entry(entry: &str) -> PoolOptions {
        PoolOptions::new(Executable::Entry(entry.to_owned()))
    }

    /// Prepares a pool whose workers run another program, in any language: it speaks the
    /// [frames](super::frame) over its standard input.
    pub fn command(program: impl Into<PathBuf>) -> PoolOptions {
        PoolOptions::new(Executable::Program(program.into()))
    }

    /// Has one job done, and waits for it.
    ///
    /// # Errors
    ///
    /// Any [`PoolError`] but `TimedOut`.
    pub fn apply<In, Out>(&self, job: &str, input: &In) -> Outcome<Out>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned,
    {
        self.apply_async(job, input)?.get()
    }

    /// Has one job done, and does not wait for it: the handle does.
    ///
    /// # Errors
    ///
    /// [`PoolError::TooLarge`], [`PoolError::Form`], [`PoolError::Closed`], [`PoolError::NoWorkers`],
    /// [`PoolError::Forked`]: the job was not accepted.
    pub fn apply_async<In, Out>(&self, job: &str, input: &In) -> Outcome<JobHandle<Out>>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned,
    {
        let new = self.new_job(job, &to_json(job, input)?)?;
        let handle = JobHandle::new(&new, &self.shared, job, from_json);
        self.submit([Chunk::from([new])])?;
        Ok(handle)
    }

    /// As [`apply_async`](Self::apply_async), for a job of bytes.
    ///
    /// # Errors
    ///
    /// As [`apply_async`](Self::apply_async).
    pub fn apply_bytes(&self, job: &str, input: &[u8]) -> Outcome<JobHandle<Vec<u8>>> {
        let new = self.new_job(job, input)?;
        let handle = JobHandle::new(&new, &self.shared, job, |_, output| Ok(output.to_vec()));
        self.submit([Chunk::from([new])])?;
        Ok(handle)
    }

    /// Has a job done for each of `inputs`, waits for all, and gives the results in the order of the inputs.
    ///
    /// The jobs are sent to the workers in chunks, which spares them waiting for each other's messages. The
    /// chunks are small enough that every worker gets at least four, if there are so many jobs.
    ///
    /// # Errors
    ///
    /// The first error in the order of the inputs, after all jobs have ended. [`map_each`](Self::map_each)
    /// gives every job's own.
    pub fn map<In, Out>(&self, job: &str, inputs: &[In]) -> Outcome<Vec<Out>>
    where
        In: Serialize,
        Out: DeserializeOwned,
    {
        self.map_each(job, inputs)?.into_iter().collect()
    }

    /// As [`map`](Self::map), but a job that fails takes only its own place in the results.
    ///
    /// # Errors
    ///
    /// As [`apply_async`](Self::apply_async): no job was accepted.
    pub fn map_each<In, Out>(&self, job: &str, inputs: &[In]) -> Outcome<Vec<Outcome<Out>>>
    where
        In: Serialize,
        Out: DeserializeOwned,
    {
        let size = (inputs.len() / (self.shared.workers * 4)).clamp(1, MAX_CHUNK);
        let mut handles = Vec::with_capacity(inputs.len());
        let mut chunks = Vec::with_capacity(inputs.len() / size + 1);
        for inputs in inputs.chunks(size) {
            let mut chunk = Chunk::with_capacity(inputs.len());
            for input in inputs {
                let new = self.new_job(job, &to_json(job, input)?)?;
                handles.push(JobHandle::new(&new, &self.shared, job, from_json));
                chunk.push_back(new);
            }
            chunks.push(chunk);
        }
        self.submit(chunks)?;
        Ok(handles.iter().map(JobHandle::get).collect())
    }

    /// Takes no more jobs. Those accepted are still done, and then the workers end.
    pub fn close(&self) {
        self.end(false);
    }

    /// Kills the workers (SIGKILL) and ends all jobs that are not done with [`PoolError::Terminated`].
    ///
    /// Does not wait: [`join`](Self::join) does.
    pub fn terminate(&self) {
        self.end(true);
    }

    fn end(&self, terminate: bool) {
        if self.shared.check_owner().is_err() {
            return;
        }
        let mut state = self.shared.lock();
        state.closed = true;
        state.terminated |= terminate;
        drop(state);
        self.shared.wake();
    }

    /// Closes the pool and waits until all jobs have ended and no worker is left.
    ///
    /// A worker that does not end within 5 seconds after its last job is killed.
    pub fn join(&self) {
        if self.shared.check_owner().is_err() {
            return; // no worker is this process's
        }
        self.close();
        let mut state = self.shared.lock();
        while !state.finished {
            state = self.shared.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// As [`join`](Self::join), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PoolError::TimedOut`]; the pool is closed nevertheless. [`PoolError::Forked`].
    pub fn join_timeout(&self, timeout: Duration) -> Outcome<()> {
        self.shared.check_owner()?;
        self.close();
        let (state, waited) = self
            .shared
            .finished
            .wait_timeout_while(self.shared.lock(), timeout, |state| !state.finished)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let subject = format!("pool {}", self.shared.name);
            let shortage = state.shortage.clone();
            return Err(PoolError::TimedOut { subject, waited: timeout, shortage });
        }
        Ok(())
    }

    /// The names and pids of the workers that run at this moment.
    #[must_use]
    pub fn workers(&self) -> Vec<(String, i32)> {
        self.shared
            .check_owner()
            .map_or_else(|_| Vec::new(), |()| self.shared.lock().workers.clone())
    }

    fn new_job(&self, job: &str, input: &[u8]) -> Outcome<Job> {
        for (part, bytes, limit) in
            [("a name", job.len(), NAME_LIMIT), ("an input", input.len(), MESSAGE_LIMIT)]
        {
            if bytes > limit {
                let job = job.chars().take(NAME_LIMIT).collect();
                return Err(PoolError::TooLarge { job, part, bytes, limit });
            }
        }
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        Ok(Job::new(id, job, input))
    }

    fn submit(&self, chunks: impl IntoIterator<Item = Chunk>) -> Outcome<()> {
        self.shared.check_owner()?;
        let mut state = self.shared.lock();
        if let Some(error) = &state.failure {
            return Err(error.clone());
        }
        if state.closed {
            return Err(PoolError::Closed { pool: self.shared.name.clone() });
        }
        state.queue.extend(chunks);
        drop(state);
        self.shared.wake();
        Ok(())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.terminate();
        self.join();
    }
}

fn to_json(job: &str, input: &(impl Serialize + ?Sized)) -> Outcome<Vec<u8>> {
    serde_json::to_vec(input).map_err(|error| PoolError::Form {
        job: job.to_owned(),
        text: format!("the input is no JSON: {error}"),
    })
}

fn from_json<T: DeserializeOwned>(job: &str, output: &[u8]) -> Outcome<T> {
    serde_json::from_slice(output).map_err(|error| PoolError::Form {
        job: job.to_owned(),
        text: format!("the output does not fit: {error}"),
    })
}
