//! A thread for each client, and no more than so many at once.

use crate::client::Client;
use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// The threads of a server with one for each client.
pub struct Threads {
    limit: usize,
    state: Arc<State>,
}

// hole: thread-state
/// What the threads and the one that starts them have in common: how many there are, for example.
#[derive(Default)]
struct State {}

impl Threads {
    /// None yet; at most `limit` at once.
    pub fn start(limit: usize) -> Threads {
        Threads { limit, state: Arc::default() }
    }

    /// Starts a thread that serves this client, and does not wait for it. With `limit` threads at work, the client is
    /// given back, and will be told that there is no room. (To wait until there is room is right as well.)
    pub fn offer(&self, client: Client) -> Result<(), Client> {
        // hole: thread-offer
        // Who counts a thread that panics?
        todo!("a thread for this client, unless there are self.limit of them")
    }

    /// Waits until the last client has been served.
    pub fn finish(self) {
        // hole: thread-finish
        // The program ends when `main` returns. What happens to the other threads then?
        todo!("wait for the threads")
    }
}
