//! A creator of names, with a tracker.

use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;

use ipc::Key;
use ipc::pipe::Fifo;
use ipc::process::{Tracked, Tracker};
use ipc::queue::{PosixQueue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, OnDeath, SysvSemaphore};
use ipc::shared::{Location, Value};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// `create NAME DIRECTORY`: makes one of each kind and prints a line.
pub fn run(role: &str, arguments: &[String]) -> Outcome {
    let [name, directory] = arguments else { return Err("two arguments".into()) };
    let (key, directory) = (Key::of_name(name)?, Path::new(directory));
    let mut tracker = Tracker::start()?;
    for tracked in [
        Tracked::SharedMemory(name.clone()),
        Tracked::Semaphore(name.clone()),
        Tracked::PosixQueue(name.clone()),
        Tracked::SysvSegment(key),
        Tracked::SysvSemaphore(key),
        Tracked::SysvQueue(key),
        Tracked::Path(directory.to_owned()),
        Tracked::Path(directory.join("fifo")),
    ] {
        tracker.track(tracked)?;
    }
    fs::create_dir(directory)?;
    let _fifo = Fifo::create(directory.join("fifo"), 0o600)?;
    let _memory = Value::create(name, 1_u32)?;
    let _semaphore = NamedSemaphore::create(name, 1)?;
    let _queue = PosixQueue::create(name, 1, 8)?;
    let _segment = Value::create(Location::SystemV(key.number()), 1_u32)?;
    let _sysv_semaphore = SysvSemaphore::create(key, 1, OnDeath::Keep)?;
    let _sysv_queue = SysvQueue::create(key, 1, 8)?;
    if role == "hold" {
        let copy = tracker.hold()?;
        super::print_line(&copy.as_raw_fd().to_string())?;
        return super::wait_for_eof();
    }
    super::print_line("made")?;
    match role {
        "create" => super::wait_for_eof(),
        // The names are there still, and the tracker is told that they are to stay.
        "forget" => {
            drop(tracker);
            super::print_line("forgotten")?;
            super::wait_for_eof()
        }
        other => Err(format!("nothing called {other:?}").into()),
    }
}
