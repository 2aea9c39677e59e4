//! The locks and counters of std, under the same names and with the same methods. There is nothing to do in this file.
//!
//! Most mistakes with threads show once in a million times, on the day of the demonstration. So these do what the
//! real ones *may* do at any time, but seldom do, as often as possible, where the environment asks for it:
//!
//! | `LAB_SYNC=` | what happens |
//! |---|---|
//! | `spurious` | `Condvar::wait` returns without a notification, again and again |
//! | `early` | a thread that has notified pauses: the woken thread runs first |
//! | `late` | a thread that was woken, has loaded a value or wants a lock pauses: others run first |
//!
//! A right program works all the same, only slower.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering;
use std::sync::{self, LockResult, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Disturbance {
    None,
    Spurious,
    Early,
    Late,
}

fn disturbance() -> Disturbance {
    static DISTURBANCE: OnceLock<Disturbance> = OnceLock::new();
    *DISTURBANCE.get_or_init(|| match std::env::var("LAB_SYNC").as_deref() {
        Ok("spurious") => Disturbance::Spurious,
        Ok("early") => Disturbance::Early,
        Ok("late") => Disturbance::Late,
        _ => Disturbance::None,
    })
}

fn delay_if(when: Disturbance, millis: u64) {
    if disturbance() == when {
        thread::park_timeout(Duration::from_millis(millis));
    }
}

/// As [`std::sync::Mutex`].
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// Unlocked.
    pub const fn new(value: T) -> Mutex<T> {
        Mutex(sync::Mutex::new(value))
    }

    /// Waits until it has the lock. An error if a thread has panicked while it held it.
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        delay_if(Disturbance::Late, 2);
        guarded(&self.0, self.0.lock())
    }
}

/// As [`std::sync::MutexGuard`]: dropped, it gives the lock back.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    mutex: &'a sync::Mutex<T>,
    guard: sync::MutexGuard<'a, T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

fn guarded<'a, T>(
    mutex: &'a sync::Mutex<T>,
    locked: LockResult<sync::MutexGuard<'a, T>>,
) -> LockResult<MutexGuard<'a, T>> {
    match locked {
        Ok(guard) => Ok(MutexGuard { mutex, guard }),
        Err(poison) => Err(PoisonError::new(MutexGuard { mutex, guard: poison.into_inner() })),
    }
}

/// As [`std::sync::Condvar`].
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// With nobody waiting.
    pub const fn new() -> Condvar {
        Condvar(sync::Condvar::new())
    }

    /// Gives the lock back, waits, and takes it again. It may return without a notification.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        let MutexGuard { mutex, guard } = guard;
        if disturbance() == Disturbance::Spurious {
            let woken = self.0.wait_timeout(guard, Duration::from_millis(1));
            let woken = woken.map(|(guard, _)| guard);
            return guarded(mutex, woken.map_err(|poison| PoisonError::new(poison.into_inner().0)));
        }
        let woken = self.0.wait(guard);
        if disturbance() == Disturbance::Late {
            // It is awake, and has the lock not before others have had it.
            drop(woken);
            delay_if(Disturbance::Late, 50);
            return guarded(mutex, mutex.lock());
        }
        guarded(mutex, woken)
    }

    /// Waits as long as `condition` holds.
    pub fn wait_while<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<MutexGuard<'a, T>> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Wakes one that waits now, if there is one.
    pub fn notify_one(&self) {
        self.0.notify_one();
        delay_if(Disturbance::Early, 30);
    }

    /// Wakes all that wait now.
    pub fn notify_all(&self) {
        self.0.notify_all();
        delay_if(Disturbance::Early, 30);
    }
}

/// As [`std::sync::atomic::AtomicU64`].
#[derive(Debug, Default)]
pub struct AtomicU64(sync::atomic::AtomicU64);

impl AtomicU64 {
    /// With this value.
    pub const fn new(value: u64) -> AtomicU64 {
        AtomicU64(sync::atomic::AtomicU64::new(value))
    }

    /// What it is now; the next moment it may be another.
    pub fn load(&self, order: Ordering) -> u64 {
        let value = self.0.load(order);
        delay_if(Disturbance::Late, 50);
        value
    }

    /// Makes it this value, whatever it was.
    pub fn store(&self, value: u64, order: Ordering) {
        self.0.store(value, order);
    }

    /// Adds in one step; gives what it was before.
    pub fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_add(value, order)
    }

    /// Subtracts in one step; gives what it was before.
    pub fn fetch_sub(&self, value: u64, order: Ordering) -> u64 {
        self.0.fetch_sub(value, order)
    }

    /// Makes it `new` if it is `current`, in one step; otherwise an error with what it is.
    pub fn compare_exchange(
        &self,
        current: u64,
        new: u64,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u64, u64> {
        self.0.compare_exchange(current, new, success, failure)
    }
}
