// check: pool.last_first
// mistake: `while let` keeps the lock of the receiver while the client is served
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
    while let Ok(client) = shared.receiver.lock().unwrap().recv() {
        let _ = panic::catch_unwind(AssertUnwindSafe(|| client.serve()));
    }
// lab:end
// lab:fill pool-finish
        *self.shared.sender.lock().unwrap() = None;
        for worker in self.workers {
            let _ = worker.join();
        }
// lab:end
