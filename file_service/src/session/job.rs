//! File work that may take long: a session hands it out as a [`Job`] and takes the [`Outcome`] back.
//!
//! A job is one share of the work: [`HASH_SHARE`] bytes of a hash, a whole listing, one attempt to land an upload. After
//! it the session yields and hands out the next, so that in every model a long hash takes turns with the work of
//! other clients. Between two shares the session looks whether its client is still there.

use super::listing::{ListOutcome, ListWork};
use super::{Phase, Session, Step};
use crate::protocol::Code;
use crate::service::Service;
use crate::store::{Failure, HASH_CHUNK, Hashing, Landing, Upload};
use crate::transport::{Interest, Peer};
use rustix::event::{Timespec, poll};
use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many bytes of a file one job hashes: a few milliseconds, next to which a switch to another client costs nothing.
const HASH_SHARE: u64 = 4 << 20;

/// The first pause of an upload that waits for a lock; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The longest pause. A thread that runs jobs can do nothing else meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// The part of the transfer timeout for which a job that is overdue is waited for.
const GRACE: u32 = 8;

/// A share of file work that may take long. It holds nothing of the connection, so it may run on any thread.
#[derive(Debug)]
pub struct Job {
    service: Service,
    work: FileWork,
    clock: JobClock,
    is_background: bool,
}

/// When a job has last made progress, shared between the job and its session.
#[derive(Clone, Debug)]
struct JobClock(Arc<Progress>);

#[derive(Debug)]
struct Progress {
    created: Instant,
    /// Microseconds after `created`; 0 while the job waits for a thread.
    last: AtomicU64,
    given_up: AtomicBool,
}

impl JobClock {
    fn new() -> JobClock {
        let (last, given_up) = (AtomicU64::new(0), AtomicBool::new(false));
        JobClock(Arc::new(Progress { created: Instant::now(), last, given_up }))
    }

    /// Notes that the job begins, or goes on.
    fn record_progress(&self) {
        let micros = self.0.created.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        self.0.last.store(micros.max(1), Ordering::Relaxed);
    }

    /// When the job counts as stalled, unless it makes progress before. While it waits for a thread: the next time
    /// to look.
    fn deadline(&self, timeout: Duration) -> Instant {
        match self.0.last.load(Ordering::Relaxed) {
            0 => Instant::now() + timeout,
            micros => self.0.created + Duration::from_micros(micros) + timeout,
        }
    }

    /// Notes that the job goes on. Fails if its session has given it up.
    fn go_on(&self) -> Result<(), Failure> {
        self.record_progress();
        if self.0.given_up.load(Ordering::Relaxed) { Err(Code::Timeout.into()) } else { Ok(()) }
    }

    /// Ends the job when it goes on, if it ever does.
    fn give_up(&self, timeout: Duration) -> Failure {
        self.0.given_up.store(true, Ordering::Relaxed);
        let detail = format!("no progress with a file for the transfer timeout ({timeout:?})");
        Failure { code: Code::Timeout, detail: Some(io::Error::other(detail)) }
    }
}

/// How long a session waits for its job.
///
/// After a pause of the whole process a job that was at work is overdue, too, and its thread may not have run again yet.
/// So a job that is overdue has a little more time, from the first look that finds it so.
#[derive(Debug)]
pub(super) struct JobWait {
    clock: JobClock,
    /// When the job is given up, once it is overdue.
    end: Option<Instant>,
}

impl JobWait {
    /// When to look at the job next.
    pub(super) fn deadline(&self, timeout: Duration) -> Instant {
        self.end.unwrap_or_else(|| self.clock.deadline(timeout))
    }

    /// Looks whether the job goes on; gives it up if it does not, which is the failure.
    fn look(&mut self, timeout: Duration) -> Result<(), Failure> {
        let now = Instant::now();
        if now < self.clock.deadline(timeout) {
            self.end = None;
            return Ok(());
        }
        let end = *self.end.get_or_insert(now + timeout / GRACE);
        if now <= end { Ok(()) } else { Err(self.clock.give_up(timeout)) }
    }
}

