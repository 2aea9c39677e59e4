//! Where one side sleeps until the other has done something.
//!
//! An event count: whoever finds nothing to do announces itself, looks once more, and sleeps; whoever has
//! done something rings, which is a system call only if somebody is announced. The two fences are what makes
//! "look once more" and "is somebody announced" see each other; without them both sides may read the
//! old value, and the sleeper would miss its wake-up (Drepper, "Futexes are tricky", 2011).

use super::sync::{AtomicU32, Deadline, Ordering, fence, futex_wait, futex_wake};

/// The word that sleepers sleep on: twice the number of wake-ups, plus one if somebody is announced.
///
/// The number is there for several sleepers: a wake-up that one of them missed has changed the word, whoever
/// announced itself in between. All zero is its initial state.
#[repr(transparent)]
pub struct Bell(AtomicU32);

impl Bell {
    /// In memory that is not zero already.
    #[allow(dead_code)] // Shared memory is; the models are not.
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Wakes all who sleep. What was done before is seen by whoever looks after waking, or after announcing
    /// itself. No system call if nobody is announced.
    #[inline]
    pub fn ring(&self) {
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
                // Another has woken them in the meantime, and perhaps a later one is announced.
                Err(now) => word = now,
            }
        }
    }

    /// Announces a sleeper, who must now look once more whether there is something to do, and then either
    /// [`leave`](Self::leave) or [`sleep`](Self::sleep) with what this returned.
    pub fn announce(&self) -> u32 {
        let word = self.0.fetch_or(1, Ordering::SeqCst) | 1;
        fence(Ordering::SeqCst);
        word
    }

    /// Sleeps until the next ring, or for no reason; `true` if the deadline passed.
    pub fn sleep(&self, announced: u32, until: Option<&Deadline>) -> bool {
        futex_wait(&self.0, announced, until)
    }

    /// Takes the announcement back, which spares the other side a needless system call. Only where there
    /// is never more than one sleeper: it would take back those of others too.
    pub fn leave(&self, announced: u32) {
        let awake = announced - 1;
        let _ = self.0.compare_exchange(announced, awake, Ordering::Relaxed, Ordering::Relaxed);
    }
}
