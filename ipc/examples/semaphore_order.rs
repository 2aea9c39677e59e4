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
use std::os::fd::AsFd;
use std::process::ExitCode;

use ipc::process::{self, Launch, Process};
use ipc::semaphore::{Semaphore, SharedSemaphore};

mod story;

use story::{LIMIT, note, say};

const LINES: usize = 5;

fn main() -> ExitCode {
    process::main(&[("chance", chance), ("turns", turns)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    note!("-- without semaphores: chance orders the lines --")?;
    let ping = player("chance", "ping").start()?;
    let pong = player("chance", "pong").start()?;
    story::join_all(&[ping, pong])?;

    note!("\n-- with two semaphores: ping begins, and they take turns --")?;
    let pings = SharedSemaphore::create(1)?;
    let pongs = SharedSemaphore::create(0)?;
    // Started in the wrong order on purpose: it does not matter any more.
    let pong = start_turns("pong", &pongs, &pings)?;
    let ping = start_turns("ping", &pings, &pongs)?;
    story::join_all(&[ping, pong])?;

    note!("\nNotice: the second block is the same in every run, though pong was started first.")?;
    note!(
        "Without semaphores: an order that you see is luck; run it again, or on a busy machine."
    )?;
    Ok(())
}

/// A daemon: it ends with this process, however that ends.
fn player(entry: &str, name: &str) -> Launch {
    Process::new(entry).name(name).daemon(true)
}

/// Starts a process that waits for `mine` before each line, and releases `other` after it.
fn start_turns(
    name: &str,
    mine: &SharedSemaphore,
    other: &SharedSemaphore,
) -> Result<Process, Box<dyn Error>> {
    let player = player("turns", name);
    Ok(player.pass(story::copy(mine.as_fd())?).pass(story::copy(other.as_fd())?).start()?)
}

/// Prints its lines, whenever.
fn chance(_: &[String]) -> Result<(), Box<dyn Error>> {
    for number in 1..=LINES {
        say!("line {number}")?;
        std::thread::yield_now(); // Gives the other one a chance, and no more than that.
    }
    Ok(())
}

/// Prints its lines, each when it is its turn.
fn turns(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mine = SharedSemaphore::from_fd(process::passed(0)?)?;
    let other = SharedSemaphore::from_fd(process::passed(1)?)?;
    for number in 1..=LINES {
        mine.acquire_timeout(LIMIT)?;
        say!("line {number}")?;
        other.release()?;
    }
    Ok(())
}