#[derive(Debug)]
pub(super) enum FileWork {
    Hash(Box<Hashing>),
    List(Box<ListWork>),
    /// `wait` is set when a lock was held by another landing before.
    Land {
        upload: Box<Upload>,
        wait: Option<LockWait>,
    },
    /// An upload that does not land is dropped. The session then goes on to `next`, for which so much time is left.
    Drop {
        upload: Box<Upload>,
        next: Box<Phase>,
        left: Duration,
    },
}

/// How long an upload has waited for a lock. A lock cannot be waited for with a timeout, so it is tried again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct LockWait {
    pause: Duration,
    /// When the pause is over. It passes also while the job waits for a thread, so many waiting uploads do not add
    /// their pauses up.
    next_try: Instant,
    deadline: Instant,
}

impl LockWait {
    pub(super) fn begin(timeout: Duration) -> LockWait {
        let now = Instant::now();
        LockWait { pause: FIRST_PAUSE, next_try: now + FIRST_PAUSE, deadline: now + timeout }
    }

    pub(super) fn next(self) -> LockWait {
        let pause = (self.pause * 2).min(LONGEST_PAUSE);
        LockWait { pause, next_try: Instant::now() + pause, ..self }
    }

    /// Waits for the rest of the pause, but not beyond the deadline.
    fn pause(self) {
        let left = self.next_try.min(self.deadline).saturating_duration_since(Instant::now());
        if !left.is_zero() {
            // An interrupted pause is a shorter one.
            let _ = poll(&mut [], Timespec::try_from(left).ok().as_ref());
        }
    }

    fn is_over(self) -> bool {
        Instant::now() >= self.deadline
    }
}

/// The result of a [`Job`]; [`Session::resume`] takes it.
#[derive(Debug)]
pub struct Outcome(Result<Output, Failure>);

#[derive(Debug)]
enum Output {
    Text(Vec<u8>),
    Listing(ListOutcome),
    Landing { landing: Landing, wait: Option<LockWait> },
    Dropped { next: Box<Phase>, left: Duration },
    Unfinished(FileWork),
}

impl Job {
    fn new(service: &Service, work: FileWork) -> Job {
        Job { service: service.clone(), work, clock: JobClock::new(), is_background: false }
    }

    /// Whether this is a hash, which may take much longer than the other jobs. These must not wait behind hashes.
    pub fn is_hash(&self) -> bool {
        matches!(self.work, FileWork::Hash(_))
    }

    /// Whether the client has ended its side. It may have left, or may still read the reply, which the server owes it.
    /// Such jobs should come behind those of clients that can still send.
    pub fn is_background(&self) -> bool {
        self.is_background
    }

    /// Runs the job as [`run`](Job::run) does, and catches a panic: then there is no outcome, and the session must be
    /// dropped. For a thread that runs jobs of many clients: the panic costs only the client whose job it was.
    pub fn attempt(self) -> Option<Outcome> {
        catch_unwind(AssertUnwindSafe(|| self.run())).ok()
    }

    /// Runs the job, and blocks until it is done.
    pub fn run(self) -> Outcome {
        let start = self.service.moment();
        self.clock.record_progress();
        let name = match self.work {
            FileWork::Hash(_) => "job hash",
            FileWork::List(_) => "job list",
            FileWork::Land { .. } => "job land",
            FileWork::Drop { .. } => "job drop",
        };
        let proceed = || self.clock.go_on();
        let outcome = Outcome(match self.work {
            FileWork::Hash(hashing) => hash(hashing, proceed),
            FileWork::Land { upload, wait } => {
                land(upload, wait, proceed).map(|landing| Output::Landing { landing, wait })
            }
            FileWork::Drop { upload, next, left } => {
                drop(upload);
                Ok(Output::Dropped { next, left })
            }
            FileWork::List(work) => work.run(&self.service, proceed).map(Output::Listing),
        });
        if let Some(trace) = self.service.trace() {
            trace.job(name, start);
        }
        outcome
    }
}

