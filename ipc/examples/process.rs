//! Child processes: start, join, name, pid, is_alive, daemon, exit code.
//!
//! A child here is this program again, executed anew and told by `init` which function to run. So the
//! first line of `main` is `init`: the parent comes back from it, a child does not. Parent and child share
//! no memory. Each has its own `COUNTER` below; the child's work on it is not seen by the parent.
//!
//! Run it: `cargo run -p ipc --example process`
//!
//! Look at: the pids and parents' pids that are printed; the ways to end (by itself, with an error, by a
//! signal) and how each shows as an `Exit`; the daemon, which nobody joins and which is gone
//! nevertheless. Lines of parent and child may change places from run to run: nobody orders them.

use std::error::Error;
use std::io::Read;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ipc::process::{self, Process};

static COUNTER: AtomicU32 = AtomicU32::new(0);

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("count", count), ("fail", fail), ("wait", wait)]);
    println!("parent: I am {:?} with pid {}", process::name(), std::process::id());

    println!("\n-- start, name, pid, join --");
    let children = [
        Process::new("count").arg("1000").start()?,
        Process::new("count").arg("10").name("short one").start()?,
    ];
    for child in &children {
        println!("parent: started {:?} with pid {}", child.name(), child.pid());
    }
    for child in &children {
        println!("parent: {:?} ended with {}", child.name(), child.join()?);
    }
    println!("parent: my COUNTER is {}: no memory is shared", COUNTER.load(Ordering::Relaxed));

    println!("\n-- a child that fails (it says why on standard error) --");
    let child = Process::new("fail").start()?;
    println!("parent: {:?} ended with {}", child.name(), child.join()?);

    println!("\n-- is_alive, join with a timeout, and ending a child from outside --");
    let (reader, _writer) = std::io::pipe()?; // the child waits for the end of this, which does not come
    let child = Process::new("wait").stdin(reader.try_clone()?).start()?;
    println!("parent: is {:?} alive? {}", child.name(), child.is_alive()?);
    match child.join_timeout(Duration::from_millis(50)) {
        Err(error) => println!("parent: join with a timeout says: {error}"),
        Ok(exit) => println!("parent: ended too early, with {exit}"),
    }
    child.terminate()?;
    println!("parent: after terminate it ended with {}", child.join()?);
    println!("parent: is it alive? {}", child.is_alive()?);

    println!("\n-- a daemon --");
    let daemon = Process::new("wait").name("daemon").stdin(reader).daemon(true).start()?;
    let directory = format!("/proc/{}", daemon.pid());
    println!("parent: {directory} is there: {}; nobody joins it", Path::new(&directory).exists());
    drop(daemon); // anything but a daemon would be waited for here, and this one waits for us
    println!(
        "parent: {directory} is there: {}; dropping killed it",
        Path::new(&directory).exists()
    );
    Ok(())
}

/// Counts, in its own copy of the counter.
fn count(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let parent = std::os::unix::process::parent_id();
    println!("{}: pid {}, child of {parent}", process::name(), std::process::id());
    for _ in 0..arguments[0].parse()? {
        COUNTER.fetch_add(1, Ordering::Relaxed);
    }
    println!("{}: my COUNTER is {}", process::name(), COUNTER.load(Ordering::Relaxed));
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
