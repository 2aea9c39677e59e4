//! A System V message queue: types as selective receive.
//!
//! Each message has a type, a number, and a receiver may ask for one type alone. So a single queue can
//! serve many conversations: requests have a type that the server takes, and each reply has a type that
//! only its client asks for (here a big number plus the client's pid). With a POSIX queue every client
//! would need a queue of its own. (TLPI sections 46.2 and 46.8.)
//!
//! The queue is a private one: it has no name, only an identifier, which the clients get as an argument.
//!
//! Run it: `cargo run -p ipc --example sysv_queue`
//!
//! Look at: the replies are put in *against* the order of the requests, so that the oldest reply in the queue
//! belongs to the last client; and still each client gets its own. Then, what the kernel knows about a
//! queue: the pids of those who used it last, which helps to find out whether anybody is left.
//!
//! A warning for real servers: requests and replies share the room here. If clients fill it with
//! requests, the server cannot put its replies in, and all wait for each other. Two queues avoid that.
//!
//! The files: `protocol.rs` is what both sides agree on, `client.rs` is one side, this file the other.

use std::error::Error;
use std::time::Duration;

use ipc::process::{self, Process};
use ipc::queue::{Queue, SysvQueue};
use ipc::{Key, Wait};

mod client;
mod protocol;

use protocol::{CAPACITY, MESSAGE_SIZE, PID, REPLIES};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("client", client::client)]);

    let queue = SysvQueue::create(Key::PRIVATE, CAPACITY, MESSAGE_SIZE)?;
    println!("server {}: my queue has the id {}", std::process::id(), queue.id());
    let start = |word: &str| Process::new("client").args([&queue.id().to_string(), word]).start();
    let clients = [start("hello")?, start("queue")?, start("world")?];

    // All requests first, so that the replies can be put in against their order.
    let mut requests = Vec::new();
    for _ in &clients {
        // A client that died would never ask: so wait with a timeout.
        requests.push(queue.get_timeout(Duration::from_secs(10))?);
    }
    for request in requests.iter().rev() {
        let pid = i32::from_ne_bytes(request[..PID].try_into()?);
        let word = String::from_utf8_lossy(&request[PID..]);
        let reply = word.to_uppercase();
        println!("server: client {pid} wants {word:?}; the reply has the type {}", REPLIES + pid);
        queue.send_type(reply.as_bytes(), REPLIES + pid, Wait::Forever)?;
    }
    for client in &clients {
        client.join()?;
    }

    let status = queue.status()?;
    println!("\nserver: {} messages are left in the queue", status.messages);
    println!("server: the last to put one in was {:?}, that is me", status.last_sender);
    println!("server: the last to take one out was {:?}, a client", status.last_receiver);
    Ok(()) // Dropping the queue destroys it: it is its creator's.
}