impl Session {
    /// Has the next [`Step`] hand out `work`.
    pub(super) fn offload(&mut self, work: FileWork) {
        self.hand_out(Job::new(&self.service, work));
    }

    /// Has the next [`Step`] hand out the work for a listing.
    pub(super) fn offload_listing(&mut self, work: Box<ListWork>) {
        self.offload(FileWork::List(work));
    }

    /// Hands out `work` as [`offload`](Session::offload) does, but yields first.
    pub(super) fn offload_later(&mut self, work: FileWork) {
        self.phase = Phase::Retry(Job::new(&self.service, work));
    }

    fn hand_out(&mut self, job: Job) {
        let wait = JobWait { clock: job.clock.clone(), end: None };
        self.phase = Phase::Offloaded { job: Some(job), wait };
    }

    /// Yields before the job that is to be continued, unless its client has left.
    pub(super) fn retry(&mut self, peer: Peer) -> ControlFlow<Step> {
        if let Phase::Retry(mut job) = std::mem::replace(&mut self.phase, Phase::Closed) {
            // A complete upload is landed even if its client has left.
            if job.is_hash() && peer == Peer::Gone {
                tracing::debug!(peer = %self.peer, "the client has left before its hash");
                return Continue(());
            }
            job.is_background = job.is_hash() && peer == Peer::HalfClosed;
            self.hand_out(job);
        }
        Break(Step::Yield)
    }

    /// Waits for the job that is out, unless it has made no progress for the transfer timeout.
    pub(super) fn wait_for_job(&mut self) -> ControlFlow<Step> {
        if let Phase::Offloaded { wait, .. } = &mut self.phase
            && let Err(failure) = wait.look(self.service.settings().transfer_timeout)
        {
            self.fail(failure);
            return Continue(());
        }
        Break(Step::Wait(Interest::Job))
    }

    /// Takes back the outcome of a [`Job`]: begins the reply, or has the next job handed out after others have had their
    /// turn. An outcome that comes after the session has given up the job changes nothing.
    pub fn resume(&mut self, outcome: Outcome) {
        if !matches!(self.phase, Phase::Offloaded { .. }) {
            return;
        }
        match outcome.0 {
            Ok(Output::Text(text)) => self.reply_text(&text),
            Ok(Output::Listing(ListOutcome::Ready(document))) => self.reply_listing(document),
            Ok(Output::Listing(ListOutcome::Queued(work))) => self.queue_listing(work),
            Ok(Output::Landing { landing, wait }) => self.end_landing(landing, wait),
            Ok(Output::Dropped { next, left }) => {
                self.phase = *next;
                self.deadline = Instant::now() + left;
            }
            Ok(Output::Unfinished(work)) => self.offload_later(work),
            Err(failure) => self.fail(failure),
        }
    }
}

/// Hashes the next share of a file.
fn hash(
    mut hashing: Box<Hashing>,
    proceed: impl Fn() -> Result<(), Failure>,
) -> Result<Output, Failure> {
    let mut chunk = vec![0; HASH_CHUNK];
    let end = hashing.offset() + HASH_SHARE;
    while hashing.offset() < end {
        let text = hashing.step(&mut chunk)?;
        proceed()?;
        if let Some(text) = text {
            return Ok(Output::Text(text));
        }
    }
    Ok(Output::Unfinished(FileWork::Hash(hashing)))
}

