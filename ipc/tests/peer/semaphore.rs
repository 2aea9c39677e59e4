//! What a peer does with a semaphore. `KIND` is `named`, `shared` or `sysv`; `NAME` is a name, the numbers
//! of a process and its descriptor as `PID:FD`, or again a name.

use std::error::Error;
use std::io::{Read, stdin};
use std::os::unix::fs::FileExt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::{count_sigusr1, mark, wait_for_eof};
use ipc::Key;
use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;

pub fn run(role: &str, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [kind, name, rest @ ..] = arguments else {
        return Err("usage: semaphore ROLE KIND NAME [ARGUMENT...]".into());
    };
    // Those that wait for the test cannot watch their input meanwhile.
    set_pdeathsig(Signal::SIGKILL)?;
    match role {
        "acquire" => acquire(&*open(kind, name)?, rest),
        "hold" => hold(&*open(kind, name)?),
        "release" => Ok(open(kind, name)?.release()?),
        "count" => count(&*open(kind, name)?, rest),
        "create" => create(kind, name),
        "abandon" => abandon(kind, name),
        "create_marked" => {
            mark();
            let _semaphore = NamedSemaphore::create(name, 3)?;
            mark();
            wait_for_eof()
        }
        "open" => {
            open(kind, name)?;
            println!("opened");
            Ok(())
        }
        _ => Err(format!("nothing called {role:?}").into()),
    }
}

fn open(kind: &str, name: &str) -> Result<Box<dyn Semaphore>, Box<dyn Error>> {
    Ok(match kind {
        "named" => Box::new(NamedSemaphore::open(name)?),
        "shared" => {
            let (pid, fd) = name.split_once(':').ok_or("no PID:FD")?;
            Box::new(SharedSemaphore::of_process(pid.parse()?, fd.parse()?)?)
        }
        "sysv-keep" => Box::new(SysvSemaphore::open(Key::of_name(name)?, OnDeath::Keep)?),
        _ => Box::new(SysvSemaphore::open(Key::of_name(name)?, OnDeath::Undo)?),
    })
}

/// Acquires, within `SECONDS` or without a limit, with a handler for SIGUSR1 that has calls interrupted.
fn acquire(semaphore: &dyn Semaphore, rest: &[String]) -> Result<(), Box<dyn Error>> {
    let signals = count_sigusr1()?;
    println!("ready");
    let result = match rest {
        [seconds] => semaphore.acquire_timeout(Duration::from_secs(seconds.parse()?)),
        _ => semaphore.acquire(),
    };
    let signals = signals.load(Ordering::Relaxed);
    match result {
        Ok(()) => println!("acquired after {signals}"),
        Err(ipc::Error::Closed { .. }) => println!("closed after {signals}"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

/// Acquires, and waits with the unit in its hands to be killed.
fn hold(semaphore: &dyn Semaphore) -> Result<(), Box<dyn Error>> {
    semaphore.acquire()?;
    println!("held");
    wait_for_eof()
}

/// Adds one to the number in `FILE` for `TIMES` times, each time under the semaphore: read, then write.
fn count(semaphore: &dyn Semaphore, rest: &[String]) -> Result<(), Box<dyn Error>> {
    let [file, times] = rest else { return Err("usage: count KIND NAME FILE TIMES".into()) };
    let file = std::fs::OpenOptions::new().read(true).write(true).open(file)?;
    for _ in 0..times.parse::<u32>()? {
        semaphore.acquire()?;
        let mut number = [0; 4];
        file.read_exact_at(&mut number, 0)?;
        let next = u32::from_ne_bytes(number) + 1;
        file.write_all_at(&next.to_ne_bytes(), 0)?;
        semaphore.release()?;
    }
    Ok(())
}

/// Creates the semaphore as soon as it is told to, together with others; keeps it until its input ends.
fn create(kind: &str, name: &str) -> Result<(), Box<dyn Error>> {
    println!("ready");
    stdin().read_exact(&mut [0])?;
    let made: ipc::Result<Box<dyn Semaphore>> = match kind {
        "named" => NamedSemaphore::create(name, 3).map(|semaphore| Box::new(semaphore) as _),
        "named-or" => {
            NamedSemaphore::create_or_open(name, 3).map(|semaphore| Box::new(semaphore) as _)
        }
        "sysv-or" => SysvSemaphore::create_or_open(Key::of_name(name)?, 3, OnDeath::Keep)
            .map(|semaphore| Box::new(semaphore) as _),
        _ => SysvSemaphore::create(Key::of_name(name)?, 3, OnDeath::Keep)
            .map(|semaphore| Box::new(semaphore) as _),
    };
    match &made {
        Ok(semaphore) => println!("made {}", semaphore.get_value()?),
        Err(error) => println!("{:?}", error.errno()),
    }
    wait_for_eof()
}

/// Makes a semaphore, and waits to be killed.
fn abandon(kind: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let _semaphore: Box<dyn Semaphore> = match kind {
        "named" => Box::new(NamedSemaphore::create(name, 1)?),
        _ => Box::new(SysvSemaphore::create(Key::of_name(name)?, 1, OnDeath::Undo)?),
    };
    println!("made");
    wait_for_eof()
}
