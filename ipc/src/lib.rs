//! The ways in which processes talk to each other, each as a small set of owned types.
//!
//! | module | mechanism | choose it when |
//! |---|---|---|
//! | [`pipe`] | anonymous pipes, FIFOs | bytes flow one way between relatives, or through a name in the file system |
//! | [`queue`] | POSIX and System V message queues | whole messages, with priorities, that outlive their sender |
//! | [`shared`] | values, arrays and rings in shared memory | speed: no system call per message |
//! | [`semaphore`] | POSIX and System V semaphores | counting free places, or handing over turns |
//! | [`lock`] | mutex, condition and file lock across processes | one at a time, even when the holder dies |
//! | [`event`] | a flag that processes wait for | "it has happened", to any number of waiters |
//! | [`signal`] | signals, and receiving them without races | waking or ending a process from outside |
//! | [`socket`] | AF_UNIX sockets | conversations, credentials, passing descriptors |
//! | [`process`] | child processes and a pool of them | work that must not share memory |
//!
//! What holds for all of them: types own what they made, and the creator of a name removes it when it is
//! dropped; every descriptor is close-on-exec; calls interrupted by a signal go on; errors
//! ([`Error`]) name the object and the call; waiting calls have a form with a time-out where the kernel has
//! one. [`limits`] tells what the running kernel allows.

#[doc(hidden)]
pub mod baseline;
pub mod error;
pub mod event;
mod found;
pub mod limits;
pub mod lock;
pub mod pipe;
pub mod process;
pub mod queue;
pub mod semaphore;
pub mod shared;
pub mod signal;
pub mod socket;
mod sys;
mod sysv;

pub use error::{Error, Result};
pub use sysv::Key;
