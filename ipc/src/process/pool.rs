//! A pool of worker processes: the side that hands out jobs.

use std::collections::VecDeque;
use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::SigSet;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::worker::{MESSAGE_LIMIT, NAME_LIMIT, Reply, VERSION, job_frame, parse_reply, split};
use super::{Exit, Process};
use crate::error::{Error, Result};

/// How often in a row a worker may end without having taken a job, before its place stays empty.
const ATTEMPTS: u32 = 5;

/// The pause before the second such replacement; it doubles. The first comes at once.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// How long a worker may take to end once it has no more jobs.
const GRACE: Duration = Duration::from_secs(5);

/// The most jobs that [`Pool::map`] sends to one worker at a time.
const LARGEST_CHUNK: usize = 64;

/// The most workers of a pool.
const MOST_WORKERS: usize = 1024;

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// The worker died with the job in hand, or just before it began it. The job is not tried again, since
    /// it may have done half of its work, and may be the reason. The worker is replaced.
    #[error("job {job}: worker {worker} ({pid}) died in it: {exit}")]
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
    #[error("job {job}: failed in worker {worker} ({pid}): {text}")]
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
    /// The workers know of no such job.
    #[error("job {job}: unknown to worker {worker} ({pid})")]
    Unknown {
        /// The name of the job.
        job: String,
        /// The name of the worker.
        worker: String,
        /// The pid of the worker.
        pid: i32,
    },
    /// The name or the input is larger than a frame allows. Nothing was sent.
    #[error("job {job}: {what} of {bytes} bytes, at most {limit} are allowed")]
    TooLarge {
        /// The name of the job.
        job: String,
        /// What is too large.
        what: &'static str,
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
    /// What the worker sent is no answer. It was killed and is replaced.
    #[error("job {job}: worker {worker} ({pid}) sent {text}")]
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
    /// No worker is left: each ended again and again before it took a job, so that the pool gave up
    /// replacing them.
    #[error("pool {pool}: no worker stays alive; the last one, {worker}: {reason}")]
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
    /// The time that the caller was ready to wait has passed; what was waited for goes on.
    #[error("{what}: not done within {waited:?}")]
    TimedOut {
        /// What was waited for.
        what: String,
        /// The time that the caller allowed.
        waited: Duration,
    },
}

type Outcome<T> = std::result::Result<T, PoolError>;

/// How a pool is to be: made by [`Pool::entry`] and [`Pool::command`].
#[derive(Clone, Debug)]
#[must_use = "no worker runs before start()"]
pub struct PoolOptions {
    what: What,
    arguments: Vec<String>,
    workers: usize,
    start_timeout: Duration,
}

#[derive(Clone, Debug)]
enum What {
    Entry(String),
    Program(PathBuf),
}

impl PoolOptions {
    fn new(what: What) -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self { what, arguments: Vec::new(), workers, start_timeout: Duration::from_secs(10) }
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

