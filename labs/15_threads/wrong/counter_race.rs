// check: stats.exact
// mistake: the number is read and written back in two steps; atomic numbers do not help against that
// lab:fill stats
/// How many clients were served to their end, and how many bytes they were sent.
#[derive(Default)]
pub struct Stats {
    clients: AtomicU64,
    bytes: AtomicU64,
}

impl Stats {
    /// How many clients.
    pub fn clients(&self) -> u64 {
        self.clients.load(Ordering::SeqCst)
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    fn count(&self, bytes: u64) {
        self.clients.store(self.clients() + 1, Ordering::SeqCst);
        self.bytes.store(self.bytes() + bytes, Ordering::SeqCst);
    }
}
// lab:end
