//! The condition.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::mutex::Guard;
use crate::error::Result;
use crate::shared::sync::{futex_wait, futex_wake};
use crate::shared::{Cell, Location, Memory, Part, Scalar, Shared};
use crate::sys::Deadline;

/// Waiting, with a [`Mutex`](super::Mutex), until what it protects has changed.
///
/// A counter in shared memory on which waiters sleep. Not a `pthread_cond_t`: that of the GNU C library may
/// block its users for ever when a waiter is killed (glibc bug 21422), and this one does not. Its clock does not jump.
///
/// ```
/// use ipc::lock::{Condition, Mutex};
///
/// let pid = std::process::id();
/// let basket = Mutex::<u32>::create(format!("/doc-basket-{pid}"), 1)?;
/// let filled = Condition::create(format!("/doc-filled-{pid}"))?;
/// # let (same, same_filled) = (
/// #     Mutex::<u32>::open(basket.memory().address())?,
/// #     Condition::open(filled.memory().address())?,
/// # );
/// # let other = std::thread::spawn(move || -> ipc::Result<()> {
/// // In another process:
/// same.lock()?[0].set(1);
/// same_filled.notify_one();
/// # Ok(())
/// # });
///
/// let basket = filled.wait_while(basket.lock()?, |basket| basket[0].get() == 0)?;
/// assert_eq!(basket[0].get(), 1);
/// # other.join().unwrap()?;
/// # Ok::<(), ipc::Error>(())
/// ```
pub struct Condition(Part<State>);

const HOLDS: &str = "condition";

/// What lies in shared memory.
#[repr(C)]
struct State {
    /// How many notifications there have been. The waiters sleep on it.
    notified: AtomicU32,
    /// How many wait: a notifier calls the kernel only if there are any. A waiter that is killed stays counted, which costs
    /// each later notification a system call and nothing else.
    waiting: AtomicU32,
}

// SAFETY: atomics only, any bits.
unsafe impl Shared for State {}

impl Condition {
    /// Makes a condition.
    ///
    /// # Errors
    ///
    /// As for [`Value::create`](crate::shared::Value::create).
    pub fn create(location: impl Into<Location>) -> Result<Self> {
        let size = size_of::<State>() as u64;
        let memory = Memory::create(location.into(), HOLDS, size, [0; 3], |_| Ok(()))?;
        Ok(Self(memory.part(Memory::CONTENT)?))
    }

    /// Opens a condition that another process made.
    ///
    /// # Errors
    ///
    /// As for [`Value::open`](crate::shared::Value::open).
    pub fn open(location: impl Into<Location>) -> Result<Self> {
        let (memory, _) = Memory::open(location.into(), HOLDS)?;
        Ok(Self(memory.part(Memory::CONTENT)?))
    }

    /// Unlocks, waits for a notification, and locks again. It may return for no reason, so look again: say
    /// [`wait_while`](Self::wait_while).
    ///
    /// A guard that was [recovered](Guard::recovered) must be marked consistent before.
    ///
    /// # Errors
    ///
    /// Those of [`Mutex::lock`](super::Mutex::lock). The guard may be a recovered one: its last holder may have died
    /// while this one waited.
    pub fn wait<'a, T: Scalar>(&self, guard: Guard<'a, T>) -> Result<Guard<'a, T>> {
        self.wait_until(guard, None).map(|(guard, _)| guard)
    }

    /// As [`wait`](Self::wait), but not longer than `timeout`, apart from the time that it takes to lock again.
    /// The second result is whether the time was over.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    pub fn wait_timeout<'a, T: Scalar>(
        &self,
        guard: Guard<'a, T>,
        timeout: Duration,
    ) -> Result<(Guard<'a, T>, bool)> {
        self.wait_until(guard, Some(&Deadline::monotonic(timeout)))
    }

    /// Waits for as long as `condition` holds. It is asked with the mutex locked. Ends as well when the guard
    /// was recovered, since then the numbers need not mean what `condition` reads in them.
    ///
    /// # Errors
    ///
    /// As for [`wait`](Self::wait).
    pub fn wait_while<'a, T: Scalar>(
        &self,
        mut guard: Guard<'a, T>,
        mut condition: impl FnMut(&[Cell<T>]) -> bool,
    ) -> Result<Guard<'a, T>> {
        while !guard.recovered() && condition(&guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    fn wait_until<'a, T: Scalar>(
        &self,
        guard: Guard<'a, T>,
        deadline: Option<&Deadline>,
    ) -> Result<(Guard<'a, T>, bool)> {
        let mutex = guard.mutex();
        // Both under the lock, so whoever changes the numbers after it has been given up sees that somebody
        // waits, and counts on from here.
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        let before = self.0.notified.load(Ordering::SeqCst);
        drop(guard);
        let timed_out = futex_wait(&self.0.notified, before, deadline);
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        mutex.lock().map(|guard| (guard, timed_out))
    }

    /// Wakes one waiter, if there are any.
    ///
    /// A notification is lost if its waiter is killed before it has done its work, or if this process is killed inside
    /// the call; the other waiters sleep until the next one. Among processes that may be killed use
    /// [`notify_all`](Self::notify_all), or [`wait_timeout`](Self::wait_timeout) on the other side.
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Wakes all waiters.
    pub fn notify_all(&self) {
        self.notify(i32::MAX);
    }

    fn notify(&self, count: i32) {
        self.0.notified.fetch_add(1, Ordering::SeqCst);
        // In this order: who is not seen here has read the new count, and will not sleep on the old one.
        if self.0.waiting.load(Ordering::SeqCst) != 0 {
            futex_wake(&self.0.notified, count);
        }
    }

    /// The segment that it lies in.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        self.0.memory()
    }
}
