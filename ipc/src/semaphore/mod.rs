//! Semaphores: a number that processes take from and give to, and wait for while it is zero.
//!
//! The number says how many of something are free: places in a buffer, permits, turns.
//! [`acquire`](Semaphore::acquire) takes one and waits while there is none; [`release`](Semaphore::release)
//! gives one back. Anybody may release, not only who acquired: that makes a semaphore fit for
//! handing over turns, which a mutex cannot do. There are three kinds with one interface:
//!
//! | | [`NamedSemaphore`] (sem_overview(7), TLPI chapter 53) | [`SharedSemaphore`] (the same) | [`SysvSemaphore`] (semop(2), TLPI chapter 47) |
//! |---|---|---|---|
//! | called | `/name` | by a descriptor | by a number, see [`Key`](crate::Key) |
//! | lives in | a file in `/dev/shm`, mapped by all | a memfd, mapped by all | the kernel |
//! | when the holder dies | stays taken | stays taken | given back, if asked for ([`OnDeath`]) |
//! | without contention | no system call | no system call | one system call |
//! | the highest value | 2,147,483,647 | 2,147,483,647 | `SEMVMX`, 32,767 |
//!
//! # When to choose it
//!
//! To count free places, and to let processes take turns. For "one at a time" a
//! [`lock`](crate::lock) is better, since it knows its owner; for "it has happened" an
//! [`event`](crate::event). Of the kinds: the shared one between relatives, the named one
//! between strangers, and the System V one where a holder may be killed.
//!
//! # The lifetime of the name
//!
//! The creator's value removes the name when it is dropped; [`NamedSemaphore::keep`] and
//! [`SysvSemaphore::keep`] prevent it. A named semaphore loses its name only: a process that has it open uses it
//! to the end. A System V semaphore is destroyed at once, and whoever waits for it gets
//! [`Error::Closed`]. A shared one has no name and goes away with its last user. A creator that was killed
//! leaves its semaphore behind: [`list`] finds it, and [`Object::remove`](crate::Object::remove) removes it.
//!
//! # When a peer dies
//!
//! A POSIX semaphore does not know its holder. If a holder is killed, the unit is lost: the others wait
//! forever, or until their timeout, which is the only defence ([all cases](crate#when-a-process-is-killed), with
//! an example). A System V semaphore with
//! [`OnDeath::Undo`] is set right by the kernel when the process ends, however it ends; the kernel's account
//! holds 32,767 units of a process. What the dead
//! process was doing meanwhile is not set right: the data that the semaphore protects may be half changed.
//!
//! # Cost
//!
//! A POSIX semaphore is a futex: acquire and release are each one atomic instruction while nobody waits,
//! and a system call when somebody does. A System V semaphore is a system call each time; undo makes
//! it a little dearer.
//!
//! # Example
//!
//! ```
//! use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
//! use std::time::Duration;
//!
//! // What follows works on all kinds; each begins with two free places.
//! fn take_and_give(places: &impl Semaphore) -> ipc::Result<()> {
//!     places.acquire()?;
//!     {
//!         let _place = places.guard()?; // Given back at the end of the block.
//!         assert_eq!(places.get_value()?, 0);
//!         assert!(matches!(places.try_acquire(), Err(ipc::Error::WouldBlock { .. })));
//!         let none = places.acquire_timeout(Duration::from_millis(1));
//!         assert!(matches!(none, Err(ipc::Error::TimedOut { .. })));
//!     }
//!     places.release()?;
//!     assert_eq!(places.get_value()?, 2);
//!     Ok(())
//! }
//!
//! let name = format!("/ipc-doc-{}", std::process::id());
//! take_and_give(&NamedSemaphore::create(&name, 2)?)?;
//! take_and_give(&SharedSemaphore::create(2)?)?;
//! take_and_give(&SysvSemaphore::create(ipc::Key::PRIVATE, 2, OnDeath::Undo)?)?;
//! # Ok::<(), ipc::Error>(())
//! ```

mod posix;
mod shared;
mod sysv;

use std::time::Duration;

pub use posix::NamedSemaphore;
pub use shared::SharedSemaphore;
pub use sysv::{OnDeath, SysvSemaphore};

use crate::error::{Error, Result};
use crate::object::Object;

/// A counting semaphore; see the [module](self) for the kinds.
///
/// All methods take `&self`, and any number of threads and processes may use a semaphore at the same
/// time. Nothing is promised about the order in which those who wait are served.
///
/// Apart from what the methods say, each gives [`Error::Closed`] when the System V semaphore was removed,
/// and [`Error::System`] when the kernel refuses for another reason.
pub trait Semaphore {
    /// Takes one, and waits while there is none. Signals do not end the wait.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn acquire(&self) -> Result<()>;

    /// Takes one if there is one now.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] when the value is zero.
    fn try_acquire(&self) -> Result<()>;

    /// Takes one, but waits no longer than `timeout` for it. Signals do not prolong the wait.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when nobody released in time.
    fn acquire_timeout(&self, timeout: Duration) -> Result<()>;

    /// Gives one, and wakes one of those who wait.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] when the value is at its highest already; it stays as it is.
    fn release(&self) -> Result<()>;

    /// The value now; others may change it at once.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn get_value(&self) -> Result<u32>;

    /// As [`acquire`](Self::acquire), with a guard that releases when it is dropped.
    ///
    /// # Errors
    ///
    /// See the trait.
    fn guard(&self) -> Result<Guard<'_, Self>>
    where
        Self: Sized,
    {
        self.acquire().map(|()| Guard { semaphore: self })
    }

    /// As [`try_acquire`](Self::try_acquire), with a guard that releases when it is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] when the value is zero.
    fn try_guard(&self) -> Result<Guard<'_, Self>>
    where
        Self: Sized,
    {
        self.try_acquire().map(|()| Guard { semaphore: self })
    }

    /// As [`acquire_timeout`](Self::acquire_timeout), with a guard that releases when it is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`] when nobody released in time.
    fn guard_timeout(&self, timeout: Duration) -> Result<Guard<'_, Self>>
    where
        Self: Sized,
    {
        self.acquire_timeout(timeout).map(|()| Guard { semaphore: self })
    }
}

/// One unit of a semaphore, given back on drop: at the end of a block, on `?`, and in a panic; but not
/// when the process is killed.
#[derive(Debug)]
#[must_use = "the unit is given back at once when the guard is not kept"]
pub struct Guard<'a, S: Semaphore> {
    semaphore: &'a S,
}

impl<S: Semaphore> Drop for Guard<'_, S> {
    fn drop(&mut self) {
        // It can fail only if others released more than they took, or the semaphore is gone: then there
        // is nothing left to give back.
        let _ = self.semaphore.release();
    }
}

/// All semaphores with a name of this user, those left behind by killed programs among them.
///
/// # Errors
///
/// As [`NamedSemaphore::list`] and [`SysvSemaphore::list`].
pub fn list() -> Result<Vec<Object>> {
    let mut objects = NamedSemaphore::list()?;
    objects.extend(SysvSemaphore::list()?);
    Ok(objects)
}

/// Refuses a value that the mechanism cannot hold.
fn check_value(object: &str, given: u64, most: u32) -> Result<()> {
    Error::check_range(object, "semaphore value", given, 0..=most.into())
}

/// The error of a release at the highest value.
fn overflow(object: &str, most: u32) -> Error {
    let (object, given, most) = (object.to_owned(), u64::from(most) + 1, most.into());
    Error::OutOfRange { object, quantity: "semaphore value", given, least: 0, most }
}
