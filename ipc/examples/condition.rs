//! A condition: waiting, under a lock, until the state is as one needs it.
//!
//! A baker puts loaves on a shelf that holds three; two customers each take four. The baker waits while
//! the shelf is full, a customer while it is empty. Waiting gives the lock up and goes to sleep in one step as
//! seen by the others, so no notification falls in between.
//!
//! Whoever wakes looks again, in a loop (`wait_while`): the other customer may have been faster. Two conditions are used,
//! one for "there is bread" and one for "there is room", so that nobody is woken for what does not concern it.
//!
//! Run it: `cargo run -p ipc --example condition`
//!
//! Look at: the number on the shelf, which is never below 0 nor above 3.

use std::error::Error;
use std::process::ExitCode;

use ipc::lock::{Condition, Guard, Mutex};
use ipc::process::{self, Process};
use ipc::shared::Location;

mod story;

use story::{note, say};

const ROOM: i32 = 3;
const CUSTOMERS: [&str; 2] = ["Ada", "Bob"];
const LOAVES_EACH: usize = 4;

fn main() -> ExitCode {
    process::main(&[("baker", baker), ("customer", customer)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let memory = |label: &str| Location::Memfd(label.to_owned());
    let shelf = Mutex::<i32>::create(memory("shelf"), 1)?;
    let bread = Condition::create(memory("bread"))?;
    let space = Condition::create(memory("space"))?;
    let start = |entry: &str, name: &str| -> Result<Process, Box<dyn Error>> {
        // A daemon: it ends with this process, however that ends.
        let mut process = Process::new(entry).name(name).daemon(true);
        for memory in [shelf.memory(), bread.memory(), space.memory()] {
            process = process.pass(story::descriptor(memory)?);
        }
        Ok(process.start()?)
    };
    say!("opens: a baker, two customers, and a shelf for {ROOM} loaves")?;
    let [ada, bob] = CUSTOMERS;
    // None of them can notice the death of another one: this process does, and its end is theirs.
    story::join_all(&[start("customer", ada)?, start("customer", bob)?, start("baker", "baker")?])?;
    say!("closes: {} loaves are left", shelf.lock()?[0].get())?;
    note!(
        "\nNotice: the number is never below 0 nor above {ROOM}, and waiting keeps no processor busy."
    )?;
    note!("Without the loop of wait_while: a customer may take a loaf that is gone already.")?;
    Ok(())
}

/// What all of them see.
fn open() -> ipc::Result<(Mutex<i32>, Condition, Condition)> {
    let [shelf, bread, space] = [process::passed(0)?, process::passed(1)?, process::passed(2)?];
    Ok((Mutex::open(shelf)?, Condition::open(bread)?, Condition::open(space)?))
}

/// Refuses a number that a killed process may have half changed. Nobody repairs it here: see `robust_mutex`.
fn check(shelf: &Guard<'_, i32>) -> Result<(), Box<dyn Error>> {
    if shelf.recovered() { Err("a process died while it had the lock".into()) } else { Ok(()) }
}

fn baker(_: &[String]) -> Result<(), Box<dyn Error>> {
    let (shelf, bread, space) = open()?;
    for loaf in 1..=CUSTOMERS.len() * LOAVES_EACH {
        let mut shelf = shelf.lock()?;
        if shelf[0].get() == ROOM {
            say!("waits: the shelf is full")?;
            shelf = space.wait_while(shelf, |shelf| shelf[0].get() == ROOM)?;
        }
        check(&shelf)?;
        let before = shelf[0].fetch_add(1);
        // Printed under the lock, so that the lines are in the order of the acts.
        say!("puts loaf {loaf}: {} on the shelf", before + 1)?;
        // One loaf is enough for one customer.
        bread.notify_one();
    }
    Ok(())
}

fn customer(_: &[String]) -> Result<(), Box<dyn Error>> {
    let (shelf, bread, space) = open()?;
    for _ in 0..LOAVES_EACH {
        let mut shelf = shelf.lock()?;
        if shelf[0].get() == 0 {
            say!("waits: the shelf is empty")?;
            shelf = bread.wait_while(shelf, |shelf| shelf[0].get() == 0)?;
        }
        check(&shelf)?;
        let before = shelf[0].fetch_sub(1);
        say!("takes a loaf: {} on the shelf", before - 1)?;
        space.notify_one();
    }
    Ok(())
}