    /// How long a worker may take to say hello; then it is killed, which counts as a start that failed.
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
        let name = match &self.what {
            What::Entry(entry) => entry.clone(),
            What::Program(path) => {
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
        };
        let object = format!("pool {name}");
        if !(1..=MOST_WORKERS).contains(&self.workers) {
            return Err(Error::OutOfRange {
                object,
                what: "number of workers",
                given: self.workers as u64,
                least: 1,
                most: MOST_WORKERS as u64,
            });
        }
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)
            .map_err(|errno| Error::system(&object, "eventfd", errno))?;
        let shared = Arc::new(Shared {
            workers: self.workers,
            next_id: AtomicU64::new(0),
            state: Mutex::new(State::default()),
            finished: Condvar::new(),
            wake,
            name,
        });
        // The workers are started by the thread that watches them: a foreign program dies with the thread
        // that started it, and this one lives as long as the pool.
        let (report, started) = sync_channel(1);
        let floor = Floor { shared: shared.clone(), options: self, seats: Vec::new() };
        std::thread::Builder::new()
            .name("pool".into())
            .spawn(move || floor.run(&report))
            .map_err(|error| Error::Foreign { object, reason: format!("no thread: {error}") })?;
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
/// been sent to it beyond that goes to others. A worker that ends five times in a row without having taken a
/// job is given up (with pauses of 10 to 80 ms in between, so that a broken program does not become a storm
/// of processes); when all are, every job ends with [`PoolError::NoWorkers`].
///
/// When the parent is killed, its workers end too: see [`Launch::daemon`](super::Launch::daemon).
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
        PoolOptions::new(What::Entry(entry.to_owned()))
    }

    /// Prepares a pool whose workers run another program, in any language: it speaks the
    /// [frames](super::worker) over its standard input.
    pub fn command(program: impl Into<PathBuf>) -> PoolOptions {
        PoolOptions::new(What::Program(program.into()))
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
    /// [`PoolError::TooLarge`], [`PoolError::Form`], [`PoolError::Closed`], [`PoolError::NoWorkers`]: the
    /// job was not accepted.
    pub fn apply_async<In, Out>(&self, job: &str, input: &In) -> Outcome<Handle<Out>>
    where
        In: Serialize + ?Sized,
        Out: DeserializeOwned,
    {
        let item = self.item(job, &to_json(job, input)?)?;
        let handle = Handle::new(&item, job, from_json);
        self.submit([Chunk::from([item])])?;
        Ok(handle)
    }

    /// As [`apply_async`](Self::apply_async), for a job of bytes.
    ///
    /// # Errors
    ///
    /// As [`apply_async`](Self::apply_async).
    pub fn apply_bytes(&self, job: &str, input: &[u8]) -> Outcome<Handle<Vec<u8>>> {
        let item = self.item(job, input)?;
        let handle = Handle::new(&item, job, |_, output| Ok(output.to_vec()));
        self.submit([Chunk::from([item])])?;
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
        let size = (inputs.len() / (self.shared.workers * 4)).clamp(1, LARGEST_CHUNK);
        let mut handles = Vec::with_capacity(inputs.len());
        let mut chunks = Vec::with_capacity(inputs.len() / size + 1);
        for inputs in inputs.chunks(size) {
            let mut chunk = Chunk::with_capacity(inputs.len());
            for input in inputs {
                let item = self.item(job, &to_json(job, input)?)?;
                handles.push(Handle::new(&item, job, from_json));
                chunk.push_back(item);
            }
            chunks.push(chunk);
        }
        self.submit(chunks)?;
        Ok(handles.iter().map(Handle::get).collect())
    }

    /// Takes no more jobs. Those accepted are still done, and then the workers end.
    pub fn close(&self) {
        self.shared.lock().closed = true;
        self.shared.wake();
    }

    /// Kills the workers (SIGKILL) and ends all jobs that are not done with [`PoolError::Terminated`].
    ///
    /// Does not wait: [`join`](Self::join) does.
    pub fn terminate(&self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.terminated = true;
        drop(state);
        self.shared.wake();
    }

    /// Closes the pool and waits until all jobs have ended and no worker is left.
    ///
    /// A worker that does not end within 5 seconds after its last job is killed.
    pub fn join(&self) {
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
    /// [`PoolError::TimedOut`]; the pool is closed nevertheless.
    pub fn join_timeout(&self, timeout: Duration) -> Outcome<()> {
        self.close();
        let (_state, waited) = self
            .shared
            .finished
            .wait_timeout_while(self.shared.lock(), timeout, |state| !state.finished)
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            let what = format!("pool {}", self.shared.name);
            return Err(PoolError::TimedOut { what, waited: timeout });
        }
        Ok(())
    }

    /// The names and pids of the workers that run at this moment.
    #[must_use]
    pub fn workers(&self) -> Vec<(String, i32)> {
        self.shared.lock().workers.clone()
    }

    fn item(&self, job: &str, input: &[u8]) -> Outcome<Item> {
        for (what, bytes, limit) in
            [("a name", job.len(), NAME_LIMIT), ("an input", input.len(), MESSAGE_LIMIT)]
        {
            if bytes > limit {
                let job = job.chars().take(NAME_LIMIT).collect();
                return Err(PoolError::TooLarge { job, what, bytes, limit });
            }
        }
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        Ok(Item {
            id,
            job: job.to_owned(),
            frame: job_frame(id, job, input),
            answer: Arc::default(),
        })
    }

    fn submit(&self, chunks: impl IntoIterator<Item = Chunk>) -> Outcome<()> {
        let mut state = self.shared.lock();
        if let Some(error) = &state.broken {
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

/// A job that was handed to a [`Pool`], and its result to come.
///
/// Dropping it loses the result; the job is done nevertheless.
pub struct Handle<T> {
    answer: Arc<Answer>,
    job: String,
    decode: fn(&str, &[u8]) -> Outcome<T>,
    result: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("job", &self.job).field("ready", &self.ready()).finish()
    }
}

impl<T> Handle<T> {
    fn new(item: &Item, job: &str, decode: fn(&str, &[u8]) -> Outcome<T>) -> Self {
        Self { answer: item.answer.clone(), job: job.to_owned(), decode, result: PhantomData }
    }

    /// Whether [`get`](Self::get) would not wait.
    #[must_use]
    pub fn ready(&self) -> bool {
        self.answer.lock().is_some()
    }

    /// Waits for the result. May be called again; it gives the same.
    ///
    /// # Errors
    ///
    /// How the job ended, if not with a result.
    pub fn get(&self) -> Outcome<T> {
        let mut outcome = self.answer.lock();
        loop {
            match &*outcome {
                Some(outcome) => {
                    return (self.decode)(&self.job, outcome.as_ref().map_err(Clone::clone)?);
                }
                None => {
                    let waited = self.answer.arrived.wait(outcome);
                    outcome = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// As [`get`](Self::get), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`PoolError::TimedOut`]: the job goes on, and the handle stays good. Otherwise as [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Outcome<T> {
        let (outcome, waited) = self
            .answer
            .arrived
            .wait_timeout_while(self.answer.lock(), timeout, |outcome| outcome.is_none())
            .unwrap_or_else(PoisonError::into_inner);
        drop(outcome);
        if waited.timed_out() {
            return Err(PoolError::TimedOut { what: format!("job {}", self.job), waited: timeout });
        }
        self.get()
    }
}

/// Where a job's outcome is put for its handle.
#[derive(Debug, Default)]
struct Answer {
    outcome: Mutex<Option<Outcome<Vec<u8>>>>,
    arrived: Condvar,
}

impl Answer {
    fn lock(&self) -> MutexGuard<'_, Option<Outcome<Vec<u8>>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job on its way. However it is dropped, its handle gets an answer.
#[derive(Debug)]
struct Item {
    id: u64,
    job: String,
    frame: Vec<u8>,
    answer: Arc<Answer>,
}

impl Item {
    /// The first answer counts.
    fn answer(&self, outcome: Outcome<Vec<u8>>) {
        self.answer.lock().get_or_insert(outcome);
        self.answer.arrived.notify_all();
    }
}

impl Drop for Item {
    fn drop(&mut self) {
        let job = std::mem::take(&mut self.job);
        self.answer(Err(PoolError::Terminated { job }));
    }
}

/// Jobs that go to one worker together.
type Chunk = VecDeque<Item>;

/// What the pool's owners and its thread share.
#[derive(Debug)]
struct Shared {
    name: String,
    workers: usize,
    next_id: AtomicU64,
    state: Mutex<State>,
    finished: Condvar,
    /// Tells the thread that the state has changed.
    wake: EventFd,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Chunk>,
    closed: bool,
    terminated: bool,
    finished: bool,
    broken: Option<PoolError>,
    workers: Vec<(String, i32)>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // Fails only when the counter is full, and then the thread is awake.
        let _ = self.wake.write(1);
    }
}

/// The thread of a pool, and all that only it touches.
struct Floor {
    shared: Arc<Shared>,
    options: PoolOptions,
    seats: Vec<Seat>,
}

/// A worker's place.
struct Seat {
    name: String,
    at: At,
    /// Workers that ended here in a row without having taken a job.
    failures: u32,
}

enum At {
    Worker(Box<Hand>),
    /// To be filled again at this moment.
    Empty(Instant),
    /// Given up, or no longer needed.
    Gone,
}

/// A worker process.
struct Hand {
    process: Process,
    channel: UnixStream,
    /// Neither hello nor end by then: it is killed.
    until: Option<Instant>,
    ready: bool,
    /// The stream from it has ended, or it has said something strange: it has no more to say.
    mute: Option<String>,
    jobs: VecDeque<Item>,
    /// How many of `jobs` have been sent whole, and how much of the next.
    sent: usize,
    offset: usize,
    incoming: Vec<u8>,
    /// Its side of the channel was told that there will be no more jobs.
    leaving: bool,
}

impl Floor {
    fn run(mut self, report: &SyncSender<Result<()>>) {
        // Signals are for the threads of the program.
        let _ = SigSet::all().thread_block();
        for number in 1..=self.options.workers {
            let name = format!("{}/{number}", self.shared.name);
            match self.hire(&name) {
                Ok(hand) => self.seats.push(Seat { name, at: At::Worker(hand), failures: 0 }),
                Err(error) => {
                    // Before the report, so that none is left when the caller hears of it.
                    self.seats.clear();
                    let _ = report.send(Err(error));
                    return;
                }
            }
        }
        self.publish();
        let _ = report.send(Ok(()));
        while self.turn() {}
    }

    fn hire(&self, name: &str) -> Result<Box<Hand>> {
        let refused = |call| {
            move |error: std::io::Error| {
                let errno = Errno::from_raw(error.raw_os_error().unwrap_or_default());
                Error::system(format!("worker {name}"), call, errno)
            }
        };
        let (channel, theirs) = UnixStream::pair().map_err(refused("socketpair"))?;
        channel.set_nonblocking(true).map_err(refused("fcntl"))?;
        let launch = match &self.options.what {
            What::Entry(entry) => Process::new(entry.as_str()),
            What::Program(path) => Process::command(path),
        };
        let process = launch
            .args(self.options.arguments.iter().map(String::as_str))
            .name(name)
            .stdin(OwnedFd::from(theirs))
            .daemon(true)
            .start()?;
        Ok(Box::new(Hand {
            process,
            channel,
            until: Instant::now().checked_add(self.options.start_timeout),
            ready: false,
            mute: None,
            jobs: VecDeque::new(),
            sent: 0,
            offset: 0,
            incoming: Vec::new(),
            leaving: false,
        }))
    }

    /// One round: hand out, wait, look who did what. Gives whether there will be another.
    fn turn(&mut self) -> bool {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        if state.terminated {
            return false;
        }
        for seat in &mut self.seats {
            let At::Worker(hand) = &mut seat.at else { continue };
            if hand.ready && hand.jobs.is_empty() && hand.mute.is_none() && !hand.leaving {
                let Some(chunk) = state.queue.pop_front() else { break };
                hand.jobs = chunk;
            }
        }
        // While a worker has jobs, they may come back to the queue and need another worker.
        let busy = |seat: &Seat| matches!(&seat.at, At::Worker(hand) if !hand.jobs.is_empty());
        let over = state.closed && state.queue.is_empty() && !self.seats.iter().any(busy);
        drop(state);
        for number in 0..self.seats.len() {
            self.tend(number, over);
        }
        if self.seats.iter().all(|seat| matches!(seat.at, At::Gone)) {
            return false;
        }
        self.wait();
        true
    }

    /// Writes, ends or refills what is at one seat, as far as can be done without waiting.
    fn tend(&mut self, number: usize, over: bool) {
        let now = Instant::now();
        let seat = &mut self.seats[number];
        match &mut seat.at {
            At::Worker(hand) => {
                hand.write();
                if over && !hand.leaving {
                    hand.leaving = true;
                    hand.until = now.checked_add(GRACE);
                    let _ = hand.channel.shutdown(Shutdown::Write);
                }
                if hand.until.is_some_and(|until| until <= now) {
                    hand.silence("nothing in time");
                }
            }
            At::Empty(_) if over => seat.at = At::Gone,
            At::Empty(again) if *again <= now => {
                let name = seat.name.clone();
                match self.hire(&name) {
                    Ok(hand) => {
                        self.seats[number].at = At::Worker(hand);
                        self.publish();
                    }
                    Err(error) => self.vacate(number, &error.to_string()),
                }
            }
            At::Empty(_) | At::Gone => {}
        }
    }

    /// Waits until something happens, and deals with it.
    fn wait(&mut self) {
        let mut moments = Vec::new();
        let mut seats = Vec::new();
        let mut polled = vec![PollFd::new(self.shared.wake.as_fd(), PollFlags::POLLIN)];
        for (number, seat) in self.seats.iter().enumerate() {
            match &seat.at {
                At::Worker(hand) => {
                    moments.extend(hand.until);
                    let mut events = PollFlags::empty();
                    if hand.mute.is_none() {
                        events |= PollFlags::POLLIN;
                        if hand.sent < hand.jobs.len() {
                            events |= PollFlags::POLLOUT;
                        }
                    }
                    seats.push((number, hand.mute.is_none()));
                    polled.push(PollFd::new(hand.process.as_fd(), PollFlags::POLLIN));
                    // Left out when mute: the end of a stream is an event for ever.
                    if hand.mute.is_none() {
                        polled.push(PollFd::new(hand.channel.as_fd(), events));
                    }
                }
                At::Empty(again) => moments.push(*again),
                At::Gone => {}
            }
        }
        let timeout = moments.iter().min().map_or(PollTimeout::NONE, |moment| {
            let left = moment.saturating_duration_since(Instant::now()).as_micros().div_ceil(1000);
            PollTimeout::try_from(left.min(i32::MAX as u128)).unwrap_or(PollTimeout::MAX)
        });
        if poll(&mut polled, timeout).is_err() {
            return; // EINTR, or no memory for a moment: the next round asks again
        }
        let mut happened = polled.iter().map(|one| one.any().unwrap_or(true));
        let woken = happened.next().unwrap_or(false);
        let events: Vec<(usize, bool, bool)> = seats
            .iter()
            .map(|&(number, listens)| {
                let ended = happened.next().unwrap_or(false);
                (number, ended, listens && happened.next().unwrap_or(false))
            })
            .collect();
        drop(polled);
        if woken {
            let _ = self.shared.wake.read();
        }
        for (number, ended, spoke) in events {
            let seat = &mut self.seats[number];
            let At::Worker(hand) = &mut seat.at else { continue };
            // What it said before it ended counts.
            if (spoke || ended) && hand.mute.is_none() && hand.read() {
                seat.failures = 0;
            }
            if ended {
                self.bury(number);
            }
        }
    }

    /// Takes leave of a worker that has ended.
    fn bury(&mut self, number: usize) {
        let seat = &mut self.seats[number];
        let At::Worker(mut hand) = std::mem::replace(&mut seat.at, At::Gone) else { return };
        let (worker, pid) = (hand.process.name().to_owned(), hand.process.pid());
        let exit = hand.process.join();
        // It has ended, so this does not wait.
        let reason = match (&hand.mute, &exit) {
            (Some(text), _) if text != END => format!("it sent {text}"),
            (_, Ok(exit)) => exit.to_string(),
            (_, Err(error)) => error.to_string(),
        };
        let begun = hand.sent > 0;
        if begun && let Some(item) = hand.jobs.pop_front() {
            let job = item.job.clone();
            item.answer(Err(match (hand.mute.take(), exit) {
                (Some(text), _) if text != END => PoolError::Protocol { job, worker, pid, text },
                (_, Ok(exit)) => PoolError::Died { job, worker, pid, exit },
                (_, Err(error)) => PoolError::Failed { job, worker, pid, text: error.to_string() },
            }));
            // It lived to take a job.
            seat.failures = 0;
            seat.at = At::Empty(Instant::now());
        }
        if !hand.jobs.is_empty() {
            self.shared.lock().queue.push_front(std::mem::take(&mut hand.jobs));
        }
        if !begun && !hand.leaving {
            self.vacate(number, &reason);
        }
        self.publish();
    }

    /// Decides when, and whether, a seat is filled again whose worker failed without a job.
    fn vacate(&mut self, number: usize, reason: &str) {
        let seat = &mut self.seats[number];
        seat.failures += 1;
        if seat.failures < ATTEMPTS {
            let pause = match seat.failures {
                0 | 1 => Duration::ZERO,
                more => FIRST_PAUSE * 2_u32.pow(more - 2),
            };
            seat.at = At::Empty(Instant::now() + pause);
            return;
        }
        seat.at = At::Gone;
        if self.seats.iter().any(|seat| !matches!(seat.at, At::Gone)) {
            return;
        }
        let error = PoolError::NoWorkers {
            pool: self.shared.name.clone(),
            worker: self.seats[number].name.clone(),
            reason: reason.to_owned(),
        };
        let mut state = self.shared.lock();
        for item in state.queue.drain(..).flatten() {
            item.answer(Err(error.clone()));
        }
        state.broken = Some(error);
    }

    fn publish(&self) {
        let workers = self.seats.iter().filter_map(|seat| match &seat.at {
            At::Worker(hand) => Some((hand.process.name().to_owned(), hand.process.pid())),
            _ => None,
        });
        self.shared.lock().workers = workers.collect();
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // All are told before the first is waited for.
        for seat in &self.seats {
            if let At::Worker(hand) = &seat.at {
                let _ = hand.process.kill();
            }
        }
        self.seats.clear();
        let mut state = self.shared.lock();
        state.closed = true;
        state.finished = true;
        state.workers.clear();
        // Answers what is left.
        let left = std::mem::take(&mut state.queue);
        drop(state);
        drop(left);
        self.shared.finished.notify_all();
    }
}

/// What a worker's stream "says" at its end.
const END: &str = "the end of its stream";

impl Hand {
    /// Sends as much of its jobs as the socket takes.
    fn write(&mut self) {
        while self.mute.is_none()
            && let Some(item) = self.jobs.get(self.sent)
        {
            match self.channel.write(&item.frame[self.offset..]) {
                Ok(n) if self.offset + n == item.frame.len() => {
                    self.sent += 1;
                    self.offset = 0;
                }
                Ok(n) => self.offset += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It has closed its side. What it said before is read, and its end reported, by `read`.
                Err(_) => return,
            }
        }
    }

    /// Reads what it has sent; gives whether a job was answered.
    fn read(&mut self) -> bool {
        let mut answered = false;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match self.channel.read(&mut buffer) {
                Ok(0) => {
                    self.silence(END);
                    return answered;
                }
                Ok(n) => {
                    self.incoming.extend_from_slice(&buffer[..n]);
                    match self.take() {
                        Ok(some) => answered |= some,
                        Err(text) => {
                            self.silence(&text);
                            return answered;
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return answered,
                // A reset: it ended with jobs unread.
                Err(_) => {
                    self.silence(END);
                    return answered;
                }
            }
        }
    }

    /// Takes the whole frames off what has come; gives whether a job was answered.
    fn take(&mut self) -> std::result::Result<bool, String> {
        let incoming = std::mem::take(&mut self.incoming);
        let mut rest = &incoming[..];
        let mut answered = false;
        while let Some((frame, taken)) = split(rest)? {
            rest = &rest[taken..];
            let reply = parse_reply(frame)?;
            let (id, outcome) = match reply {
                Reply::Hello(VERSION) if !self.ready => {
                    self.ready = true;
                    if !self.leaving {
                        self.until = None;
                    }
                    continue;
                }
                Reply::Hello(version) => {
                    return Err(format!("a second hello, or one of version {version}"));
                }
                Reply::Done(id, output) => (id, Ok(output.to_vec())),
                Reply::Error(id, text) => {
                    (id, Err(Some(String::from_utf8_lossy(text).into_owned())))
                }
                Reply::Unknown(id) => (id, Err(None)),
            };
            if self.sent == 0 || self.jobs.front().is_none_or(|item| item.id != id) {
                return Err(format!("an answer to job number {id}, which is not its turn"));
            }
            let Some(item) = self.jobs.pop_front() else { continue };
            self.sent -= 1;
            answered = true;
            let job = item.job.clone();
            let (worker, pid) = (self.process.name().to_owned(), self.process.pid());
            item.answer(outcome.map_err(|text| match text {
                Some(text) => PoolError::Failed { job, worker, pid, text },
                None => PoolError::Unknown { job, worker, pid },
            }));
        }
        self.incoming = rest.to_vec();
        Ok(answered)
    }

    /// Listens to it no more, and sees that it ends. Its death is noticed like any other.
    fn silence(&mut self, why: &str) {
        self.mute.get_or_insert_with(|| why.to_owned());
        if why == END {
            // It may be about to end by itself, and its exit code is of interest.
            self.until = Instant::now().checked_add(GRACE);
        } else {
            self.until = None;
            let _ = self.process.kill();
        }
    }
}
