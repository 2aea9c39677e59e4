// check: pool.wakes
// mistake: the notification comes before the client is in the queue
// lab:fill pool-offer
        if self.shared.queue.lock().unwrap().clients.len() >= self.shared.capacity {
            return Err(client);
        }
        self.shared.changed.notify_one();
        self.shared.queue.lock().unwrap().clients.push_back(client);
        Ok(())
// lab:end
