// check: pool.finishes
// mistake: at the end the workers do not look into the queue any more
// lab:fill pool-work
    while let Some(client) = next(shared) {
        let _ = panic::catch_unwind(AssertUnwindSafe(|| client.serve()));
    }

    fn next(shared: &Shared) -> Option<Client> {
        let mut queue = shared.queue.lock().unwrap();
        while !queue.closed {
            if let Some(client) = queue.clients.pop_front() {
                return Some(client);
            }
            queue = shared.changed.wait(queue).unwrap();
        }
        None
    }
// lab:end
