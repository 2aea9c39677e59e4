//! The side that asks.

use std::error::Error;

use ipc::Wait;
use ipc::queue::{Queue, Select, SysvQueue};

use crate::protocol::{MESSAGE_SIZE, REPLIES};

/// Sends `WORD` to the server behind the queue with the identifier `ID`, and prints the reply.
pub fn client(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (id, word) = (arguments[0].parse()?, &arguments[1]);
    let queue = SysvQueue::from_id(id, MESSAGE_SIZE)?;
    let pid = i32::try_from(std::process::id())?;
    println!("client {pid}: I ask for {word:?}");
    queue.put(&[&pid.to_ne_bytes(), word.as_bytes()].concat())?;

    let mut buffer = [0; MESSAGE_SIZE];
    // Other replies may be in the queue, and older ones. They are not mine, and stay.
    let mine = Select::Type(REPLIES + pid);
    let (length, kind) = queue.receive_type(&mut buffer, mine, Wait::Forever)?;
    let reply = String::from_utf8_lossy(&buffer[..length]);
    println!("client {pid}: the message of type {kind} is mine: {reply:?}");
    Ok(())
}
