//! A ring in shared memory with several writers, one of which is killed while it writes.
//!
//! Three workers report to the parent through one ring. What one worker puts arrives in its order; how the workers'
//! reports mix is chance. Each slot of the ring knows who claimed it, so when a worker is killed, the parent can
//! tell a slot that will be filled in a moment from one that never will, and passes over the latter. Every
//! message has a checksum, so bytes that were damaged in between are not taken for a report.
//!
//! Run it: `cargo run -p ipc --example ring_many`
//!
//! Look at: the numbers of each worker, which are in order; and the killed one's, of which only the rest is missing.

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;

use ipc::process::{self, Process};
use ipc::shared::Location;
use ipc::shared::ring::{RingMany, WaitStrategy};

mod story;

use story::{note, say};

const REPORTS: u32 = 10_000;
const LAST_OF_KILLED: u32 = 3_000;

fn main() -> ExitCode {
    process::main(&[("worker", worker)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let ring = RingMany::create(Location::Memfd("reports".into()), 64, 64, WaitStrategy::Sleep)?;
    let mut receiver = ring.receiver()?;
    // Kept until all workers are there: `get` ends when all senders have gone.
    let mut placeholder = Some(ring.sender()?);
    say!("creates a ring of 64 slots and starts three workers, each with {REPORTS} reports")?;
    let start = |number: usize| -> Result<Process, Box<dyn Error>> {
        // A daemon: it ends with this process, however that ends.
        let worker = Process::new("worker").name(format!("worker-{number}")).daemon(true);
        let worker = worker.arg(number.to_string());
        Ok(worker.pass(story::descriptor(ring.memory())?).start()?)
    };
    let workers = [start(0)?, start(1)?, start(2)?];

    let mut watched = &workers[..];
    let mut reports = BTreeMap::<String, u32>::new();
    let mut message = Vec::new();
    // Until all are there, the ring cannot notice the death of one: so look at the processes.
    while story::while_alive(watched, |step| is_open(receiver.get_timeout(&mut message, step)))? {
        let text = std::str::from_utf8(&message)?;
        let (worker, number) = text.split_once(' ').ok_or("a report has two words")?;
        let expected = reports.entry(worker.to_owned()).or_default();
        if number.parse::<u32>()? != *expected {
            return Err(format!("{worker}: {number} came instead of {expected}").into());
        }
        *expected += 1;
        if worker == "worker-2" && *expected == LAST_OF_KILLED {
            workers[2].kill()?;
            watched = &workers[..2];
            say!("kills worker-2 after {LAST_OF_KILLED} of its reports")?;
        }
        if reports.len() == workers.len() {
            placeholder.take();
        }
    }
    story::join_all(watched)?;
    for (worker, reports) in reports {
        say!("has {reports} reports of {worker}, all in order")?;
    }
    say!("has passed over {} reports that the kill left half written", receiver.torn())?;
    note!(
        "\nNotice: each worker's reports are in order, and only the end of worker-2's is missing."
    )?;
    note!(
        "Without an owner in each slot: a slot that worker-2 claimed would block the ring forever."
    )?;
    Ok(())
}

/// Whether a message came, or the end.
fn is_open(got: ipc::Result<()>) -> ipc::Result<bool> {
    match got {
        Err(ipc::Error::Closed { .. }) => Ok(false),
        other => other.map(|()| true),
    }
}

fn worker(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut sender = RingMany::open(process::passed(0)?)?.sender()?;
    say!("joins, and reports")?;
    for number in 0..REPORTS {
        sender.put(format!("worker-{} {number}", arguments[0]).as_bytes())?;
    }
    Ok(())
}
