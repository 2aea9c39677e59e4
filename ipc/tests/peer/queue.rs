//! What a peer does with a queue. `KIND` is `posix` or `sysv`; both go by the same `NAME`.

use std::error::Error;
use std::fs::File;
use std::io::{Read, stdin};
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::{count_sigusr1, wait_for_eof};
use ipc::Key;
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{SigSet, Signal};

/// Room for this many messages of this many bytes, in all queues of the tests.
const CAPACITY: usize = 8;
const SIZE: usize = 64;

pub fn run(role: &str, arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [kind, name, rest @ ..] = arguments else {
        return Err("usage: queue ROLE KIND NAME [ARGUMENT...]".into());
    };
    // Those that wait for the test cannot watch their input meanwhile.
    set_pdeathsig(Signal::SIGKILL)?;
    match role {
        "put" => put(&*open(kind, name)?, rest),
        "write" => write(&*open(kind, name)?, rest),
        "get" => get(&*open(kind, name)?, rest),
        "create" => create(kind, name),
        "abandon" => abandon(kind, name),
        "drop_without_descriptors" => drop_without_descriptors(name),
        "notified" => notified(name),
        "ordinary" => ordinary(name),
        _ => Err(format!("nothing called {role:?}").into()),
    }
}

fn open(kind: &str, name: &str) -> ipc::Result<Box<dyn Queue>> {
    Ok(match kind {
        "posix" => Box::new(PosixQueue::open(name)?),
        _ => Box::new(SysvQueue::open(Key::of_name(name)?, SIZE)?),
    })
}

/// Puts one message in, as soon as it is told to by the end of its input.
fn put(queue: &dyn Queue, rest: &[String]) -> Result<(), Box<dyn Error>> {
    println!("ready");
    wait_for_eof()?;
    queue.put(rest[0].as_bytes())?;
    println!("put");
    Ok(())
}

/// Puts `COUNT` messages in: the number of the writer and a counter.
fn write(queue: &dyn Queue, rest: &[String]) -> Result<(), Box<dyn Error>> {
    let (writer, count): (u32, u32) = (rest[0].parse()?, rest[1].parse()?);
    for number in 0..count {
        let message = [writer.to_ne_bytes(), number.to_ne_bytes()].concat();
        // Both ways of waiting must be right.
        match number % 2 {
            0 => queue.put(&message)?,
            _ => queue.put_timeout(&message, Duration::from_secs(60))?,
        }
    }
    Ok(())
}

/// Waits for one message, for `SECONDS` or for ever, with a handler for SIGUSR1 that has calls interrupted.
fn get(queue: &dyn Queue, rest: &[String]) -> Result<(), Box<dyn Error>> {
    let signals = count_sigusr1()?;
    println!("ready");
    let message = match rest {
        [seconds] => queue.get_timeout(Duration::from_secs(seconds.parse()?)),
        _ => queue.get(),
    };
    let signals = signals.load(Ordering::Relaxed);
    match message {
        Ok(message) => println!("{} after {signals}", String::from_utf8(message)?),
        Err(ipc::Error::Closed { .. }) => println!("closed after {signals}"),
        Err(error) => println!("{error}"),
    }
    Ok(())
}

/// Creates the queue as soon as it is told to, together with others; keeps it until its input ends.
fn create(kind: &str, name: &str) -> Result<(), Box<dyn Error>> {
    println!("ready");
    let mut start = [0];
    stdin().read_exact(&mut start)?;
    let made: ipc::Result<Box<dyn Queue>> = match kind {
        "posix" => PosixQueue::create(name, CAPACITY, SIZE).map(|queue| Box::new(queue) as _),
        _ => {
            SysvQueue::create(Key::of_name(name)?, CAPACITY, SIZE).map(|queue| Box::new(queue) as _)
        }
    };
    match &made {
        Ok(_) => println!("made"),
        Err(error) => println!("{:?}", error.errno()),
    }
    wait_for_eof()
}

/// Makes a queue with a message in it, and waits to be killed.
fn abandon(kind: &str, name: &str) -> Result<(), Box<dyn Error>> {
    let queue: Box<dyn Queue> = match kind {
        "posix" => Box::new(PosixQueue::create(name, CAPACITY, SIZE)?),
        _ => Box::new(SysvQueue::create(Key::of_name(name)?, CAPACITY, SIZE)?),
    };
    queue.put(b"orphan")?;
    println!("made");
    wait_for_eof()
}

/// Makes a queue, waits for the end of its input, and drops the queue when no descriptor is free.
fn drop_without_descriptors(name: &str) -> Result<(), Box<dyn Error>> {
    let queue = PosixQueue::create(name, CAPACITY, SIZE)?;
    println!("made");
    wait_for_eof()?;
    setrlimit(Resource::RLIMIT_NOFILE, 32, 32)?;
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    drop(queue);
    Ok(())
}

/// Sleeps until a signal announces messages, and prints them; again and again.
fn notified(name: &str) -> Result<(), Box<dyn Error>> {
    let queue = PosixQueue::open(name)?;
    let signals = SigSet::from(Signal::SIGUSR1);
    signals.thread_block()?;
    queue.notify(ipc::signal::Signal::USR1)?;
    println!("ready");
    loop {
        signals.wait()?;
        queue.notify(ipc::signal::Signal::USR1)?;
        while let Ok(message) = queue.try_get() {
            println!("{}", String::from_utf8(message)?);
        }
    }
}

/// Gives up root's privileges, and asks for one message more, and one byte more, than the machine allows.
fn ordinary(name: &str) -> Result<(), Box<dyn Error>> {
    if nix::unistd::geteuid().is_root() {
        nix::unistd::setgid(65_534.into())?;
        nix::unistd::setuid(65_534.into())?;
    }
    let limit = |file: &str| -> Result<usize, Box<dyn Error>> {
        Ok(std::fs::read_to_string(format!("/proc/sys/{file}"))?.trim().parse()?)
    };
    let messages = limit("fs/mqueue/msg_max")?;
    let bytes = limit("fs/mqueue/msgsize_max")?;
    let total = limit("kernel/msgmnb")?;
    for refused in [
        PosixQueue::create(name, messages + 1, 8).map(drop),
        PosixQueue::create(name, 1, bytes + 1).map(drop),
        SysvQueue::create(Key::of_name(name)?, total + 1, 1).map(drop),
    ] {
        match refused {
            Err(ipc::Error::OutOfRange { given, most, .. }) if given == most + 1 => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    println!("refused {messages} {bytes} {total}");
    Ok(())
}