/// Lands an upload, after the pause of its wait. The pauses are short, and each try is a job of its own: so many uploads
/// that wait take turns with other jobs.
fn land(
    upload: Box<Upload>,
    wait: Option<LockWait>,
    proceed: impl Fn() -> Result<(), Failure>,
) -> Result<Landing, Failure> {
    if let Some(wait) = wait {
        wait.pause();
    }
    match upload.land_if(proceed)? {
        Landing::Locked(_) if wait.is_some_and(LockWait::is_over) => Err(Failure {
            code: Code::Timeout,
            detail: Some(io::Error::new(
                io::ErrorKind::TimedOut,
                "another process has kept the directory of an upload locked for the whole transfer timeout",
            )),
        }),
        landing => Ok(landing),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ScriptedTransport;
    use super::*;

    #[test]
    fn pause_passes_in_a_queue() {
        let mut wait = LockWait::begin(Duration::from_secs(60));
        for _ in 0..10 {
            wait = wait.next();
        }
        assert_eq!(wait.pause, LONGEST_PAUSE);
        wait.pause();
        let start = Instant::now();
        for _ in 0..100 {
            wait.pause();
        }
        assert!(start.elapsed() < LONGEST_PAUSE, "{:?}", start.elapsed());
    }

    /// A hash that a session has handed out, whose transfer timeout is `timeout`.
    fn hash_handed_out(root: &std::path::Path, timeout: Duration) -> (Session, Job) {
        std::fs::File::create(root.join("f")).unwrap().set_len(3 * HASH_SHARE).unwrap();
        let store = crate::Store::open(root, true, false).unwrap();
        let settings = crate::Settings { transfer_timeout: timeout, ..crate::Settings::default() };
        let service = Service::new(store, settings);
        let peer = ([127, 0, 0, 1], 1).into();
        let mut session = Session::new(&service, peer, Arc::default());
        let mut transport = ScriptedTransport { request: b"HASH f\n" };
        let Step::Offload(job) = session.advance(&mut transport) else { panic!("no job") };
        (session, job)
    }

    fn advance(session: &mut Session) -> Step {
        session.advance(&mut ScriptedTransport { request: b"" })
    }

    #[test]
    fn job_that_waits_for_thread_is_not_stalled() {
        let root = tempfile::tempdir().unwrap();
        let (mut session, _job) = hash_handed_out(root.path(), Duration::from_nanos(1));
        for _ in 0..3 {
            assert!(matches!(advance(&mut session), Step::Wait(Interest::Job)));
        }
        assert!(session.requests() == 1 && session.deadline() > Instant::now() - LONGEST_PAUSE);
    }

    #[test]
    fn stalled_job_ends_in_timeout() {
        let root = tempfile::tempdir().unwrap();
        let (mut session, job) = hash_handed_out(root.path(), Duration::from_nanos(1));
        job.clock.record_progress();
        // The clock of a job counts in microseconds: a look that comes sooner would find it in time.
        while session.deadline() >= Instant::now() {}
        assert!(matches!(advance(&mut session), Step::Wait(Interest::Job)), "a first look");
        while session.deadline() >= Instant::now() {}
        assert!(matches!(advance(&mut session), Step::Closed));
        // The outcome of the job comes too late.
        let outcome = job.run();
        assert!(matches!(&outcome.0, Err(failure) if failure.code == Code::Timeout));
        session.resume(outcome);
        assert!(matches!(advance(&mut session), Step::Closed));
    }

    #[test]
    fn job_that_goes_on_after_pause_is_not_stalled() {
        let root = tempfile::tempdir().unwrap();
        let timeout = Duration::from_millis(500);
        let (mut session, job) = hash_handed_out(root.path(), timeout);
        job.clock.record_progress();
        // A pause of the process, in which the deadline passes.
        while session.deadline() > Instant::now() {}
        assert!(matches!(advance(&mut session), Step::Wait(Interest::Job)));
        job.clock.go_on().unwrap();
        assert!(matches!(advance(&mut session), Step::Wait(Interest::Job)));
        session.resume(job.run());
        assert!(matches!(advance(&mut session), Step::Yield));
    }

    #[test]
    fn each_share_is_job_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let (mut session, mut job) = hash_handed_out(root.path(), Duration::from_secs(60));
        let mut shares = 1;
        loop {
            assert!(matches!(advance(&mut session), Step::Wait(Interest::Job)));
            session.resume(job.run());
            match advance(&mut session) {
                Step::Yield => {}
                // It has read again, since more may have arrived while a job was out.
                step => break assert!(matches!(step, Step::Closed), "{step:?}"),
            }
            let Step::Offload(next) = advance(&mut session) else { panic!("no job") };
            (job, shares) = (next, shares + 1);
        }
        assert_eq!(shares, 4); // the last one finds the end
    }
}
