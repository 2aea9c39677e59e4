//! The end that puts messages in.

use std::sync::Arc;
use std::time::Duration;

use super::algorithm::{Algorithm, Parts, Single};
use super::waiting::{LOOKS, WaitStrategy, Waiting};
use crate::error::{Error, Result};

/// The end of a ring that puts messages in. When the last one is dropped, the receiver learns that no more come.
pub struct Sender<A: Algorithm = Single> {
    pub(super) writer: A::Writer,
    pub(super) parts: Parts<A>,
    pub(super) number: usize,
}

impl<A: Algorithm> Sender<A> {
    /// Puts a message in, and waits for room.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] for a message that is too long; [`Error::Closed`] if the receiver has gone, or
    /// has died and there is no room. A receiver that is yet to come is waited for.
    #[inline]
    pub fn put(&mut self, message: &[u8]) -> Result<()> {
        self.look_and_put(message, None)
    }

    /// As [`put`](Self::put), but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and those of [`put`](Self::put).
    #[inline]
    pub fn put_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<()> {
        self.look_and_put(message, Some(timeout))
    }

    /// Puts a message in, if there is room now.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and those of [`put`](Self::put).
    #[inline]
    pub fn try_put(&mut self, message: &[u8]) -> Result<()> {
        match self.offer(message)? {
            true => Ok(()),
            false => Err(self.parts.would_block()),
        }
    }

    #[inline]
    fn look_and_put(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        for _ in 0..LOOKS {
            if self.offer(message)? {
                return Ok(());
            }
            self.parts.wait.between_looks();
        }
        self.wait_and_put(message, timeout)
    }

    #[inline]
    fn offer(&mut self, message: &[u8]) -> Result<bool> {
        if message.len() > self.parts.longest {
            return Err(self.too_long(message));
        }
        if self.parts.ends.receiver_left() {
            return Err(self.parts.closed());
        }
        let put = A::put(&mut self.writer, &self.parts, message)?;
        if put {
            self.notify();
        }
        Ok(put)
    }

    /// Wakes the receiver.
    #[inline]
    pub(super) fn notify(&self) {
        if self.parts.wait == WaitStrategy::Sleep {
            self.parts.ends.not_empty.0.notify_all();
        }
    }

    #[cold]
    pub(super) fn too_long(&self, message: &[u8]) -> Error {
        Error::OutOfRange {
            object: self.parts.memory().name().to_owned(),
            quantity: "message length in bytes",
            given: message.len() as u64,
            least: 0,
            most: self.parts.longest as u64,
        }
    }

    #[cold]
    fn wait_and_put(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<()> {
        let memory = &Arc::clone(self.parts.memory());
        let (ends, wait) = (self.parts.ends.clone(), self.parts.wait);
        let (event, alone) = (&ends.not_full.0, !ends.has_many_senders());
        let waiting = Waiting { memory, wait, event, alone, timeout };
        waiting.until(self, |sender| sender.offer(message), |_| ends.receiver_absent())
    }
}

impl<A: Algorithm> Drop for Sender<A> {
    fn drop(&mut self) {
        self.parts.ends.release_sender(self.number);
    }
}
