//! A descriptor by which other threads wake an event loop.

use rustix::event::{EventfdFlags, eventfd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Wakes a loop wherever it waits: an eventfd (eventfd(2)), readable once it has been woken. A clone wakes
/// the same loop.
#[derive(Clone, Debug)]
pub struct Waker(Arc<OwnedFd>);

impl Waker {
    /// Creates a waker whose descriptor never blocks.
    ///
    /// # Errors
    ///
    /// The system refuses a descriptor.
    pub fn new() -> io::Result<Waker> {
        Waker::with(EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
    }

    /// Creates a waker whose descriptor blocks a read until [`Waker::wake`], for a loop that hands the read
    /// to the kernel.
    ///
    /// # Errors
    ///
    /// The system refuses a descriptor.
    pub fn blocking() -> io::Result<Waker> {
        Waker::with(EventfdFlags::CLOEXEC)
    }

    fn with(flags: EventfdFlags) -> io::Result<Waker> {
        Ok(Waker(Arc::new(eventfd(0, flags)?)))
    }

    /// Makes the descriptor readable.
    pub fn wake(&self) {
        // Fails after 2^64 calls that nobody has read.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes the descriptor unreadable again. The caller looks for what it was woken for after this.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
