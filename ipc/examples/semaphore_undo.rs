//! What happens to a semaphore when its holder is killed.
//!
//! A process acquires a semaphore, so that its value is 0, and is then killed as by `kill -9`: no destructor
//! runs, no handler, nothing. Who gives the unit back?
//!
//! - A System V semaphore with undo: the kernel. It keeps an account of what each process acquired and
//!   released, and takes it back when the process ends, however it ends.
//! - A POSIX semaphore: nobody. It is a number in shared memory, and nobody has noted who took what. Who
//!   waits for it waits for ever. A timeout does not repair it, but at least tells.
//!
//! Undo repairs the *count*. What the dead process was doing to the data that the semaphore protects
//! is half done, and remains so: see the module `lock` for a mutex that tells the next owner.
//!
//! Run it: `cargo run -p ipc --example semaphore_undo`
//!
//! Look at: the values before and after the kill, and how the next acquire ends.

use std::error::Error;
use std::os::fd::AsFd;
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use ipc::Key;
use ipc::process::{self, Launch, Process, Tracked, Tracker};
use ipc::semaphore::{OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};

mod story;

use story::{LIMIT, note, say};

fn main() -> ExitCode {
    process::main(&[("holder", holder)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let key = Key::of_name(&format!("/{}", story::unique_name("semaphore")))?;
    let mut tracker = Tracker::start()?; // It destroys the semaphore if this process is killed.
    tracker.track(Tracked::SysvSemaphore(key))?;
    // A daemon: it ends with this process, however it ends.
    let holder = |kind: &str| Process::new("holder").name("holder").daemon(true).arg(kind);

    note!("-- System V, with undo --")?;
    let semaphore = SysvSemaphore::create(key, 1, OnDeath::Undo)?;
    kill_the_holder(&semaphore, holder("undo").arg(semaphore.id().to_string()))?;
    drop(semaphore);

    note!("\n-- System V, without undo --")?;
    let semaphore = SysvSemaphore::create(key, 1, OnDeath::Keep)?;
    kill_the_holder(&semaphore, holder("keep").arg(semaphore.id().to_string()))?;
    drop(semaphore);

    note!("\n-- POSIX --")?;
    let semaphore = SharedSemaphore::create(1)?;
    let descriptor = story::copy(semaphore.as_fd())?;
    kill_the_holder(&semaphore, holder("posix").pass(descriptor))?;

    note!("\nNotice: the same kill, and only undo brings the value back to 1.")?;
    note!("Without undo: a process that waits without a timeout waits forever.")?;
    Ok(())
}

/// Lets a child acquire the semaphore, kills it, and tries to acquire it too.
fn kill_the_holder(semaphore: &dyn Semaphore, holder: Launch) -> Result<(), Box<dyn Error>> {
    say!("creates a semaphore; the value is {}", semaphore.get_value()?)?;
    let mut holder = holder.stdout(Stdio::piped()).start()?;
    story::relay(&mut holder)?; // It prints a line when it has the semaphore.
    holder.kill()?;
    let exit = holder.join_timeout(LIMIT)?;
    say!("kills the holder, which ends with {exit}; the value is {}", semaphore.get_value()?)?;
    match semaphore.acquire_timeout(Duration::from_millis(200)) {
        Ok(()) => say!("acquires the semaphore: the kernel has given the unit back")?,
        Err(ipc::Error::TimedOut { waited, .. }) => {
            say!("cannot acquire it within {waited:?}: the unit is lost")?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Acquires, prints a line, and holds the semaphore until it is killed (or the parent is gone).
fn holder(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let semaphore: Box<dyn Semaphore> = match arguments {
        [kind, id] if kind == "undo" => {
            Box::new(SysvSemaphore::from_id(id.parse()?, OnDeath::Undo)?)
        }
        [_keep, id] => Box::new(SysvSemaphore::from_id(id.parse()?, OnDeath::Keep)?),
        _ => Box::new(SharedSemaphore::from_fd(process::passed(0)?)?),
    };
    semaphore.acquire_timeout(LIMIT)?;
    say!("acquires the semaphore; the value is {}", semaphore.get_value()?)?;
    loop {
        std::thread::park();
    }
}
