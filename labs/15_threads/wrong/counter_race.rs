// check: stats.exact
// mistake: the number is read and written back in two steps; atomic numbers do not help against that
// lab:replace stats
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
// lab:with
        self.clients.store(self.clients() + 1, Ordering::SeqCst);
        self.bytes.store(self.bytes() + bytes, Ordering::SeqCst);
// lab:end
