//! What the server has done. All threads count in here.

// lab:canary bittern-15-stats
use crate::sync::{AtomicU64, Mutex};
use std::sync::atomic::Ordering;

// lab:hole stats
/// How many clients were served to their end, and how many bytes they were sent.
#[derive(Default)]
pub struct Stats {
    clients: AtomicU64,
    bytes: AtomicU64,
}

impl Stats {
    /// How many clients.
    pub fn clients(&self) -> u64 {
        self.clients.load(Ordering::Relaxed)
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn count(&self, bytes: u64) {
        self.clients.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}
// lab:stub /// How many clients were served to their end, and how many bytes they were sent.
// lab:stub #[derive(Default)]
// lab:stub pub struct Stats {}
// lab:stub
// lab:stub impl Stats {
// lab:stub     /// How many clients.
// lab:stub     pub fn clients(&self) -> u64 {
// lab:stub         todo!("how many clients")
// lab:stub     }
// lab:stub
// lab:stub     /// How many bytes.
// lab:stub     pub fn bytes(&self) -> u64 {
// lab:stub         todo!("how many bytes")
// lab:stub     }
// lab:stub
// lab:stub     fn count(&self, bytes: u64) {
// lab:stub         todo!("one client more, and so many bytes")
// lab:stub     }
// lab:stub }
// lab:end

/// Serves one client by `serve`, which returns how many bytes were sent, and counts them.
pub fn serve_and_count(serve: impl FnOnce() -> u64, stats: &Stats) {
    // lab:hole serve-and-count
    let sent = serve();
    stats.count(sent);
    // lab:stub todo!("call serve(), then count")
    // lab:end
}
