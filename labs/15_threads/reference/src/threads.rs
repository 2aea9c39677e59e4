//! A thread for each client, and no more than so many at once.

// lab:canary bittern-15-threads
use crate::client::Client;
use crate::sync::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

/// The threads of a server with one for each client.
pub struct Threads {
    limit: usize,
    state: Arc<State>,
}

// lab:hole thread-state
/// What the threads and the one that starts them have in common.
#[derive(Default)]
struct State {
    busy: Mutex<usize>,
    finished: Condvar,
}

/// The right to run one thread. It is returned in whatever way its thread ends.
struct Permit(Arc<State>);

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.busy.lock().unwrap() -= 1;
        self.0.finished.notify_all();
    }
}
// lab:stub /// What the threads and the one that starts them have in common: how many there are, for example.
// lab:stub #[derive(Default)]
// lab:stub struct State {}
// lab:end

impl Threads {
    /// None yet; at most `limit` at once.
    pub fn start(limit: usize) -> Threads {
        Threads { limit, state: Arc::default() }
    }

    /// Starts a thread that serves this client, and does not wait for it. With `limit` threads at work, the client is
    /// returned, and will be refused. (To wait until there is room is right as well.)
    pub fn offer(&self, client: Client) -> Result<(), Client> {
        // lab:hole thread-offer
        let mut busy = self.state.busy.lock().unwrap();
        if *busy == self.limit {
            return Err(client);
        }
        *busy += 1;
        drop(busy);
        let permit = Permit(self.state.clone());
        // Not `thread::spawn`, which panics where the system has no thread left. Then the closure is dropped, and with
        // it the permit and the client.
        let started = thread::Builder::new().spawn(move || {
            let _permit = permit;
            client.serve();
        });
        if let Err(error) = started {
            eprintln!("no thread for a client: {error}");
        }
        Ok(())
        // lab:stub // Who counts a thread that panics?
        // lab:stub todo!("a thread for this client, unless there are self.limit of them")
        // lab:end
    }

    /// Waits until the last client has been served.
    pub fn finish(self) {
        // lab:hole thread-finish
        let mut busy = self.state.busy.lock().unwrap();
        while *busy > 0 {
            busy = self.state.finished.wait(busy).unwrap();
        }
        // lab:stub // The program ends when `main` returns. What happens to the other threads then?
        // lab:stub todo!("wait for the threads")
        // lab:end
    }
}
