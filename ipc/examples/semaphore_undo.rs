//! What happens to a semaphore when its holder is killed.
//!
//! A process acquires a semaphore, so that its value is 0, and is then killed as by `kill -9`: no destructor
//! runs, no handler, nothing. Who gives the unit back?
//!
//! - A System V semaphore with undo: the kernel. It keeps an account of what each process acquired and
//!   released, and takes it back when the process ends, however it ends.
//! - A POSIX semaphore: nobody. It is a number in shared memory, and nobody has noted who took what. Who
//!   waits for it waits for ever. A timeout does not repair it, but at least tells.
//!
//! Undo repairs the *count*. What the dead process was doing to the data that the semaphore protects
//! is half done, and remains so: see the module `lock` for a mutex that tells the next owner.
//!
//! Run it: `cargo run -p ipc --example semaphore_undo`
//!
//! Look at: the values before and after the kill, and how the next acquire ends.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, stdin};
use std::process::Stdio;
use std::time::Duration;

use ipc::Key;
use ipc::process::{self, Process};
use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SysvSemaphore};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("holder", holder)]);

    println!("-- System V, with undo --");
    let semaphore = SysvSemaphore::create(Key::PRIVATE, 1, OnDeath::Undo)?;
    kill_the_holder(&semaphore, "sysv", &semaphore.id().to_string())?;

    println!("\n-- System V, without undo --");
    let semaphore = SysvSemaphore::create(Key::PRIVATE, 1, OnDeath::Keep)?;
    kill_the_holder(&semaphore, "sysv-keep", &semaphore.id().to_string())?;

    println!("\n-- POSIX --");
    let name = format!("/ipc-example-{}", std::process::id());
    let semaphore = NamedSemaphore::create(&name, 1)?;
    kill_the_holder(&semaphore, "posix", &name)
}

/// Lets a child acquire the semaphore, kills it, and tries to acquire it too.
fn kill_the_holder(
    semaphore: &dyn Semaphore,
    kind: &str,
    address: &str,
) -> Result<(), Box<dyn Error>> {
    let mut holder = Process::new("holder")
        .args([kind, address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .start()?;
    let stdout = holder.take_stdout().ok_or("a pipe was asked for")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?; // It says so when it has the semaphore.
    println!("main: the child says {:?}; the value is {}", line.trim_end(), semaphore.get_value()?);
    holder.kill()?;
    println!("main: the child ended with {}", holder.join()?);
    println!("main: now the value is {}", semaphore.get_value()?);
    match semaphore.acquire_timeout(Duration::from_millis(200)) {
        Ok(()) => println!("main: I acquired it; the kernel had given the unit back"),
        Err(error) => println!("main: I could not acquire it: {error}; the unit is lost"),
    }
    Ok(())
}

/// Acquires, says so, and holds it until it is killed (or the parent is gone).
fn holder(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let address = &arguments[1];
    let semaphore: Box<dyn Semaphore> = match arguments[0].as_str() {
        "posix" => Box::new(NamedSemaphore::open(address)?),
        "sysv" => Box::new(SysvSemaphore::from_id(address.parse()?, OnDeath::Undo)?),
        _ => Box::new(SysvSemaphore::from_id(address.parse()?, OnDeath::Keep)?),
    };
    semaphore.acquire()?;
    println!("I hold it");
    stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
