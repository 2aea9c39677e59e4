// check: stats.exact
// mistake: one lock to read the number, and another time to write it
// lab:fill stats
/// How many clients were served to their end, and how many bytes they were sent.
#[derive(Default)]
pub struct Stats(Mutex<(u64, u64)>);

impl Stats {
    /// How many clients.
    pub fn clients(&self) -> u64 {
        self.0.lock().unwrap().0
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.0.lock().unwrap().1
    }

    fn count(&self, bytes: u64) {
        let (clients, sum) = (self.clients(), self.bytes());
        *self.0.lock().unwrap() = (clients + 1, sum + bytes);
    }
}
// lab:end
