//! The side that takes jobs out.

use std::error::Error;

use ipc::Wait;
use ipc::queue::{PosixQueue, Queue};

use crate::protocol::{END, JOB_SIZE};

/// Takes jobs out of the queue `NAME` until the end comes.
pub fn reader(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let queue = PosixQueue::open(&arguments[0])?;
    let mut buffer = [0; JOB_SIZE]; // One buffer for all messages; `get` would make a new Vec each time.
    loop {
        let received = queue.receive(&mut buffer, Wait::Forever)?;
        let job = &buffer[..received.length];
        if job == END {
            println!("reader: that was the end");
            return Ok(());
        }
        let job = String::from_utf8_lossy(job);
        println!("reader: took {job:?} out, of priority {}", received.priority);
    }
}
