//! The ways in which processes talk to each other.
//!
//! So far only what the machine allows: [`limits`]. The mechanisms themselves (pipes, message queues,
//! shared memory, semaphores and what stands beside them) have their place here.

pub mod limits;
