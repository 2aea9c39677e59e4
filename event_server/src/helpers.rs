//! Threads for file work that would stop the loop, and the bell by which they call it.

use crate::poller::Token;
use crossbeam::channel::{Sender, unbounded};
use file_service::{Job, Outcome};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;

/// How many there are. More long jobs than this make the next one wait.
const HELPERS: usize = 8;

/// A job, and the way back to the worker that waits for it.
pub(crate) struct Errand {
    pub(crate) job: Job,
    pub(crate) client: Token,
    pub(crate) back: Sender<(Token, Option<Outcome>)>,
    pub(crate) bell: Bell,
}

/// Starts the helpers; they end when nobody can send them an errand any more.
pub(crate) fn start() -> io::Result<Sender<Errand>> {
    let (sender, errands) = unbounded::<Errand>();
    for _ in 0..HELPERS {
        let errands = errands.clone();
        thread::Builder::new().name("helper".into()).spawn(move || {
            for Errand { job, client, back, bell } in errands {
                // No outcome, if the job panics: its client leaves. A worker that has ended wants none.
                let _ = back.send((client, job.attempt()));
                bell.ring();
            }
        })?;
    }
    Ok(sender)
}

/// Wakes a worker wherever it waits: an eventfd, readable once it has been rung.
#[derive(Clone)]
pub(crate) struct Bell(Arc<OwnedFd>);

impl Bell {
    pub(crate) fn new() -> io::Result<Bell> {
        Ok(Bell(Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)))
    }

    pub(crate) fn ring(&self) {
        // Fails after 2^64 rings that nobody heard.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes it quiet again. What it was rung for must be looked for after this.
    pub(crate) fn hush(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
