//! Threads for file work that may take long. What it has come to is a completion, too: of a read from an
//! eventfd.

use crossbeam::channel::{Receiver, Sender, unbounded};
use file_service::{Job, Outcome};
use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::thread;

/// How many there are. More long hashes than this make the next one wait.
const HELPERS: usize = 8;

/// The way to the helpers; a clone leads to the same.
#[derive(Clone)]
pub(crate) struct Helpers(Sender<Errand>);

/// A job, and where to bring what it has come to.
struct Errand {
    job: Job,
    client: u64,
    home: Sender<(u64, Option<Outcome>)>,
    bell: Arc<OwnedFd>,
}

impl Helpers {
    /// Starts the threads.
    pub(crate) fn start() -> io::Result<Helpers> {
        let (sender, receiver) = unbounded::<Errand>();
        for _ in 0..HELPERS {
            let receiver = receiver.clone();
            thread::Builder::new().name("helper".into()).spawn(move || {
                for Errand { job, client, home, bell } in receiver {
                    // The server may have ended meanwhile; then nobody wants the outcome.
                    let _ = home.send((client, job.attempt()));
                    let _ = rustix::io::write(&*bell, &1u64.to_ne_bytes());
                }
            })?;
        }
        Ok(Helpers(sender))
    }
}

/// What the helpers bring back to one ring.
pub(crate) struct Returns {
    sender: Sender<(u64, Option<Outcome>)>,
    receiver: Receiver<(u64, Option<Outcome>)>,
    bell: Arc<OwnedFd>,
    /// Where a read of the bell goes.
    pub(crate) number: Box<u64>,
}

impl Returns {
    pub(crate) fn new() -> io::Result<Returns> {
        let (sender, receiver) = unbounded();
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        Ok(Returns { sender, receiver, bell, number: Box::default() })
    }

    /// Has a helper do the job of `client`.
    pub(crate) fn send(&self, helpers: &Helpers, client: u64, job: Job) {
        let (home, bell) = (self.sender.clone(), Arc::clone(&self.bell));
        // The helpers live as long as the process.
        let _ = helpers.0.send(Errand { job, client, home, bell });
    }

    /// What has come back; without an outcome the job panicked.
    pub(crate) fn next(&self) -> Option<(u64, Option<Outcome>)> {
        self.receiver.try_recv().ok()
    }

    pub(crate) fn bell(&self) -> RawFd {
        self.bell.as_raw_fd()
    }
}
