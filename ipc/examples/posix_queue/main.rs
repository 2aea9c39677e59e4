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

use ipc::process::{self, Process};
use ipc::queue::{PosixQueue, Queue};

mod protocol;
mod reader;
mod writer;

use protocol::{CAPACITY, JOB_SIZE};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("writer", writer::writer), ("reader", reader::reader)]);

    let name = format!("/ipc-example-{}", std::process::id());
    let queue = PosixQueue::create(&name, CAPACITY, JOB_SIZE)?;
    println!("main: {name} has room for {CAPACITY} messages of {JOB_SIZE} bytes");

    println!("\n-- one after the other --");
    // Three jobs and the end just fit, so the writer does not have to wait for anybody.
    let writer = Process::new("writer").args([&name, "3"]).start()?;
    println!("main: the writer ended with {}", writer.join()?);
    println!("main: {} messages wait; is the queue full? {}", queue.qsize()?, queue.full()?);
    let reader = Process::new("reader").arg(&name).start()?;
    println!("main: the reader ended with {}", reader.join()?);

    println!("\n-- both at the same time --");
    let writer = Process::new("writer").args([&name, "12"]).start()?;
    let reader = Process::new("reader").arg(&name).start()?;
    writer.join()?;
    reader.join()?;
    println!("\nmain: is the queue empty? {}", queue.empty()?);
    drop(queue); // Its creator removes the name. Without it the queue would be there until the next boot.
    println!("main: opening it now says: {}", PosixQueue::open(&name).unwrap_err());
    Ok(())
}
