//! What the mechanisms cost without this library, for `cargo bench -p benches --bench ipc` to compare with.
//!
//! | file | what |
//! |---|---|
//! | `calls` | the system calls |
//! | `memory` | what lies in shared memory: numbers, a semaphore, a mutex with its condition |
//! | `rings` | rings of messages, of nothing but atomics |
//!
//! No function retries, checks beforehand or has a timeout: an interrupted call fails with `EINTR`, the death of a
//! peer is not noticed, and a call waits for as long as it takes. Nothing has a name. What lies in shared memory is
//! a memfd, passed on as a descriptor, and gone with its last user. All errors are the kernel's, or say that a
//! descriptor holds something else.

mod calls;
mod memory;
mod rings;
#[cfg(test)]
mod tests;

pub use calls::{
    TYPE, futex_wait, futex_wake_all, mq_receive, mq_send, msgrcv, msgsnd, read, receive, semop,
    send, sigqueue, sigwait, write,
};
pub use memory::{Locked, Monitor, Semaphore, Words};
pub use rings::{ManyReceiver, ManyRing, ManySender, Receiver, Ring, Sender};
