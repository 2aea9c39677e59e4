//! Child processes: start, join, name, pid, is_alive, daemon, exit code.
//!
//! A child here is this program again, executed a second time. `process::main` runs the entry that a child
//! was started for, and `story` in the first process. Parent and child share no memory. Each has its own
//! `COUNTER` below; the child's work on it is not seen by the parent.
//!
//! Run it: `cargo run -p ipc --example process`
//!
//! Look at: the pids and parents' pids that are printed; the ways to end (by itself, with an error, by a
//! signal) and how each shows as an `Exit`; the daemon, which nobody joins and which is gone
//! nevertheless. Lines of parent and child may change places from run to run: nobody orders them.

use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipc::process::{self, Exit, Process};

mod story;

use story::{note, say};

static COUNTER: AtomicU32 = AtomicU32::new(0);

fn main() -> ExitCode {
    process::main(&[("count", count), ("fail", fail), ("wait", wait)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    note!("-- start, name, pid, join --")?;
    two_children()?;
    note!("\n-- a child that fails, and prints why on standard error --")?;
    failing_child()?;
    note!("\n-- is_alive, join with a timeout, and ending a child from outside --")?;
    waiting_child()?;
    note!("\n-- a daemon --")?;
    daemon()?;
    note!(
        "\nNotice: a child ends with a code or a signal; its pid is its own until it is joined."
    )?;
    note!("Without a join or a drop: each child that has ended would stay as a zombie.")?;
    Ok(())
}

fn two_children() -> Result<(), Box<dyn Error>> {
    let children = [
        Process::new("count").arg("1000").start()?, // without a name of its own it is "count-1"
        Process::new("count").arg("10").name("short").start()?,
    ];
    for child in &children {
        say!("has started {} with pid {}", child.name(), child.pid())?;
    }
    for child in &children {
        let exit = child.join_timeout(story::LIMIT)?;
        say!("joins {}, which ended with {exit}", child.name())?;
    }
    story::join_all(&children)?; // once more, since another end than exit code 0 was not planned
    say!("has a COUNTER of {}: no memory is shared", COUNTER.load(Ordering::Relaxed))?;
    Ok(())
}

fn failing_child() -> Result<(), Box<dyn Error>> {
    let child = Process::new("fail").name("fail").daemon(true).start()?;
    let exit = child.join_timeout(story::LIMIT)?;
    say!("joins fail, which ended with {exit}")?;
    expect(exit, Exit::Code(1))
}

fn waiting_child() -> Result<(), Box<dyn Error>> {
    // The child waits for the end of its standard input. That comes when its `Process` is dropped, at the latest.
    let child = Process::new("wait").name("wait").stdin(Stdio::piped()).start()?;
    say!("asks whether wait[{}] is alive: {}", child.pid(), child.is_alive()?)?;
    match child.join_timeout(Duration::from_millis(50)) {
        Err(ipc::Error::TimedOut { .. }) => say!("joins it for 50 ms, in which it does not end")?,
        Err(error) => return Err(error.into()),
        Ok(exit) => return Err(format!("wait ended too early, with {exit}").into()),
    }
    child.terminate()?;
    let exit = child.join_timeout(story::LIMIT)?;
    say!("terminates it, and it ends with {exit}")?;
    expect(exit, Exit::Signal(15))?;
    say!("asks whether it is alive: {}", child.is_alive()?)?;
    Ok(())
}

fn daemon() -> Result<(), Box<dyn Error>> {
    let (end, _kept_open) = std::io::pipe()?; // the daemon waits for the end of this, which does not come
    let daemon = Process::new("wait").name("daemon").stdin(end).daemon(true).start()?;
    let directory = format!("/proc/{}", daemon.pid());
    say!("has started daemon; {directory} exists: {}", Path::new(&directory).exists())?;
    if let Some(exit) = daemon.exit()? {
        return Err(format!("the daemon ended too early, with {exit}").into());
    }
    drop(daemon); // anything but a daemon would be waited for here, and this one waits for us
    say!("drops it, which kills it; {directory} exists: {}", Path::new(&directory).exists())?;
    Ok(())
}

fn expect(exit: Exit, expected: Exit) -> Result<(), Box<dyn Error>> {
    if exit == expected { Ok(()) } else { Err(format!("expected {expected}, not {exit}").into()) }
}

/// Counts, in its own copy of the counter.
fn count(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    for _ in 0..arguments[0].parse()? {
        COUNTER.fetch_add(1, Ordering::Relaxed);
    }
    let parent = std::os::unix::process::parent_id();
    say!("is a child of {parent}, and counts to {}", COUNTER.load(Ordering::Relaxed))?;
    Ok(())
}

/// An error in an entry is printed on standard error, and makes the exit code 1.
fn fail(_: &[String]) -> Result<(), Box<dyn Error>> {
    Err("there is nothing that I could do".into())
}

/// Waits until its standard input ends.
fn wait(_: &[String]) -> Result<(), Box<dyn Error>> {
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
