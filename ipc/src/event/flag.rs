//! The word of an event, and what is done with it.
//!
//! A process may be killed after each step. So the bit for "a waiter sleeps" lies in the same word as the flag, and is
//! taken off only after the waiters were woken: a `set` that was killed before that leaves both bits, and the next
//! caller that finds them wakes the waiters in its place. (A count of waiters next to the flag would not do: a
//! waiter that was killed would stay in it.)

use super::sync::{AtomicU32, Deadline, Ordering, futex_wait, futex_wake};

/// Two bits, and above them the number of times that the flag was cleared: a waiter that finds another number than the one
/// that it went to sleep with knows that a `set` has come. All zero is its initial state.
#[repr(transparent)]
pub(crate) struct Flag(AtomicU32);

const SET: u32 = 1;
/// A waiter sleeps, or is about to: it comes on only while the flag is clear. Or one that sleeps was released by a `set`
/// that was killed.
const SLEEPERS: u32 = 2;
/// The lowest bit of the number.
const CLEARED: u32 = 4;

impl Flag {
    /// In memory that is not zero already.
    #[allow(dead_code)] // Shared memory begins as zero, so that only the loom models call this.
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub(crate) fn set(&self) {
        // Even if it is set already this writes, so that what was done before is seen by later waiters.
        self.0.fetch_or(SET, Ordering::AcqRel);
        // Not the value that the instruction returns: on x86-64 it would become a loop. So it may have been cleared again,
        // and whose the bit is cannot be known.
        let word = self.0.load(Ordering::Acquire);
        if word & SLEEPERS != 0 {
            self.wake(word);
        }
    }

    pub(crate) fn clear(&self) {
        let mut now = self.0.load(Ordering::Relaxed);
        while now & SET != 0 {
            // A `set` that has not woken its waiters leaves its bit, now to the next `set`.
            let next = (now & !SET).wrapping_add(CLEARED);
            match self.0.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => now = changed,
            }
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.look() & SET != 0
    }

    /// Waits until it is set; `false` if the deadline passed before.
    pub(crate) fn wait(&self, until: Option<&Deadline>) -> bool {
        let first = self.look();
        let (mut now, mut passed) = (first, false);
        while now & SET == 0 && now / CLEARED == first / CLEARED {
            if passed {
                return false;
            }
            let asleep = now | SLEEPERS;
            let registered = now == asleep
                || self
                    .0
                    .compare_exchange(now, asleep, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            if registered {
                passed = futex_wait(&self.0, asleep, until);
            }
            // One that was woken need not wake the others: the same call has woken them.
            now = if passed { self.look() } else { self.0.load(Ordering::Acquire) };
        }
        true
    }

    /// Reads the word, and finishes a `set` that has not woken its waiters: it is about to, or was killed.
    #[inline]
    fn look(&self) -> u32 {
        let word = self.0.load(Ordering::Acquire);
        if word & (SET | SLEEPERS) == SET | SLEEPERS {
            self.wake(word);
        }
        word
    }

    #[cold]
    fn wake(&self, word: u32) {
        futex_wake(&self.0, i32::MAX);
        // After the call, see the top of this file. While the flag is set no waiter comes, so the bit is still that of those
        // that were woken, unless the word has changed.
        if word & SET != 0 {
            let awake = word & !SLEEPERS;
            let _ = self.0.compare_exchange(word, awake, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}
