// way: a channel with a limit, the handles of the threads, a lock around the numbers, parts that are taken as they come
// lab:fill thread-state
/// The threads that have been started, and have not been seen to have ended.
#[derive(Default)]
struct State(Mutex<Vec<JoinHandle<()>>>);
// lab:end
// lab:fill thread-offer
        let mut threads = self.state.0.lock().unwrap();
        threads.retain(|thread| !thread.is_finished());
        if threads.len() >= self.limit {
            return Err(client);
        }
        threads.push(thread::spawn(move || client.serve()));
        Ok(())
// lab:end
// lab:fill thread-finish
        let threads = std::mem::take(&mut *self.state.0.lock().unwrap());
        for thread in threads {
            let _ = thread.join();
        }
// lab:end
// lab:fill pool-shared
/// What the workers and the one who gives them clients have in common.
struct Shared {
    sender: Mutex<Option<mpsc::SyncSender<Client>>>,
    receiver: Mutex<mpsc::Receiver<Client>>,
}
// lab:end
// lab:fill pool-start
        let (sender, receiver) = mpsc::sync_channel(capacity);
        let shared =
            Arc::new(Shared { sender: Mutex::new(Some(sender)), receiver: Mutex::new(receiver) });
        let workers = (0..workers)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || work(&shared))
            })
            .collect();
        Ok(Pool { shared, workers })
// lab:end
// lab:fill pool-offer
        let sender = self.shared.sender.lock().unwrap();
        sender.as_ref().unwrap().try_send(client).map_err(|error| match error {
            mpsc::TrySendError::Full(client) | mpsc::TrySendError::Disconnected(client) => client,
        })
// lab:end
// lab:fill pool-work
    loop {
        // The guard is dropped at the end of this statement.
        let client = shared.receiver.lock().unwrap().recv();
        let Ok(client) = client else { break };
        let _ = panic::catch_unwind(AssertUnwindSafe(|| client.serve()));
    }
// lab:end
// lab:fill pool-finish
        *self.shared.sender.lock().unwrap() = None;
        for worker in self.workers {
            let _ = worker.join();
        }
// lab:end
// lab:fill stats
/// How many clients were served to their end, and how many bytes they were sent.
#[derive(Default)]
pub struct Stats(Mutex<(u64, u64)>);

impl Stats {
    /// How many clients.
    pub fn clients(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.0.lock().unwrap().1
    }

    fn count(&self, bytes: u64) {
        let mut numbers = self.0.lock().unwrap();
        numbers.0 += 1;
        numbers.1 += bytes;
    }
}
// lab:end
// lab:fill split
    use std::sync::atomic::{AtomicU64, Ordering};
    let length = range.end.saturating_sub(range.start);
    let piece = (length / (8 * threads)).max(1);
    let next = AtomicU64::new(range.start);
    let some = || {
        let mut sum = 0;
        loop {
            let from = next.fetch_add(piece, Ordering::Relaxed);
            if from >= range.end {
                return sum;
            }
            sum += work(from..(from + piece).min(range.end));
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(some)).collect();
        some() + others.into_iter().map(|other| other.join().unwrap()).sum::<u64>()
    })
// lab:end
