//! A ring in shared memory: messages from one process to another, without a system call for each.
//!
//! A writer puts a hundred thousand lines of differing length into a ring of 64 KiB; a reader takes them out. The
//! ring is much smaller than what goes through it, so the writer waits when it is full and the reader when it is
//! empty. Both sleep then, and wake each other; while both are busy, the kernel is not asked at all.
//!
//! The end of the stream is the writer's leaving: dropping the sender. If it is killed instead, the reader
//! finds that out within a tenth of a second. The second part shows it: what the dead writer had put is
//! delivered first. (A message that it was just writing would not be.)
//!
//! Run it: `cargo run -p ipc --example ring`, or to see that there are hardly any futex calls:
//! `strace -f -c -e futex target/debug/examples/ring`
//!
//! Look at: the waits, few in comparison with the messages; and the end of the second part.

use std::error::Error;
use std::time::{Duration, Instant};

use ipc::process::{self, Process};
use ipc::shared::Location;
use ipc::shared::ring::{Ring, WaitStrategy};

const LINES: u64 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("writer", writer), ("dying", dying)]);

    let ring = Ring::create(Location::Memfd("lines".into()), 64 * 1024, WaitStrategy::Sleep)?;
    let child = Process::new("writer").pass(descriptor(&ring)?).start()?;
    let mut receiver = ring.receiver()?;
    let (mut line, mut lines, mut bytes, mut empty) = (Vec::new(), 0, 0, 0);
    let start = Instant::now();
    let end = loop {
        // Only to count: `get` alone would do.
        if let Err(ipc::Error::WouldBlock { .. }) = receiver.try_get(&mut line) {
            empty += 1;
            if let Err(end) = receiver.get(&mut line) {
                break end;
            }
        }
        if line != text(lines).as_bytes() {
            return Err(format!("line {lines} is wrong").into());
        }
        lines += 1;
        bytes += line.len();
        if lines == LINES {
            break receiver.get(&mut line).err().ok_or("there were too many lines")?;
        }
    };
    println!("{lines} lines, {bytes} bytes in {:?}; found empty {empty} times", start.elapsed());
    println!("then: {end}");
    child.join()?;

    println!("-- and now a writer that is killed --");
    let ring = Ring::create(Location::Memfd("more lines".into()), 4096, WaitStrategy::Sleep)?;
    let mut receiver = ring.receiver()?;
    // A daemon, so that it does not outlive us if something goes wrong here.
    let child = Process::new("dying").daemon(true).pass(descriptor(&ring)?).start()?;
    receiver.get_timeout(&mut line, Duration::from_secs(10))?;
    println!("got {:?}", String::from_utf8_lossy(&line));
    child.kill()?;
    let start = Instant::now();
    while receiver.get(&mut line).is_ok() {
        println!("got {:?}, which it had put before", String::from_utf8_lossy(&line));
    }
    println!("its death was noticed after {:?}", start.elapsed());
    Ok(())
}

/// Puts all lines, and leaves.
fn writer(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut sender = Ring::open(process::passed(0)?)?.sender()?;
    for number in 0..LINES {
        sender.put(text(number).as_bytes())?;
    }
    Ok(())
}

/// Puts two lines, both visible at once, and then waits to be killed.
fn dying(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut sender = Ring::open(process::passed(0)?)?.sender()?;
    sender.put_batch(&["the first", "the second"])?;
    loop {
        std::thread::park();
    }
}

fn text(number: u64) -> String {
    format!("line {number}{}", ".".repeat((number % 50) as usize))
}

fn descriptor(ring: &Ring) -> Result<std::os::fd::OwnedFd, Box<dyn Error>> {
    Ok(ring.memory().descriptor().ok_or("a memfd has one")?.try_clone_to_owned()?)
}
