//! The ways in which processes talk to each other, each as a small set of owned types.
//!
//! | module | what it is | choose it when | examples |
//! |---|---|---|---|
//! | [`pipe`] | anonymous pipes, FIFOs | bytes flow one way between relatives, or through a name in the file system | `pipe`, `fifo` |
//! | [`queue`] | POSIX and System V message queues | whole messages, with priorities, that outlive their sender | `posix_queue`, `sysv_queue` |
//! | [`shared`] | values, arrays and rings in shared memory | speed: no system call per message | `value_array`, `ring` |
//! | [`semaphore`] | POSIX and System V semaphores | counting free units, or handing over turns | `semaphore_order` |
//! | [`lock`] | mutex, condition and file lock across processes | one at a time, even when the holder dies | `robust_mutex`, `condition` |
//! | [`event`] | a flag that processes wait for | "it has happened", to any number of waiters | `event` |
//! | [`signal`] | signals, and receiving them without races | waking or ending a process from outside | `signals`, `signalfd` |
//! | [`socket`] | AF_UNIX sockets | conversations, credentials, passing descriptors | `socket_stream`, `chat` |
//! | [`process`] | child processes and a pool of them | work that must not share memory | `process`, `pool` |
//!
//! Each module's page has an example of a few lines; `cargo run -p ipc --example NAME` runs a longer one between
//! processes. What several modules share stands here: [`Error`], [`Wait`], [`Key`] (how System V objects are
//! called), [`Object`] (what the lists of queues and semaphores return) and
//! [`Usage`] (whether a process uses such an object). [`limits`] reads what the running kernel
//! allows, and the command `ipc` (`cargo run -p ipc`, feature `doctor`) prints it, tries each mechanism, and removes what was
//! left behind.
//!
//! What holds for all of them: types own what they made, and the creator of a name removes it when it is
//! dropped (a forked copy of the creator removes nothing); every descriptor is close-on-exec; calls interrupted by a signal go on; errors
//! ([`Error`]) name the object and the call; waiting calls have a form with a timeout where the kernel has
//! one.

#![warn(unreachable_pub)]

#[doc(hidden)]
pub mod baseline;
mod error;
pub mod event;
mod file;
pub mod limits;
pub mod lock;
mod object;
pub mod pipe;
pub mod process;
pub mod queue;
pub mod semaphore;
pub mod shared;
mod shm;
pub mod signal;
pub mod socket;
mod sys;
mod sysv;
mod usage;
mod wait;

pub use error::{Error, Result};
pub use object::Object;
pub use sysv::Key;
pub use usage::Usage;
pub use wait::Wait;
