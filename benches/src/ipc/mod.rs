//! The ways in which processes talk, measured: `cargo bench -p benches --bench ipc`.
//!
//! Each mechanism of the crate `ipc` is run by two real processes, there and back and one way, on one core and on two,
//! with messages of 8 bytes to 64 KiB, and beside it, in the same rounds, its floor: the same system calls without the
//! library ([`ipc::baseline`]). Every message is checked by its receiver. What sleeps and what spins are different tables: on
//! two cores a sleeping receiver has to be woken, which takes longer than everything else.
//!
//! | module | what |
//! |---|---|
//! | [`cases`] | what is measured, and what makes no sense |
//! | [`message`] | messages that tell whether they are the right ones |
//! | [`objects`] | what two processes have in common |
//! | [`ends`] | the two processes |
//! | [`runner`] | rounds, and who comes when |
//! | [`report`] | JSON and tables |
//! | [`chapter`] | the chapter of the comparison's page |
//! | [`command`] | the command line |

pub mod cases;
pub mod chapter;
pub mod command;
pub mod ends;
pub mod message;
pub mod objects;
pub mod report;
pub mod runner;

pub use chapter::chapters;
pub use command::main;
