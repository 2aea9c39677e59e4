//! The ways in which processes talk, measured: `cargo bench -p benches --bench ipc`.
//!
//! Each mechanism of the crate `ipc` is run by two real processes, there and back and one way, on one core and on two,
//! with messages of 8 bytes to 64 KiB, and next to it, in the same rounds, its baseline: the same system calls
//! without the library (`ipc::baseline`). Every message is checked by its receiver. What sleeps and what spins are different tables: on
//! two cores a sleeping receiver has to be woken, which takes longer than everything else.
//!
//! | module | what |
//! |---|---|
//! | [`cases`] | what is measured, and what is not |
//! | `message` | messages that show whether they are the expected ones |
//! | `objects` | what two processes have in common |
//! | `endpoints` | the two processes: each mechanism as a pair of closures that send and receive |
//! | `exchange` | what an endpoint does when it is told |
//! | `pair` | the two processes, from the outside |
//! | `runner` | rounds, and their order |
//! | [`report`] | JSON |
//! | `group`, `table` | tables for a terminal |
//! | `chapter` | the chapter of the comparison's page |
//! | [`command`] | the command line |

pub mod cases;
mod chapter;
pub mod command;
mod endpoints;
mod exchange;
mod group;
mod message;
mod objects;
mod pair;
pub mod report;
mod runner;
mod table;

pub use chapter::chapters;
pub use command::main;
