//! A POSIX message queue between a writer and a reader, with priorities.
//!
//! A pipe hands over bytes in the order in which they were written. A queue hands over whole messages, the
//! most urgent first. It belongs to neither side: a writer may put its messages in and end long before
//! a reader is born. And it is bounded: a writer that is faster than its reader is put to sleep when the
//! queue is full, which is called back-pressure.
//!
//! Run it: `cargo run -p ipc --example posix_queue`
//!
//! Look at: part one, in which the reader starts when the writer is dead, and gets the urgent job first,
//! then the others in their order; part two, in which both run at the same time and the writer finds the
//! queue full. There, lines of the two processes mix differently each time, and an urgent job overtakes
//! only what still waits in the queue.
//!
//! The files: `protocol.rs` is what both sides agree on, `writer.rs` and `reader.rs` are the sides.

use std::error::Error;
use std::process::ExitCode;

use ipc::process::{self, Process, Tracked, Tracker};
use ipc::queue::{PosixQueue, Queue};

mod protocol;
mod reader;
#[path = "../story/mod.rs"]
mod story;
mod writer;

use protocol::{CAPACITY, JOB_SIZE};
use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("writer", writer::writer), ("reader", reader::reader)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let name = format!("/{}", story::unique_name("jobs"));
    let mut tracker = Tracker::start()?; // It removes the name if this process is killed.
    tracker.track(Tracked::PosixQueue(name.clone()))?;
    let queue = PosixQueue::create(&name, CAPACITY, JOB_SIZE)?;
    note!("-- the writer ends before there is a reader --")?;
    say!("creates the queue {name}, which holds {CAPACITY} messages")?;
    // Daemons: they end with this process, however it ends.
    let writer =
        |jobs: &str| Process::new("writer").name("writer").daemon(true).args([&name, jobs]).start();
    let reader = || Process::new("reader").name("reader").daemon(true).arg(&name).start();

    // Three jobs and the end just fit, so the writer does not have to wait for a reader.
    story::join_all(&[writer("3")?])?;
    say!("sees that the writer has ended, and {} messages are in the queue", queue.qsize()?)?;
    say!("starts a reader")?;
    story::join_all(&[reader()?])?;

    note!("\n-- both at the same time: chance orders their lines --")?;
    story::join_all(&[writer("6")?, reader()?])?;

    note!("\n-- the end --")?;
    drop(queue); // Its creator removes the name. Without it the queue would be there until the next boot.
    say!("drops the queue, which removes the name; opening it now fails:")?;
    say!("  {}", PosixQueue::open(&name).err().ok_or("the name is still there")?)?;
    note!(
        "\nNotice: urgent job 3 comes out first; a full queue stops the writer until there is room."
    )?;
    note!("Without the queue: the first writer would have to stay until a reader has come.")?;
    Ok(())
}
