//! What the server has done. All threads count in here.

use crate::client::Client;
use crate::sync::{AtomicU64, Mutex};
use std::sync::atomic::Ordering;

// hole: stats
/// How many clients were served to their end, and how many bytes they were sent.
#[derive(Default)]
pub struct Stats {}

impl Stats {
    /// How many clients.
    pub fn clients(&self) -> u64 {
        todo!("how many clients")
    }

    /// How many bytes.
    pub fn bytes(&self) -> u64 {
        todo!("how many bytes")
    }

    fn count(&self, bytes: u64) {
        todo!("one client more, and so many bytes")
    }
}

/// What a thread does for one client: has the conversation, which gives how many bytes were sent, and counts it.
pub fn serve(client: &Client, stats: &Stats) {
    // hole: serve-and-count
    todo!("client.converse(), and then the count")
}
