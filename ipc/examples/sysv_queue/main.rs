//! A System V message queue: types as selective receive.
//!
//! Each message has a type, a number, and a receiver may ask for one type alone. So a single queue can
//! serve many conversations: requests have a type that the server takes, and each reply has a type that
//! only its client asks for (here a big number plus the client's pid). With a POSIX queue every client
//! would need a queue of its own. (TLPI sections 46.2 and 46.8.)
//!
//! The queue has no name, only a key, a number that is made from a name here. The clients get the
//! identifier that the kernel gave the queue as an argument.
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
use std::process::ExitCode;

use ipc::process::{self, Process, Tracked, Tracker};
use ipc::queue::{Queue, SysvQueue};
use ipc::{Key, Wait};

mod client;
mod protocol;
#[path = "../story/mod.rs"]
mod story;

use protocol::{CAPACITY, MESSAGE_SIZE, PID, REPLIES};
use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("client", client::client)], server)
}

fn server() -> Result<(), Box<dyn Error>> {
    let key = Key::of_name(&format!("/{}", story::unique_name("requests")))?;
    let mut tracker = Tracker::start()?; // It destroys the queue if this process is killed.
    tracker.track(Tracked::SysvQueue(key))?;
    let queue = SysvQueue::create(key, CAPACITY, MESSAGE_SIZE)?;
    say!("is the server: it creates a queue with the id {}", queue.id())?;
    let start = |word: &str| {
        let client = Process::new("client").name("client").daemon(true);
        client.arg(queue.id().to_string()).arg(word).start()
    };
    let clients = [start("hello")?, start("queue")?, start("world")?];

    // All requests first, so that the replies can be put in against their order.
    let mut requests = Vec::new();
    for _ in &clients {
        // A client that has died never asks, and the queue does not report its death.
        requests.push(story::while_alive(&clients, |step| queue.get_timeout(step))?);
    }
    say!("has all requests, and replies to the last one first")?;
    for request in requests.iter().rev() {
        let pid = i32::from_ne_bytes(request[..PID].try_into()?);
        let word = String::from_utf8_lossy(&request[PID..]);
        let (reply, kind) = (word.to_uppercase(), REPLIES + pid);
        say!("puts the reply to {word:?} of client[{pid}] in, with the type {kind}")?;
        queue.send_type(reply.as_bytes(), kind, Wait::AtMost(story::LIMIT))?;
    }
    story::join_all(&clients)?;

    let status = queue.status()?;
    say!("finds {} messages left; the kernel recorded the last users:", status.messages)?;
    let pid = |pid: Option<i32>| pid.map_or("none".to_owned(), |pid| pid.to_string());
    say!(
        "sender {} (main), receiver {} (a client)",
        pid(status.last_sender),
        pid(status.last_receiver)
    )?;
    note!("\nNotice: three replies were in one queue, and each client took its own, by its type.")?;
    note!("Without types: a client would take the reply of another, or each would need a queue.")?;
    Ok(()) // Dropping the queue destroys it: it is its creator's.
}
