//! Locks across processes: a mutex that survives the death of its holder, a condition, and a file lock.
//!
//! # What they are
//!
//! - [`Mutex`]: a POSIX mutex in [shared memory](crate::shared), process-shared and *robust*, together with the
//!   numbers that it protects. (pthread_mutexattr_setrobust(3).)
//! - [`Condition`]: waiting for a change of what a mutex protects. A futex in shared memory.
//! - [`FileLock`]: a lock on a file, by fcntl(2) with open file descriptions ([TLPI](https://man7.org/tlpi/), chapter 55).
//!
//! ```
//! use ipc::lock::Mutex;
//!
//! let name = format!("/doc-lock-{}", std::process::id());
//! let accounts = Mutex::<i64>::create(name.as_str(), 2)?; // two numbers, zero at first
//! // In another process:
//! let same = Mutex::<i64>::open(name.as_str())?;
//! {
//!     let both = same.lock()?;
//!     both[0].set(both[0].get() - 5);
//!     both[1].set(both[1].get() + 5);
//! }
//!
//! assert_eq!(accounts.lock()?[1].get(), 5);
//! # Ok::<(), ipc::Error>(())
//! ```
//!
//! # When to choose which
//!
//! A mutex, when several numbers change together, many times a second. A single number needs none: see
//! [`Cell::fetch_update`](crate::shared::Cell::fetch_update). A file lock, when a file is protected anyway, when the
//! other program is not yours, or when shared and exclusive holders differ.
//!
//! # Lifetime of the name
//!
//! Mutex and condition: that of the segment, see [`shared`](crate::shared#locations-and-the-lifetime-of-their-names); the creator
//! removes it. The file of a file lock is *not* removed: whoever has it open would hold a lock on a file that the
//! next one does not find.
//!
//! # When the holder dies
//!
//! - [`Mutex`]: the kernel passes it on, and the next [`lock`](Mutex::lock) succeeds with
//!   [`Guard::recovered`] (`EOWNERDEAD`). What it protects may be half changed. Repair it and call
//!   [`Guard::mark_consistent`]; a guard dropped without that makes the mutex unusable for ever
//!   (`ENOTRECOVERABLE`), which is right if no process can repair the data. The kernel passes on 2,048 mutexes of a
//!   thread, so a thread cannot hold more ([`Mutex`](Mutex#how-many-a-thread-may-hold)).
//! - [`Condition`]: a waiter that dies may take one [`notify_one`](Condition::notify_one) with it, and a notifier that dies
//!   has perhaps not woken the waiters: the next notification does.
//! - [`FileLock`]: released by the kernel, and nobody is told that the work is half done.
//!
//! [All cases](crate#when-a-process-is-killed), each with its test.
//!
//! # Cost
//!
//! Mutex: an atomic instruction each to lock and to unlock when nobody else wants it; a system call to wait, and one
//! to wake. Condition: a system call per notification and per wait. File lock: a system call each.

mod condition;
mod file;
mod mutex;

pub use condition::Condition;
pub use file::{FileGuard, FileLock};
pub use mutex::{Guard, Mutex};
