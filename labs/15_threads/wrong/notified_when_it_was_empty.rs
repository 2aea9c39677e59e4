// check: pool.wakes
// mistake: only who comes to an empty queue has a worker woken; the second one waits beside workers that sleep
// lab:replace pool-offer
        drop(queue);
        self.shared.changed.notify_one();
// lab:with
        let first = queue.clients.len() == 1;
        drop(queue);
        if first {
            self.shared.changed.notify_one();
        }
// lab:end
