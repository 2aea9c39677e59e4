// check: threads.last_first
// mistake: the lock of the statistics is held during the conversation, so one slow client holds up all
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
}
// lab:end
// lab:fill serve-and-count
    let mut numbers = stats.0.lock().unwrap_or_else(|poison| poison.into_inner());
    numbers.1 += serve();
    numbers.0 += 1;
// lab:end
