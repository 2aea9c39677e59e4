// check: threads.bounded
// mistake: a thread for every client, however many come
// lab:fill thread-offer
        *self.state.busy.lock().unwrap() += 1;
        let permit = Permit(self.state.clone());
        thread::spawn(move || {
            let _permit = permit;
            client.serve();
        });
        Ok(())
// lab:end
