//! The starter's side of a tracker.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{ChildStdin, Stdio};

use super::child::Process;
use super::tracked::{Order, TRACKER, Tracked};
use crate::error::{Error, Result};
use crate::sys::Owner;

/// A process that removes names when the process that started it has ended without doing so itself.
///
/// A value that is dropped removes its name, but a process that is killed drops nothing. A tracker outlives it: it
/// waits for the end of a pipe that only its starter holds (and children that got it from [`hold`](Self::hold)), ignores the
/// signals of the terminal (Ctrl-C), and then removes the names that it tracks, in reverse order. A name that does not exist
/// any more is not an error. Dropping the tracker ends its process, and nothing is removed: so make it *before* the
/// values whose names it tracks, which are dropped first.
///
/// The idea is that of Python's `multiprocessing.resource_tracker`. A kill of both processes leaves the names; the
/// program `ipc` finds those. A forked copy of the starter holds the pipe as well, and may still use the names, so the
/// tracker waits for its end, too.
///
/// ```standalone_crate
/// use ipc::process::{self, Tracked, Tracker};
/// use ipc::queue::PosixQueue;
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     process::init(&[]); // the tracker's process goes no further than this
///     let mut tracker = Tracker::start()?;
///     let name = format!("/doc-tracker-{}", std::process::id());
///     tracker.track(Tracked::PosixQueue(name.clone()))?; // before the name exists
///     let queue = PosixQueue::create(&name, 8, 64)?;
/// #   drop(queue);
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Tracker {
    pipe: ChildStdin,
    owner: Owner,
    /// Declared after the pipe, whose closing ends it.
    _process: Process,
}

impl Tracker {
    /// Starts the process. The program must have called [`init`](super::init) or [`main`](super::main).
    ///
    /// # Errors
    ///
    /// As [`Launch::start`](super::Launch::start).
    pub fn start() -> Result<Self> {
        let launch = Process::new(TRACKER).name("tracker");
        let mut process = launch.stdin(Stdio::piped()).stdout(Stdio::piped()).start()?;
        let closed = || Error::Closed { object: "tracker".to_owned() };
        let pipe = process.take_stdin().ok_or_else(closed)?;
        // Its hello: from then on no signal of the terminal ends it.
        let mut hello = process.take_stdout().ok_or_else(closed)?;
        hello.read_exact(&mut [0]).map_err(|_| closed())?;
        Ok(Self { pipe, owner: Owner::here(), _process: process })
    }

    /// Sends the tracker a name that it is to remove. Call it *before* the name is made: a kill between the two calls is harmless in this
    /// order alone.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]: such an object cannot have that name. [`Error::Closed`]: the tracker was killed.
    pub fn track(&mut self, name: Tracked) -> Result<()> {
        let order = Order::of(name)?;
        let line = serde_json::to_string(&order).unwrap_or_default() + "\n";
        self.send(&line)
    }

    /// A copy of the pipe for a child that makes a tracked name itself: [pass](super::Launch::pass) it, and the tracker
    /// waits for the end of that child as well. Otherwise a child that makes its name just after its parent was killed
    /// could leave it.
    ///
    /// # Errors
    ///
    /// [`Error::System`]: too many open files (`fcntl`).
    pub fn hold(&self) -> Result<OwnedFd> {
        let copy = self.pipe.as_fd().try_clone_to_owned();
        copy.map_err(|error| Error::io("tracker", "fcntl", &error))
    }

    fn send(&mut self, line: &str) -> Result<()> {
        self.pipe.write_all(line.as_bytes()).map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => Error::Closed { object: "tracker".to_owned() },
            _ => Error::io("tracker", "write", &error),
        })
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if self.owner.is_here() {
            // A tracker that was killed has nothing to forget.
            let _ = self.send("\n");
        }
    }
}
