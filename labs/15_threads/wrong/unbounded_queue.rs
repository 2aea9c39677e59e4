// check: pool.bounded
// mistake: the queue takes whoever comes
// lab:fill pool-offer
        self.shared.queue.lock().unwrap().clients.push_back(client);
        self.shared.changed.notify_one();
        Ok(())
// lab:end
