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
use std::time::Duration;

use ipc::process::{self, Process};
use ipc::shared::ring::{RingMany, WaitStrategy};

const REPORTS: u32 = 10_000;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("worker", worker)]);

    let name = format!("/ipc-example-reports-{}", std::process::id());
    let ring = RingMany::create(&name, 64, 64, WaitStrategy::Sleep)?;
    let mut receiver = ring.receiver()?;
    // Kept until all workers are there: `get` ends when all senders have gone.
    let placeholder = ring.sender()?;
    let start = |number: &str| Process::new("worker").args([&name, number]).start();
    let workers = [start("0")?, start("1")?, start("2")?];
    println!("three workers, {REPORTS} reports each; worker 2 is killed after its 3,000th");

    let mut placeholder = Some(placeholder);
    let mut reports = BTreeMap::<String, u32>::new();
    let mut message = Vec::new();
    let end = loop {
        if let Err(end) = receiver.get_timeout(&mut message, Duration::from_secs(10)) {
            break end;
        }
        let text = std::str::from_utf8(&message)?;
        let (worker, number) = text.split_once(' ').ok_or("two words")?;
        let expected = reports.entry(worker.to_owned()).or_default();
        if number.parse::<u32>()? != *expected {
            return Err(format!("{worker}: {number} came instead of {expected}").into());
        }
        *expected += 1;
        if worker == "worker2" && *expected == 3_000 {
            workers[2].kill()?;
        }
        if reports.len() == workers.len() {
            placeholder.take();
        }
    };
    println!("then: {end}");
    for (worker, reports) in reports {
        println!("{worker}: {reports} reports, in order");
    }
    println!("torn by the kill: {} (it is rarely caught in the act)", receiver.torn());
    for worker in workers {
        worker.join()?;
    }
    Ok(())
}

fn worker(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [name, own] = arguments else { return Err("two arguments".into()) };
    let mut sender = RingMany::open(name)?.sender()?;
    for number in 0..REPORTS {
        sender.put(format!("worker{own} {number}").as_bytes())?;
    }
    Ok(())
}
