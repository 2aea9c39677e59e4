// check: pool.spurious
// mistake: after the wait the condition is not asked again: `if` where `while` is needed
// lab:fill pool-work
    while let Some(client) = next(shared) {
        let _ = panic::catch_unwind(AssertUnwindSafe(|| client.serve()));
    }

    fn next(shared: &Shared) -> Option<Client> {
        let mut queue = shared.queue.lock().unwrap();
        if queue.clients.is_empty() && !queue.closed {
            queue = shared.changed.wait(queue).unwrap();
        }
        queue.clients.pop_front()
    }
// lab:end
