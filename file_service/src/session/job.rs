//! File work that may take long: a session hands it out as a [`Job`] and takes the [`Outcome`] back.

use super::{Phase, Session};
use crate::http;
use crate::protocol::{Code, RelPath, encode_name};
use crate::service::Service;
use crate::store::{self, Entry, Failure, Kind, Landing, Upload};
use rustix::event::{Timespec, poll};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The first pause of an upload that waits for a lock; each further one is twice as long.
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
    List {
        path: RelPath,
        directory: OwnedFd,
        format: ListFormat,
    },
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

#[derive(Debug)]
pub(super) enum ListFormat {
    Lines,
    Page { view: http::View, host: Option<Box<[u8]>> },
    Json,
}

/// The result of a [`Job`]; [`Session::resume`] takes it.
#[derive(Debug)]
pub struct Outcome(Result<Output, Failure>);

#[derive(Debug)]
enum Output {
    Text(Vec<u8>),
    Document(Vec<u8>),
    Landing { landing: Landing, wait: Option<LockWait> },
    Dropped { next: Box<Phase>, left: Duration },
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
            FileWork::List { .. } => "job list",
            FileWork::Land { .. } => "job land",
            FileWork::Drop { .. } => "job drop",
        };
        let outcome = Outcome(match self.work {
            FileWork::Hash(file) => store::hash(&file).map(Output::Text),
            FileWork::Land { upload, wait } => {
                land(upload, wait).map(|landing| Output::Landing { landing, wait })
            }
            FileWork::Drop { upload, next, left } => {
                drop(upload);
                Ok(Output::Dropped { next, left })
            }
            FileWork::List { path, directory, format } => {
                self.service.store().list(&path, directory).map(|entries| match format {
                    ListFormat::Lines => Output::Text(listing(&entries)),
                    ListFormat::Page { view, host } => {
                        let server = server_info(&self.service, host.as_deref());
                        Output::Document(http::page(&path, entries, view, server))
                    }
                    ListFormat::Json => Output::Document(http::json(&entries)),
                })
            }
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
            Ok(Output::Document(document)) => self.reply_document(document),
            Ok(Output::Landing { landing, wait }) => self.end_landing(landing, wait),
            Ok(Output::Dropped { next, left }) => {
                self.phase = *next;
                self.deadline = Instant::now() + left;
            }
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

/// What the page of a directory shows of its server.
fn server_info<'a>(service: &'a Service, host: Option<&'a [u8]>) -> http::ServerInfo<'a> {
    let settings = service.settings();
    http::ServerInfo {
        model: settings.model.as_ref().map(|model| (model.name, model.unit)),
        upload_limit: service.store().is_writable().then_some(settings.max_file_size),
        host,
    }
}

/// Returns a listing in the file protocol: one line for each entry.
pub(crate) fn listing(entries: &[Entry]) -> Vec<u8> {
    let mut text = Vec::with_capacity(entries.len() * 48);
    for Entry { kind, size, mtime, name } in entries {
        let kind = match kind {
            Kind::File => 'f',
            Kind::Directory => 'd',
        };
        // Writing to a Vec cannot fail.
        let _ = write!(text, "{kind} {size} {mtime} ");
        encode_name(name, &mut text);
        text.push(b'\n');
    }
    text
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
