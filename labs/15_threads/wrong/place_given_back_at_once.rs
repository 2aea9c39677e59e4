// check: threads.bounded
// mistake: the place is given back before the client is served
// lab:fill thread-offer
        let mut busy = self.state.busy.lock().unwrap();
        if *busy == self.limit {
            return Err(client);
        }
        *busy += 1;
        drop(busy);
        let permit = Permit(self.state.clone());
        thread::spawn(move || {
            let _ = permit;
            client.serve();
        });
        Ok(())
// lab:end
