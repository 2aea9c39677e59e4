// check: pool.panic
// mistake: a panic in a conversation ends the worker, and nobody takes its place
// lab:fill pool-work
    while let Some(client) = next(shared) {
        client.serve();
    }

    fn next(shared: &Shared) -> Option<Client> {
        let mut queue = shared.queue.lock().unwrap();
        loop {
            if let Some(client) = queue.clients.pop_front() {
                return Some(client);
            }
            if queue.closed {
                return None;
            }
            queue = shared.bell.wait(queue).unwrap();
        }
    }
// lab:end
