//! The side that asks.

use std::error::Error;

use ipc::Wait;
use ipc::queue::{Queue, Select, SysvQueue};

use crate::protocol::{MESSAGE_SIZE, REPLIES};
use crate::story::{LIMIT, say};

/// Sends `WORD` to the server behind the queue with the identifier `ID`, and prints the reply.
pub fn client(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let (id, word) = (arguments[0].parse()?, &arguments[1]);
    let queue = SysvQueue::from_id(id, MESSAGE_SIZE)?;
    let pid = i32::try_from(std::process::id())?;
    say!("asks for {word:?}")?;
    queue.put_timeout(&[&pid.to_ne_bytes(), word.as_bytes()].concat(), LIMIT)?;

    let mut buffer = [0; MESSAGE_SIZE];
    // Other replies may be in the queue, and older ones. They are not mine, and stay.
    let mine = Select::Type(REPLIES + pid);
    let (length, kind) = queue.receive_type(&mut buffer, mine, Wait::AtMost(LIMIT))?;
    let reply = String::from_utf8_lossy(&buffer[..length]);
    say!("takes the message of type {kind}, its own: {reply:?}")?;
    Ok(())
}
