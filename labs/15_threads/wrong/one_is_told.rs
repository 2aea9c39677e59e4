// check: pool.ends
// mistake: one worker is told that the end has come, and the others sleep on
// lab:fill pool-finish
        self.shared.queue.lock().unwrap().closed = true;
        self.shared.bell.notify_one();
        for worker in self.workers {
            let _ = worker.join();
        }
// lab:end
