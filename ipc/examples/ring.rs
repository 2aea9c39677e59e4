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
use std::process::ExitCode;
use std::time::Instant;

use ipc::process::{self, Process};
use ipc::shared::Location;
use ipc::shared::ring::{Ring, WaitStrategy};

mod story;

use story::{LIMIT, note, say};

const LINES: u64 = 100_000;

fn main() -> ExitCode {
    process::main(&[("writer", writer), ("dying", dying)], reader)
}

fn reader() -> Result<(), Box<dyn Error>> {
    note!("-- a writer that ends --")?;
    say!("is the reader: it creates a ring of 64 KiB and starts a writer")?;
    let ring = Ring::create(Location::Memfd("lines".into()), 64 * 1024, WaitStrategy::Sleep)?;
    let mut receiver = ring.receiver()?;
    let (mut line, mut lines, mut bytes, mut empty) = (Vec::new(), 0, 0, 0);
    let writer = [start("writer", &ring)?];
    // A ring that never had a sender cannot notice the death of one: so look at the process until it has.
    story::while_alive(&writer, |step| receiver.get_timeout(&mut line, step))?;
    let start_time = Instant::now();
    let end = loop {
        if line != text(lines).as_bytes() {
            return Err(format!("line {lines} is wrong").into());
        }
        lines += 1;
        bytes += line.len();
        let mut next = receiver.try_get(&mut line); // Only to count: `get` alone would do.
        if let Err(ipc::Error::WouldBlock { .. }) = next {
            empty += 1;
            next = receiver.get_timeout(&mut line, LIMIT);
        }
        if let Err(end) = next {
            break end;
        }
    };
    let time = start_time.elapsed();
    story::join_all(&writer)?;
    if lines != LINES {
        return Err(format!("{lines} lines came: {end}").into());
    }
    say!("has taken all lines, {bytes} bytes, in {time:.1?}; the ring was empty {empty} times")?;
    say!("sees the end of the stream: {end}")?;

    note!("\n-- a writer that is killed --")?;
    let ring = Ring::create(Location::Memfd("more lines".into()), 4096, WaitStrategy::Sleep)?;
    let mut receiver = ring.receiver()?;
    let writer = [start("dying", &ring)?];
    story::while_alive(&writer, |step| receiver.get_timeout(&mut line, step))?;
    say!("takes {:?}, and kills the writer", String::from_utf8_lossy(&line))?;
    writer[0].kill()?;
    let start_time = Instant::now();
    let end = loop {
        match receiver.get_timeout(&mut line, LIMIT) {
            Ok(()) => say!("takes {:?}, put before the kill", String::from_utf8_lossy(&line))?,
            Err(end) => break end,
        }
    };
    if !matches!(end, ipc::Error::Closed { .. }) {
        return Err(end.into());
    }
    say!("notices the death after {:.0?}", start_time.elapsed())?;
    note!(
        "\nNotice: {LINES} lines, and {empty} times without one: only then the kernel is called."
    )?;
    note!("Without a look at the writer's process: the reader of a killed writer waits forever.")?;
    Ok(())
}

/// Starts a writer, which is passed the ring. A daemon: it ends with this process, however that ends.
fn start(entry: &str, ring: &Ring) -> Result<Process, Box<dyn Error>> {
    let writer = Process::new(entry).name("writer").daemon(true);
    Ok(writer.pass(story::descriptor(ring.memory())?).start()?)
}

/// Puts all lines, and leaves.
fn writer(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut sender = Ring::open(process::passed(0)?)?.sender()?;
    say!("puts {LINES} lines into the ring; when it is full, the writer waits")?;
    for number in 0..LINES {
        sender.put(text(number).as_bytes())?;
    }
    say!("has put all lines, and ends")?;
    Ok(())
}

/// Puts two lines, both visible at once, and then waits to be killed.
fn dying(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut sender = Ring::open(process::passed(0)?)?.sender()?;
    say!("puts two lines into the ring")?;
    sender.put_batch(&["the first", "the second"])?;
    loop {
        std::thread::park();
    }
}

fn text(number: u64) -> String {
    format!("line {number}{}", ".".repeat((number % 50) as usize))
}
