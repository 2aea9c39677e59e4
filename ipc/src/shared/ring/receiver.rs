//! The end that takes messages out.

use std::sync::Arc;
use std::time::Duration;

use super::algorithm::{Algorithm, Many, Parts, Single};
use super::base::Got;
use super::waiting::{LOOKS, WaitStrategy, Waiting};
use crate::error::{Error, Result};

/// The end of a ring that takes messages out. When it is dropped, senders learn that no more are wanted.
pub struct Receiver<A: Algorithm = Single> {
    pub(super) reader: A::Reader,
    pub(super) parts: Parts<A>,
    pub(super) torn: u64,
}

impl<A: Algorithm> Receiver<A> {
    /// Takes the next message out, replacing what `into` held, and waits for one. Torn messages are passed over.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if there is none, there have been senders, and all have gone or died. Where senders
    /// come one after the other, this can be before the last has come: then call again, or keep a
    /// sender until all are there. [`Error::Unusable`] if the ring has been spoilt.
    #[inline]
    pub fn get(&mut self, into: &mut Vec<u8>) -> Result<()> {
        self.look_and_get(into, None)
    }

    /// As [`get`](Self::get), but not longer than `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and those of [`get`](Self::get).
    #[inline]
    pub fn get_timeout(&mut self, into: &mut Vec<u8>, timeout: Duration) -> Result<()> {
        self.look_and_get(into, Some(timeout))
    }

    /// Takes the next message out, if there is one now.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`], and those of [`get`](Self::get).
    #[inline]
    pub fn try_get(&mut self, into: &mut Vec<u8>) -> Result<()> {
        if self.take(into)? {
            return Ok(());
        }
        // What the senders put before they went is there by now.
        let absent = self.parts.ends.senders_absent();
        self.skip_unfinished();
        match self.take(into)? {
            true => Ok(()),
            false if absent => Err(self.parts.closed()),
            false => Err(self.parts.would_block()),
        }
    }

    #[inline]
    fn look_and_get(&mut self, into: &mut Vec<u8>, timeout: Option<Duration>) -> Result<()> {
        for _ in 0..LOOKS {
            if self.take(into)? {
                return Ok(());
            }
            self.parts.wait.between_looks();
        }
        self.wait_and_get(into, timeout)
    }

    /// Whether `into` has a message now.
    #[inline]
    fn take(&mut self, into: &mut Vec<u8>) -> Result<bool> {
        loop {
            let got = A::get(&mut self.reader, &self.parts, into);
            if matches!(got, Got::Message | Got::Torn) {
                self.notify();
            }
            match got {
                Got::Message => return Ok(true),
                Got::Torn => self.torn += 1,
                Got::Nothing => return Ok(false),
                Got::Broken => return Err(self.broken()),
            }
        }
    }

    /// Wakes senders.
    #[inline]
    fn notify(&self) {
        if self.parts.wait == WaitStrategy::Sleep {
            self.parts.ends.not_full.0.notify_all();
        }
    }

    /// Passes over what dead senders have not finished.
    #[cold]
    fn skip_unfinished(&mut self) {
        while A::skip_unfinished(&mut self.reader, &self.parts) {
            self.torn += 1;
            self.parts.ends.not_full.0.notify_all();
        }
    }

    #[cold]
    fn broken(&self) -> Error {
        self.parts.memory().unusable("what is in the ring was not put there by its sender")
    }

    #[cold]
    fn wait_and_get(&mut self, into: &mut Vec<u8>, timeout: Option<Duration>) -> Result<()> {
        let memory = &Arc::clone(self.parts.memory());
        let (ends, wait) = (self.parts.ends.clone(), self.parts.wait);
        let waiting = Waiting { memory, wait, event: &ends.not_empty.0, alone: true, timeout };
        let step = |receiver: &mut Self| {
            // In this order: what was put before is there by now.
            let left = ends.senders_left();
            match receiver.take(into)? {
                false if left => Err(receiver.parts.closed()),
                taken => Ok(taken),
            }
        };
        waiting.until(self, step, |receiver| {
            let absent = ends.senders_absent();
            receiver.skip_unfinished();
            absent
        })
    }
}

impl Receiver<Many> {
    /// How many messages were not delivered, since their sender died over them or their bytes were not those
    /// that it had put.
    #[must_use]
    pub fn torn(&self) -> u64 {
        self.torn
    }
}

impl<A: Algorithm> Drop for Receiver<A> {
    fn drop(&mut self) {
        self.parts.ends.release_receiver();
    }
}
