// way: a worker that panics is replaced by a new one; workers end by a watch over them; the numbers go through one lock
// lab:fill pool-shared
/// What the workers and the one who gives them clients have in common.
struct Shared {
    capacity: usize,
    queue: Mutex<Queue>,
    changed: Condvar,
    gone: Condvar,
}

#[derive(Default)]
struct Queue {
    clients: VecDeque<Client>,
    alive: usize,
    closed: bool,
}

/// A worker that is alive. If it ends by a panic, another one begins.
struct Watch(Arc<Shared>);

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            let watch = Watch(self.0.clone());
            if thread::Builder::new().spawn(move || work(&watch.0)).is_ok() {
                return;
            }
        }
        self.0.queue.lock().unwrap().alive -= 1;
        self.0.gone.notify_all();
    }
}
// lab:end
// lab:fill pool-start
        let queue = Mutex::new(Queue { alive: workers, ..Queue::default() });
        let (changed, gone) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { capacity, queue, changed, gone });
        for _ in 0..workers {
            let watch = Watch(shared.clone());
            thread::Builder::new().spawn(move || work(&watch.0))?;
        }
        Ok(Pool { shared, workers: Vec::new() })
// lab:end
// lab:fill pool-finish
        let mut queue = self.shared.queue.lock().unwrap();
        queue.closed = true;
        self.shared.changed.notify_all();
        while queue.alive > 0 {
            queue = self.shared.gone.wait(queue).unwrap();
        }
// lab:end
// lab:fill pool-work
    loop {
        let mut queue = shared.queue.lock().unwrap();
        while queue.clients.is_empty() && !queue.closed {
            queue = shared.changed.wait(queue).unwrap();
        }
        let Some(client) = queue.clients.pop_front() else { break };
        drop(queue);
        client.serve();
    }
// lab:end
