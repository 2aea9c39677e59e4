//! The side that puts jobs in.

use std::error::Error;

use ipc::Wait;
use ipc::queue::{PosixQueue, Queue};

use crate::protocol::{END, LAST, URGENT, USUAL};
use crate::story::{LIMIT, say};

/// Puts `COUNT` jobs into the queue `NAME`, every third an urgent one, and then the end.
pub fn writer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let queue = PosixQueue::open(&arguments[0])?;
    for number in 1..=arguments[1].parse()? {
        let (job, priority) = match number % 3 {
            0 => (format!("urgent job {number}"), URGENT),
            _ => (format!("usual job {number}"), USUAL),
        };
        send(&queue, job.as_bytes(), priority)?;
        say!("puts {job:?}, priority {priority}")?;
    }
    send(&queue, END, LAST)
}

fn send(queue: &PosixQueue, message: &[u8], priority: u32) -> Result<(), Box<dyn Error>> {
    // The first try is only there to be able to say that the queue is full; the second alone would do.
    match queue.send(message, priority, Wait::Never) {
        Err(ipc::Error::WouldBlock { .. }) => {
            say!("finds the queue full, and sleeps until the reader takes a message")?;
            Ok(queue.send(message, priority, Wait::AtMost(LIMIT))?)
        }
        result => Ok(result?),
    }
}
