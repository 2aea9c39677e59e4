//! Timeouts for poll(2) and its like.

use rustix::event::Timespec;
use std::time::Instant;

/// Returns how long a call may wait for `deadline`, zero if it has passed. A deadline beyond what the kernel
/// can count is `None`, as is no deadline: the call waits without end.
pub fn timeout_until(deadline: impl Into<Option<Instant>>) -> Option<Timespec> {
    let left = deadline.into()?.saturating_duration_since(Instant::now());
    Timespec::try_from(left).ok()
}
