//! The words of an event, and what is done with them.

use super::sync::{AtomicU32, Deadline, Ordering, fence, futex_wait, futex_wake};

/// All zero is its initial state: clear, and nobody waits.
#[repr(C)]
pub(crate) struct Flag {
    /// How often it has changed between clear and set. So odd is set, and a waiter that finds any other value than
    /// the even one that it went to sleep with knows that a `set` has come.
    changes: AtomicU32,
    /// How many sleep, or are about to. A waiter that was killed stays counted, which costs a needless system
    /// call at each `set`, and nothing else.
    waiters: AtomicU32,
}

impl Flag {
    /// In memory that is not zero already.
    #[allow(dead_code)] // Shared memory begins as zero, so that only the loom models call this.
    pub(crate) fn new() -> Self {
        Self { changes: AtomicU32::new(0), waiters: AtomicU32::new(0) }
    }

    pub(crate) fn set(&self) {
        // An addition would make set clear; a plain write could undo another's change. Even if it is set
        // already this writes, so that what was done before is seen by later waiters.
        if self.changes.fetch_or(1, Ordering::AcqRel) & 1 != 0 {
            return;
        }
        // With the one in `wait`: either this sees the waiter counted, or the waiter sees the flag.
        fence(Ordering::SeqCst);
        if self.waiters.load(Ordering::Relaxed) != 0 {
            futex_wake(&self.changes, i32::MAX);
        }
    }

    pub(crate) fn clear(&self) {
        let mut now = self.changes.load(Ordering::Relaxed);
        while now & 1 != 0 {
            let next = now.wrapping_add(1);
            match self.changes.compare_exchange(now, next, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(changed) => now = changed,
            }
        }
    }

    pub(crate) fn is_set(&self) -> bool {
        self.changes.load(Ordering::Acquire) & 1 != 0
    }

    /// Waits until it is set; `false` if the deadline passed before.
    pub(crate) fn wait(&self, until: Option<&Deadline>) -> bool {
        let before = self.changes.load(Ordering::Acquire);
        if before & 1 != 0 {
            return true;
        }
        self.waiters.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let mut passed = false;
        let set = loop {
            if self.changes.load(Ordering::Acquire) != before {
                break true;
            }
            if passed {
                break false;
            }
            passed = futex_wait(&self.changes, before, until);
        };
        self.waiters.fetch_sub(1, Ordering::Relaxed);
        set
    }
}
