//! A pool: so many threads that serve one client after another, and a queue of so many clients that wait for them.

use crate::client::Client;
use crate::sync::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

/// Threads, and clients that wait for one.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

// hole: pool-shared
/// What the workers and the one who gives them clients have in common.
struct Shared {}

impl Pool {
    /// `workers` threads, which begin at once. Beside the clients that they serve, `capacity` may wait.
    pub fn start(workers: usize, capacity: usize) -> io::Result<Pool> {
        // hole: pool-start
        todo!("make what is shared, and start the workers: each is `work(&shared)`")
    }

    /// Gives this client to the pool, and does not wait until it is served. Where `capacity` clients wait already, it is
    /// given back, and will be told that there is no room. (To wait until there is room is right as well.)
    pub fn offer(&self, client: Client) -> Result<(), Client> {
        // hole: pool-offer
        // First the state, then the notification. Which of the two needs the lock?
        todo!("put the client into the queue, unless it is full, and wake a worker")
    }

    /// No more clients will come. Waits until those that are here, the waiting ones too, have been served.
    pub fn finish(self) {
        // hole: pool-finish
        // How do workers learn that they are to end, those that sleep too, and when do they?
        todo!("tell the workers, and wait for them")
    }
}

/// What a worker does: serves one client after another, until no more will come.
fn work(shared: &Shared) {
    // hole: pool-work
    // Who else needs the lock while you serve? And what does a panic in `client.serve()` end?
    todo!("take a client, serve it, and again")
}
