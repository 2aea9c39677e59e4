// check: threads.panic
// mistake: the place is given back by a line that a panic never comes to
// lab:fill thread-offer
        let mut busy = self.state.busy.lock().unwrap();
        if *busy == self.limit {
            return Err(client);
        }
        *busy += 1;
        drop(busy);
        let state = self.state.clone();
        thread::spawn(move || {
            client.serve();
            *state.busy.lock().unwrap() -= 1;
            state.finished.notify_all();
        });
        Ok(())
// lab:end
