//! An event: many processes wait until something has happened, and one says that it has.
//!
//! Four runners stand at the start and wait. The parent sets the event, and all of them go, in an order that
//! nobody decides. The event stays set: a runner who comes late does not wait at all. After `clear` the next ones
//! wait again.
//!
//! Before, a loop that looks again and again would have kept a processor busy for each runner; these
//! sleep in the kernel, and cost nothing until the event is set.
//!
//! Run it: `cargo run -p ipc --example event`
//!
//! Look at: the runners, who all go at once, and in another order each time; and the one who waits in vain.

use std::error::Error;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use ipc::event::Event;
use ipc::process::{self, Process};
use ipc::semaphore::{Semaphore, SharedSemaphore};
use ipc::shared::Location;

mod story;

use story::{LIMIT, note, say};

const RUNNERS: usize = 4;

fn main() -> ExitCode {
    process::main(&[("runner", runner)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let event = Event::create(Location::Memfd("start".into()))?;
    let ready = SharedSemaphore::create(0)?; // counts, which an event cannot
    let start = |number: usize| -> Result<Process, Box<dyn Error>> {
        // A daemon: it ends with this process, however that ends.
        let runner = Process::new("runner").name(format!("runner-{number}")).daemon(true);
        let runner = runner.pass(story::descriptor(event.memory())?);
        Ok(runner.pass(story::copy(ready.as_fd())?).start()?)
    };

    note!("-- {RUNNERS} runners wait for one event --")?;
    let runners: Vec<_> = (1..=RUNNERS).map(start).collect::<Result<_, _>>()?;
    for _ in &runners {
        story::while_alive(&runners, |step| ready.acquire_timeout(step))?;
    }
    say!("sees all runners at the start, and sets the event")?;
    event.set();
    story::join_all(&runners)?;

    note!("\n-- a late runner: the event stays set --")?;
    story::join_all(&[start(RUNNERS + 1)?])?;

    note!("\n-- after clear() a wait does not end --")?;
    event.clear();
    say!("clears the event, and waits for it")?;
    match event.wait_timeout(Duration::from_millis(100)) {
        Ok(()) => return Err("the event is clear, and the wait has ended with success".into()),
        Err(error) => say!("gives up: {error}")?,
    }
    note!(
        "\nNotice: one set() releases all {RUNNERS}, in any order; the late runner does not wait."
    )?;
    note!("Without an event: each runner looks again and again, and keeps a processor busy.")?;
    Ok(())
}

fn runner(_: &[String]) -> Result<(), Box<dyn Error>> {
    let event = Event::open(process::passed(0)?)?;
    say!("is at the start")?;
    SharedSemaphore::from_fd(process::passed(1)?)?.release()?;
    event.wait_timeout(LIMIT)?;
    say!("runs")?;
    Ok(())
}
