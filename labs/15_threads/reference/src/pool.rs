//! A pool: so many threads that serve one client after another, and a queue of so many clients that wait for them.

// lab:canary bittern-15-pool
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

// lab:hole pool-shared
/// What the workers share with the thread that accepts.
struct Shared {
    capacity: usize,
    queue: Mutex<Queue>,
    /// Notified when the queue has changed.
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    clients: VecDeque<Client>,
    closed: bool,
}
// lab:stub /// What the workers share with the thread that accepts.
// lab:stub struct Shared {}
// lab:end

impl Pool {
    /// `workers` threads, which begin at once. Beside the clients that they serve, `capacity` may wait.
    pub fn start(workers: usize, capacity: usize) -> io::Result<Pool> {
        // lab:hole pool-start
        let (queue, changed) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { capacity, queue, changed });
        let start = |n| {
            let shared = shared.clone();
            thread::Builder::new().name(format!("worker-{n}")).spawn(move || work(&shared))
        };
        let workers = (0..workers).map(start).collect::<io::Result<_>>()?;
        Ok(Pool { shared, workers })
        // lab:stub todo!("make what is shared, and start the workers: each is `work(&shared)`")
        // lab:end
    }

    /// Hands this client to the pool, and does not wait until it is served. Where `capacity` clients wait already, it is
    /// returned, and will be refused. (To wait until there is room is right as well.)
    pub fn offer(&self, client: Client) -> Result<(), Client> {
        // lab:hole pool-offer
        let mut queue = self.shared.queue.lock().unwrap();
        if queue.clients.len() >= self.shared.capacity {
            return Err(client);
        }
        queue.clients.push_back(client);
        drop(queue);
        self.shared.changed.notify_one();
        Ok(())
        // lab:stub // First the state, then the notification. Which of the two needs the lock?
        // lab:stub todo!("put the client into the queue, unless it is full, and wake a worker")
        // lab:end
    }

    /// No more clients will come. Waits until those that are here, the waiting ones too, have been served.
    pub fn finish(self) {
        // lab:hole pool-finish
        self.shared.queue.lock().unwrap().closed = true;
        self.shared.changed.notify_all();
        for worker in self.workers {
            let _ = worker.join();
        }
        // lab:stub // How do workers learn that they are to end, those that sleep too, and when do they?
        // lab:stub todo!("tell the workers, and wait for them")
        // lab:end
    }
}

/// What a worker does: serves one client after another, until no more will come.
fn work(shared: &Shared) {
    // lab:hole pool-work
    while let Some(client) = next(shared) {
        // A panic is the end of this client, and not of the worker.
        if panic::catch_unwind(AssertUnwindSafe(|| client.serve())).is_err() {
            eprintln!("a client was lost to a panic");
        }
    }

    /// Waits for a client. None: no more will come.
    fn next(shared: &Shared) -> Option<Client> {
        let mut queue = shared.queue.lock().unwrap();
        loop {
            if let Some(client) = queue.clients.pop_front() {
                return Some(client);
            }
            if queue.closed {
                return None;
            }
            queue = shared.changed.wait(queue).unwrap();
        }
    }
    // lab:stub // Who else needs the lock while you serve? And what does a panic in `client.serve()` end?
    // lab:stub todo!("take a client, serve it, and again")
    // lab:end
}
