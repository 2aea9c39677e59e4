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
//! Look at: the sum of 70 between the kill and the repair, and the last line.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use ipc::lock::Mutex;
use ipc::process::{self, Process};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("transfer", transfer)]);

    let name = format!("/ipc-example-accounts-{}", std::process::id());
    let accounts = Mutex::<i64>::create(&name, 2)?;
    accounts.lock()?[0].set(100);

    kill_in_the_middle(&name)?;
    let mut both = accounts.lock()?;
    println!("locked; did the last holder die? {}", both.recovered());
    println!("the accounts are {:?}: 30 are under way nowhere", &both[..]);
    let missing = 100 - both[0].get() - both[1].get();
    both[0].fetch_add(missing);
    both.mark_consistent();
    println!("repaired: {:?}, and marked as consistent", &both[..]);
    drop(both);
    println!(
        "the next one locks as ever: did the last holder die? {}",
        accounts.lock()?.recovered()
    );

    println!("-- once more, and nobody repairs --");
    kill_in_the_middle(&name)?;
    drop(accounts.lock()?);
    match accounts.lock() {
        Ok(_) => println!("locked, which must not be"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

/// Starts a child, waits until it has done the first half, and kills it.
fn kill_in_the_middle(name: &str) -> Result<(), Box<dyn Error>> {
    // A daemon, so that it does not outlive us if something goes wrong here.
    let child = Process::new("transfer").arg(name).daemon(true);
    let mut child = child.stdout(Stdio::piped()).start()?;
    let mut line = String::new();
    BufReader::new(child.take_stdout().ok_or("it was asked for")?).read_line(&mut line)?;
    println!("child {}: {}", child.pid(), line.trim_end());
    child.kill()?;
    println!("killed, {}", child.join()?);
    Ok(())
}

/// The child: the first half of a transfer, and never the second.
fn transfer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let accounts = Mutex::<i64>::open(&arguments[0])?;
    let both = accounts.lock()?;
    both[0].fetch_sub(30);
    println!("I hold the lock, and have taken 30 from the first account");
    loop {
        std::thread::park();
    }
}
