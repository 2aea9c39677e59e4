// check: pool.wakes
// mistake: only who comes to an empty queue has a worker woken; the second one waits beside workers that sleep
// lab:fill pool-offer
        let mut queue = self.shared.queue.lock().unwrap();
        if queue.clients.len() >= self.shared.capacity {
            return Err(client);
        }
        queue.clients.push_back(client);
        let first = queue.clients.len() == 1;
        drop(queue);
        if first {
            self.shared.bell.notify_one();
        }
        Ok(())
// lab:end
