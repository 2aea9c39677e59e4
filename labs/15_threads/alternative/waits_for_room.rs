// way: whoever is too many stays in the backlog: the offer waits for room; a semaphore of places; compare and exchange
// lab:fill thread-state
/// How many places are taken.
#[derive(Default)]
struct State {
    taken: Mutex<usize>,
    changed: Condvar,
}
// lab:end
// lab:fill thread-offer
        let limit = self.limit;
        let taken = self.state.taken.lock().unwrap();
        let mut taken = self.state.changed.wait_while(taken, |taken| *taken == limit).unwrap();
        *taken += 1;
        drop(taken);
        let state = self.state.clone();
        thread::spawn(move || {
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| client.serve()));
            *state.taken.lock().unwrap() -= 1;
            state.changed.notify_all();
        });
        Ok(())
// lab:end
// lab:fill thread-finish
        let taken = self.state.taken.lock().unwrap();
        drop(self.state.changed.wait_while(taken, |taken| *taken > 0).unwrap());
// lab:end
// lab:fill pool-shared
/// What the workers and the one who gives them clients have in common.
struct Shared {
    capacity: usize,
    /// None: no more will come.
    queue: Mutex<VecDeque<Option<Client>>>,
    filled: Condvar,
    emptied: Condvar,
}
// lab:end
// lab:fill pool-start
        let queue = Mutex::new(VecDeque::new());
        let (filled, emptied) = (Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { capacity, queue, filled, emptied });
        let workers = (0..workers)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || work(&shared))
            })
            .collect();
        Ok(Pool { shared, workers })
// lab:end
// lab:fill pool-offer
        let shared = &self.shared;
        let queue = shared.queue.lock().unwrap();
        let full = |queue: &mut VecDeque<_>| queue.len() >= shared.capacity;
        let mut queue = shared.emptied.wait_while(queue, full).unwrap();
        queue.push_back(Some(client));
        shared.filled.notify_one();
        Ok(())
// lab:end
// lab:fill pool-work
    loop {
        let queue = shared.queue.lock().unwrap();
        let mut queue = shared.filled.wait_while(queue, |queue| queue.is_empty()).unwrap();
        let client = queue.pop_front().flatten();
        drop(queue);
        shared.emptied.notify_one();
        match client {
            Some(client) => drop(panic::catch_unwind(AssertUnwindSafe(|| client.serve()))),
            None => break,
        }
    }
// lab:end
// lab:fill pool-finish
        // A last word for each, behind the last client.
        for _ in &self.workers {
            self.shared.queue.lock().unwrap().push_back(None);
            self.shared.filled.notify_one();
        }
        for worker in self.workers {
            let _ = worker.join();
        }
// lab:end
// lab:replace stats
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
// lab:with
        for (number, more) in [(&self.clients, 1), (&self.bytes, bytes)] {
            let mut seen = number.load(Ordering::Relaxed);
            while let Err(other) = number.compare_exchange(
                seen,
                seen + more,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                seen = other;
            }
        }
// lab:end
