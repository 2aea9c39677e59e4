//! The side that takes jobs out.

use std::error::Error;

use ipc::Wait;
use ipc::queue::{PosixQueue, Queue};

use crate::protocol::{END, JOB_SIZE};
use crate::story::{LIMIT, say};

/// Takes jobs out of the queue `NAME` until the end comes.
pub fn reader(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let queue = PosixQueue::open(&arguments[0])?;
    let mut buffer = [0; JOB_SIZE]; // One buffer for all messages; `get` would make a new Vec each time.
    loop {
        // A queue does not report that its writer has died: so wait with a timeout.
        let received = queue.receive(&mut buffer, Wait::AtMost(LIMIT))?;
        let job = &buffer[..received.length];
        if job == END {
            say!("takes the end, and ends")?;
            return Ok(());
        }
        let job = String::from_utf8_lossy(job);
        say!("takes {job:?}, priority {}", received.priority)?;
    }
}
