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
//! dropped (a forked copy of the creator removes nothing); every descriptor is close-on-exec; calls interrupted by a
//! signal go on; errors ([`Error`]) name the object and the call; waiting calls have a form with a timeout where the
//! kernel has one. A killed creator drops nothing: a [`Tracker`](process::Tracker) removes its names, or the command `ipc`.
//!
//! # When a process is killed
//!
//! A process can be killed between any two steps of a call. What the others find then, and which call makes it right:
//!
//! | mechanism | the process was killed | the others find | made right by | test |
//! |---|---|---|---|---|
//! | POSIX [memory](shared) (of values, rings, mutexes, events) | in `create` | no name, or a whole object that `open` refuses as stale | the next `create` of the name, which replaces it | `kill_inside_create_leaves_no_half` |
//! | | in `create`, where `/dev/shm` has no `O_TMPFILE` | a name `/ipc-half-made-PID-N` too | the command `ipc`, or [`shared::list`] | `half_made_file_is_listed` |
//! | System V segment | in `create` | a segment that `open` refuses: not complete, or stale | the next `create` of the key, which replaces it; without a key the command `ipc` | `kill_inside_create_frees_the_key` |
//! | [`NamedSemaphore`](semaphore::NamedSemaphore) | in `create` | no name, or a whole semaphore; `create` fails with `EEXIST` | [`remove`](semaphore::NamedSemaphore::remove), or the command `ipc` | `kill_inside_create_leaves_no_half` |
//! | System V [semaphore](semaphore::SysvSemaphore) and [queue](queue::SysvQueue) | in `create`, between its two calls | an object that `open` refuses; `create` fails with `EEXIST` | `remove`, or the command `ipc`, if it is named there | `opener_waits_for_value_until_timeout`, `incomplete_sysv_queue_is_unusable` |
//! | [`Event`](event::Event) | in `set`, before it woke the waiters | the event set, and waiters that sleep | the next `set`, `is_set` or wait of any process, which wakes them; after a `clear`, the next `set` | `killed_setter_strands_no_waiter` |
//! | | in `clear` | the event set or clear | nothing is wrong | `killed_clearer_strands_no_waiter` |
//! | | in a wait | nothing; the next `set` makes a needless system call | that `set` | `killed_waiter_strands_no_other` |
//! | [`Condition`](lock::Condition) | in `notify_one` or `notify_all`, or before it called them | waiters that sleep | the next notification; without one, only a `wait_timeout` ends | `killed_notifier_leaves_waiters_wakeable`, `timed_wait_needs_no_notifier` |
//! | | woken by `notify_one`, before it did anything | the notification is lost | the next notification, a `wait_timeout`, or `notify_all` in the first place | `notification_of_killed_waiter_is_lost` |
//! | | in a wait | nothing; each later notification makes a system call | nothing | `killed_condition_waiter_strands_no_other` |
//! | [`Mutex`](lock::Mutex) | with the lock | numbers that are half changed, and [`recovered`](lock::Guard::recovered) | the next holder | `killed_locker_leaves_mutex_recoverable` |
//! | | repairs, before or in [`mark_consistent`](lock::Guard::mark_consistent) | the same again | the next holder | `killed_recoverer_leaves_mutex_recoverable` |
//! | | unlocks or was woken, with others asleep behind it | the lock free | the kernel, which wakes the next | `killed_unlocker_strands_no_locker`, `killed_waiting_locker_strands_no_other` |
//! | [`FileLock`](lock::FileLock) | with the lock | the lock free | the kernel | `file_lock_of_killed_holder_is_released` |
//! | [`Value`](shared::Value), [`Array`](shared::Array) | in any call | each number old or new | nothing: numbers that belong together need a mutex | `number_is_old_or_new_after_kill` |
//! | [rings](shared::ring) | puts, and has not published | no message; [`RingMany`](shared::ring::RingMany) counts it as [torn](shared::ring::Receiver::torn) | the receiver, and the next sender | `killed_sender_leaves_ring_usable` |
//! | | has published, and not woken the receiver | the message, a tenth of a second late at most | the receiver, which looks again | `killed_sender_leaves_ring_usable` |
//! | | gets, and has not released the message | the message again | the next receiver | `killed_receiver_leaves_ring_usable` |
//! | | has released a message, and not woken the senders | the room, a tenth of a second late at most | the senders, which look again | `killed_receiver_leaves_ring_usable` |
//! | | becomes an end, has it, or leaves | an end whose owner is dead | the next process that becomes that end | `end_of_killed_owner_is_free` |
//! | POSIX [semaphores](semaphore) | with a unit | the unit missing, as if it were in use | **nothing**: use `acquire_timeout` | `unit_of_killed_holder_is_lost` |
//! | | in `release`, after the value and before the wake-up | the unit there, and a waiter that sleeps | another `acquire` takes the unit; the next `release` wakes the waiter; `acquire_timeout` looks again when its time is over | `unit_of_killed_releaser_is_found`, `timed_wait_finds_unit_when_over` |
//! | | woken in `acquire`, before it took the unit | the same | the same | `next_release_wakes_behind_killed_acquirer` |
//! | [`SysvSemaphore`](semaphore::SysvSemaphore) with [`Undo`](semaphore::OnDeath::Undo) | with a unit | the unit there | the kernel | `undo_returns_unit_of_killed_holder` |
//! | [`SysvSemaphore`](semaphore::SysvSemaphore) with [`Keep`](semaphore::OnDeath::Keep) | with a unit | the unit missing, as if it were in use | **nothing**: use `acquire_timeout` | `unit_of_killed_holder_is_lost` |
//!
//! The tests of `create` are in `tests/shared.rs`, `tests/semaphore.rs` and `tests/queue.rs`, the others in
//! `tests/kills.rs`. They kill a process at each system call, and after each instruction that has changed the
//! shared memory. `tests/steps.rs` kills two users of a ring or an event, at each pair of steps, and `tests/loom.rs`
//! adds the orders in which the others can run meanwhile.
//!
//! Where nothing makes it right, wait with a timeout, and decide after it:
//!
//! ```
//! use ipc::semaphore::{Semaphore, SharedSemaphore};
//! use std::time::Duration;
//!
//! let places = SharedSemaphore::create(1)?;
//! places.acquire()?; // a process that is killed now takes the unit along
//! # let holder_is_dead = true;
//! match places.acquire_timeout(Duration::from_millis(10)) {
//!     Ok(()) => { /* work, and release */ }
//!     // The semaphore has no record of its holder. The program may: a pidfd, `wait`, a connection that closed.
//!     Err(ipc::Error::TimedOut { .. }) if holder_is_dead => places.release()?, // in its place
//!     Err(error) => return Err(error),
//! }
//! # Ok::<(), ipc::Error>(())
//! ```

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
