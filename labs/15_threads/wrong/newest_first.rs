// check: pool.in_order
// mistake: the client who came last is taken first, as from a stack
// lab:fill pool-work
    while let Some(client) = next(shared) {
        let _ = panic::catch_unwind(AssertUnwindSafe(|| client.serve()));
    }

    fn next(shared: &Shared) -> Option<Client> {
        let mut queue = shared.queue.lock().unwrap();
        loop {
            if let Some(client) = queue.clients.pop_back() {
                return Some(client);
            }
            if queue.closed {
                return None;
            }
            queue = shared.bell.wait(queue).unwrap();
        }
    }
// lab:end
