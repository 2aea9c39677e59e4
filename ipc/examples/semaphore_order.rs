//! The order of what two processes print, left to chance and made by semaphores.
//!
//! Two processes each print five lines. Nothing in the system says whose line comes when: the scheduler decides,
//! anew in each run. Often one has printed everything before the other has even started, which looks like
//! an order, and is none.
//!
//! With two semaphores they take turns. Each waits for its own (`acquire`) before it prints, and releases the
//! other's after it. One begins at 1, the other at 0: that is who starts. Who acquires is not who releases, which
//! is what a semaphore can do and a lock cannot. If the values began at 1 and 1, the order would be
//! gone; at 0 and 0 both would wait for ever.
//!
//! Run it: `cargo run -p ipc --example semaphore_order`
//!
//! Look at: the first block, in several runs; and the second one, which is the same in every run.

use std::error::Error;
use std::time::Duration;

use ipc::process::{self, Process};
use ipc::semaphore::{NamedSemaphore, Semaphore};

const LINES: usize = 5;

/// Far longer than a turn takes; only the death of the other side reaches it.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("chance", chance), ("turns", turns)]);

    println!("-- without semaphores: the order is chance --");
    let ping = Process::new("chance").arg("ping").start()?;
    let pong = Process::new("chance").arg("    pong").start()?;
    ping.join()?;
    pong.join()?;

    println!("-- with semaphores: ping begins, and they take turns --");
    let name = |side| format!("/ipc-example-{side}-{}", std::process::id());
    let (pings, pongs) = (name("ping"), name("pong"));
    // The creator removes the names when the values are dropped, at the end of main.
    let _pings = NamedSemaphore::create(&pings, 1)?;
    let _pongs = NamedSemaphore::create(&pongs, 0)?;
    // Started in the wrong order on purpose: it does not matter any more.
    let pong = Process::new("turns").args(["    pong", &pongs, &pings]).start()?;
    let ping = Process::new("turns").args(["ping", &pings, &pongs]).start()?;
    ping.join()?;
    pong.join()?;
    Ok(())
}

/// Prints its lines, whenever.
fn chance(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    for number in 1..=LINES {
        println!("{} {number}", arguments[0]);
        std::thread::yield_now(); // Gives the other one a chance, and no more than that.
    }
    Ok(())
}

/// Prints its lines, each when it is its turn.
fn turns(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [word, mine, other] = arguments else { return Err("three arguments".into()) };
    let (mine, other) = (NamedSemaphore::open(mine)?, NamedSemaphore::open(other)?);
    for number in 1..=LINES {
        mine.acquire_timeout(TIMEOUT)?;
        println!("{word} {number}");
        other.release()?;
    }
    Ok(())
}
