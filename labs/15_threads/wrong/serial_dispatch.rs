// check: threads.last_first
// mistake: each thread is joined as soon as it was started, so there is one client at a time
// lab:fill thread-offer
        let _ = thread::spawn(move || client.serve()).join();
        Ok(())
// lab:end
