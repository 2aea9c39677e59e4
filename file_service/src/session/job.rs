//! File work that may take long: a session hands it out as a [`Job`] and takes the [`Outcome`] back.

use super::listing::{ListOutcome, ListWork};
use super::{Phase, Session};
use crate::protocol::Code;
use crate::service::Service;
use crate::store::{self, Failure, Landing, Upload};
use rustix::event::{Timespec, poll};
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The first pause of an upload that waits for a lock, or of a listing that waits for room; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(1);

/// The longest pause. A thread that runs jobs can do nothing else meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// File work that may take long. It holds nothing of the connection, so it may run on any thread.
#[derive(Debug)]
pub struct Job {
    service: Service,
    work: FileWork,
}

#[derive(Debug)]
pub(super) enum FileWork {
    Hash(File),
    List(Box<ListWork>),
    /// `wait` is set when a lock was held by another landing before.
    Land {
        upload: Box<Upload>,
        wait: Option<LockWait>,
    },
}

/// How long an upload has waited for a lock, or a listing for room. Neither can be waited for with a timeout, so it is
/// tried again and again.
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
    pub(super) fn pause(self) {
        let left = self.next_try.min(self.deadline).saturating_duration_since(Instant::now());
        if !left.is_zero() {
            // An interrupted pause is a shorter one.
            let _ = poll(&mut [], Timespec::try_from(left).ok().as_ref());
        }
    }

    pub(super) fn is_over(self) -> bool {
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
}

impl Job {
    /// Runs the job as [`run`](Job::run) does, and catches a panic: then there is no outcome, and the session must be
    /// dropped. For a thread that runs jobs of many clients: the panic costs only the client whose job it was.
    pub fn attempt(self) -> Option<Outcome> {
        catch_unwind(AssertUnwindSafe(|| self.run())).ok()
    }

    /// Runs the job, and blocks until it is done.
    pub fn run(self) -> Outcome {
        let start = self.service.moment();
        let name = match self.work {
            FileWork::Hash(_) => "job hash",
            FileWork::List(_) => "job list",
            FileWork::Land { .. } => "job land",
        };
        let outcome = Outcome(match self.work {
            FileWork::Hash(file) => store::hash(&file).map(Output::Text),
            FileWork::Land { upload, wait } => {
                land(upload, wait).map(|landing| Output::Landing { landing, wait })
            }
            FileWork::List(work) => work.run(&self.service).map(Output::Listing),
        });
        if let Some(trace) = self.service.trace() {
            trace.job(name, start);
        }
        outcome
    }
}

impl Session {
    /// Has the next [`Step`](super::Step) hand out `work`.
    pub(super) fn offload(&mut self, work: FileWork) {
        self.phase = Phase::Offloaded(Some(Job { service: self.service.clone(), work }));
    }

    /// Hands out `work` as [`offload`](Session::offload) does, but yields first.
    pub(super) fn offload_later(&mut self, work: FileWork) {
        self.phase = Phase::Retry(Job { service: self.service.clone(), work });
    }

    /// Has the next [`Step`](super::Step) hand out the job that is to be tried again.
    pub(super) fn retry(&mut self) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Closed) {
            Phase::Retry(job) => Phase::Offloaded(Some(job)),
            other => other,
        };
    }

    /// Takes back the outcome of a [`Job`] and begins the reply.
    pub fn resume(&mut self, outcome: Outcome) {
        match outcome.0 {
            Ok(Output::Text(text)) => self.reply_text(&text),
            Ok(Output::Listing(ListOutcome::Ready(document))) => self.reply_listing(document),
            Ok(Output::Listing(ListOutcome::Wait(work))) => {
                self.offload_later(FileWork::List(Box::new(work)));
            }
            Ok(Output::Landing { landing, wait }) => self.end_landing(landing, wait),
            Err(failure) => self.fail(failure),
        }
    }
}

/// Lands an upload, after the pause of its wait. The pauses are short, and each try is a job of its own: so many uploads
/// that wait take turns with other jobs.
fn land(upload: Box<Upload>, wait: Option<LockWait>) -> Result<Landing, Failure> {
    if let Some(wait) = wait {
        wait.pause();
    }
    match upload.land()? {
        Landing::Locked(_) if wait.is_some_and(LockWait::is_over) => Err(Failure {
            code: Code::Internal,
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
}
