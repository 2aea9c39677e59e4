//! A lock whose holder is killed: the next one gets it, and is told.
//!
//! Two accounts lie in shared memory, under one mutex; their sum is always 100. A child takes the lock, takes 30 from
//! the first account, and is killed with `kill -9` before it has put them into the second one. With an ordinary mutex
//! everybody would now wait for ever. This one is robust: the kernel notices the death and hands it
//! on, and the next `lock` says that the last holder died (EOWNERDEAD).
//!
//! The data are as the dead one left them: half done. Whoever recovers the lock must repair them, and say so
//! (`mark_consistent`). If it does not, nobody gets the lock any more (ENOTRECOVERABLE): better no data than
//! wrong ones. The example does it both ways.
//!
//! Run it: `cargo run -p ipc --example robust_mutex`
//!
//! Look at: the sum of 70 between the kill and the repair, and the refusal at the end.

use std::error::Error;
use std::process::{ExitCode, Stdio};

use ipc::lock::Mutex;
use ipc::process::{self, Process};
use ipc::shared::Location;

mod story;

use story::{LIMIT, note, say};

fn main() -> ExitCode {
    process::main(&[("transfer", transfer)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    note!("-- a holder is killed, and the next one repairs --")?;
    let accounts = Mutex::<i64>::create(Location::Memfd("accounts".into()), 2)?;
    accounts.lock()?[0].set(100);
    say!("puts 100 into the first of two accounts")?;

    kill_in_the_middle(&accounts)?;
    let mut both = accounts.lock_timeout(LIMIT)?;
    say!("gets the lock; did the last holder die? {}", both.recovered())?;
    say!("finds the accounts {:?}: 30 are missing", &both[..])?;
    let missing = 100 - both[0].get() - both[1].get();
    both[0].fetch_add(missing);
    both.mark_consistent();
    say!("repairs them: {:?}, and marks them as consistent", &both[..])?;
    drop(both);
    say!(
        "locks once more; did the last holder die? {}",
        accounts.lock_timeout(LIMIT)?.recovered()
    )?;

    note!("\n-- a holder is killed, and the next one does not repair --")?;
    kill_in_the_middle(&accounts)?;
    drop(accounts.lock_timeout(LIMIT)?);
    say!("gets the lock, and unlocks without a repair")?;
    match accounts.lock_timeout(LIMIT) {
        Ok(_) => return Err("accounts without a repair can be locked".into()),
        Err(error) => {
            say!("cannot lock any more:")?;
            say!("  {error}")?;
        }
    }
    note!(
        "\nNotice: the sum is 70 after the kill: the lock can be repaired, the data only by you."
    )?;
    note!("Without a robust mutex: the lock stays taken, and every other process waits forever.")?;
    Ok(())
}

/// Starts a child, waits until it has done the first half, and kills it.
fn kill_in_the_middle(accounts: &Mutex<i64>) -> Result<(), Box<dyn Error>> {
    // A daemon: it ends with this process, however that ends.
    let child = Process::new("transfer").name("transfer").daemon(true);
    let child = child.pass(story::descriptor(accounts.memory())?);
    let mut child = child.stdout(Stdio::piped()).start()?;
    story::relay(&mut child)?; // It prints a line when it has the lock.
    child.kill()?;
    say!("kills it; it ends with {}", child.join_timeout(LIMIT)?)?;
    Ok(())
}

/// The child: the first half of a transfer, and never the second.
fn transfer(_: &[String]) -> Result<(), Box<dyn Error>> {
    let accounts = Mutex::<i64>::open(process::passed(0)?)?;
    let both = accounts.lock_timeout(LIMIT)?;
    both[0].fetch_sub(30);
    say!("has the lock, and takes 30 from the first account")?;
    loop {
        std::thread::park();
    }
}
