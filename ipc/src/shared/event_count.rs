//! Where one end of a ring sleeps until the other has done something.
//!
//! An event count: a waiter that finds nothing to do registers, looks once more, and sleeps; an end that has
//! done something notifies, which is a system call only if a waiter is registered. The two fences make "look once
//! more" and "is a waiter registered" see each other; without them both sides may read the old value, and
//! the waiter would miss its wake-up (Drepper, "Futexes are tricky", 2011).
//!
//! A notifier that is killed after it has taken the bit off, and before the futex call, leaves waiters asleep that later
//! notifiers do not see. Keeping the bit until after the call would cost the other senders of a ring a system call
//! each in that time. So the ends of a ring do not rely on it: they never sleep for longer than a tenth of a second.

use super::sync::{AtomicU32, Deadline, Ordering, fence, futex_wait, futex_wake};

/// A futex: twice the number of wake-ups, plus one if a waiter is registered.
///
/// The number is there for several waiters: a wake-up that one of them missed has changed the word, whoever
/// registered in between. All zero is its initial state.
#[repr(transparent)]
pub(crate) struct EventCount(AtomicU32);

impl EventCount {
    /// In memory that is not zero already.
    #[allow(dead_code)] // Shared memory begins as zero, so that only the loom models call this.
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Wakes all waiters. What was done before is seen by a waiter that looks after waking, or after registering.
    /// No system call if none is registered.
    #[inline]
    pub(crate) fn notify_all(&self) {
        fence(Ordering::SeqCst);
        let word = self.0.load(Ordering::Relaxed);
        if word & 1 != 0 {
            self.wake(word);
        }
    }

    #[cold]
    fn wake(&self, mut word: u32) {
        while word & 1 != 0 {
            let next = word.wrapping_add(1);
            match self.0.compare_exchange(word, next, Ordering::SeqCst, Ordering::Relaxed) {
                Ok(_) => return futex_wake(&self.0, i32::MAX),
                // Another has woken them in the meantime, and perhaps a later one is registered.
                Err(now) => word = now,
            }
        }
    }

    /// Registers a waiter, which must now look once more whether there is something to do, and then call
    /// either [`cancel_wait`](Self::cancel_wait) or [`wait`](Self::wait) with the key that this returns.
    pub(crate) fn prepare_wait(&self) -> u32 {
        let word = self.0.fetch_or(1, Ordering::SeqCst) | 1;
        fence(Ordering::SeqCst);
        word
    }

    /// Sleeps until the next notification, or for no reason; `true` if the deadline passed.
    pub(crate) fn wait(&self, key: u32, until: Option<&Deadline>) -> bool {
        futex_wait(&self.0, key, until)
    }

    /// Takes the registration back, which spares the other end a needless system call. Only where there
    /// is never more than one waiter: it would take back those of others too.
    pub(crate) fn cancel_wait(&self, key: u32) {
        let idle = key - 1;
        let _ = self.0.compare_exchange(key, idle, Ordering::Relaxed, Ordering::Relaxed);
    }
}
