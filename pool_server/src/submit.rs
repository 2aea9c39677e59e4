//! Handing work in while refused clients wait for their refusal.

use crate::pool::Pool;
use server_core::Incoming;
use std::time::{Duration, Instant};

/// Queues `work` if a place becomes free in time, and meanwhile attends to refused clients.
///
/// # Errors
///
/// Returns the work if the time is over.
pub(crate) fn submit<T>(
    pool: &dyn Pool<T>,
    mut work: T,
    timeout: Duration,
    incoming: &mut Incoming,
) -> Result<(), T> {
    let end = Instant::now().checked_add(timeout);
    loop {
        let until = [incoming.visit_refused(), end].into_iter().flatten().min();
        let left = until.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        match pool.submit_within(work, left) {
            Err(back) if end.is_none_or(|end| Instant::now() < end) => work = back,
            outcome => return outcome,
        }
    }
}
