// check: threads.bounded
// mistake: a thread for every client, however many come
// lab:fill thread-offer
        *self.state.busy.lock().unwrap() += 1;
        let place = Place(self.state.clone());
        thread::spawn(move || {
            let _place = place;
            client.serve();
        });
        Ok(())
// lab:end
