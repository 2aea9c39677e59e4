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
use std::time::Duration;

use ipc::event::Event;
use ipc::process::{self, Process};
use ipc::semaphore::{NamedSemaphore, Semaphore};

const RUNNERS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("runner", runner)]);

    let name = |what| format!("/ipc-example-{what}-{}", std::process::id());
    let (start, here) = (name("start"), name("here"));
    let event = Event::create(&start)?;
    let ready = NamedSemaphore::create(&here, 0)?; // counts, which an event cannot
    let run = |number: usize| {
        Process::new("runner").args([number.to_string(), start.clone(), here.clone()]).start()
    };

    let runners: Vec<_> = (1..=RUNNERS).map(run).collect::<Result<_, _>>()?;
    for _ in &runners {
        ready.acquire_timeout(Duration::from_secs(10))?;
    }
    println!("all runners are at the start; is the event set? {}", event.is_set());
    event.set();
    for runner in runners {
        runner.join()?;
    }

    println!("-- it stays set: one who comes late --");
    run(5)?.join()?;

    event.clear();
    println!("-- cleared: the next wait is in vain --");
    match event.wait_timeout(Duration::from_millis(100)) {
        Ok(()) => println!("released, which must not be"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

fn runner(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [number, start, here] = arguments else { return Err("three arguments".into()) };
    let event = Event::open(start)?;
    NamedSemaphore::open(here)?.release()?;
    event.wait_timeout(Duration::from_secs(10))?;
    println!("runner {number} goes");
    Ok(())
}
