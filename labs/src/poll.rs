//! Waiting for descriptors, no longer than a duration.

use rustix::event::{PollFd, Timespec, poll};
use std::io;
use std::time::Duration;

/// Waits until one of `fds` is ready, at most for `timeout`; returns how many are.
pub(crate) fn poll_for(fds: &mut [PollFd<'_>], timeout: Duration) -> io::Result<usize> {
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    Ok(poll(fds, Some(&timeout))?)
}
