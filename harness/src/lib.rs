//! Tests only: starts a server as a black box, watches it from outside, holds it against the
//! protocol.
//!
//! The crate knows the protocol and nothing of the code that implements it: it speaks through raw
//! sockets, looks at files with the file system and at processes with `/proc`. So a test can never
//! share a mistake with the code under test.
//!
//! | where | what |
//! |---|---|
//! | [`conformance`](mod@conformance) | every rule of the protocol as a named case, and the macro that turns them into tests |
//! | [`equality`](mod@equality) | the same bytes into every server, the same bytes out |
//! | [`counter`](mod@counter) | several servers on one root, and no lost update |
//! | [`Subject`] | what to test: a binary, its arguments, what its model can do |
//! | [`Server`], [`Launch`], [`Root`] | a running server, how to start one, the folder it serves |
//! | [`wire`] | a client that trusts nothing |
//! | [`fuse`] | a file system whose calls are interrupted or stall |
//! | [`browser`] | a browser without a window, for pages that must be seen to work |
//! | [`oracles`] | what the kernel knows about a server: zombies, inherited sockets, busy waits |
//! | [`proc`], [`sockets`] | the readings of the kernel that the oracles rest on |
//! | [`wait`] | waiting for conditions instead of sleeping |
//!
//! A server's whole conformance test is one line per variant:
//!
//! ```ignore
//! harness::conformance!(harness::Subject::new(env!("CARGO_BIN_EXE_thread_server")));
//! ```

#![forbid(unsafe_code)]

pub mod browser;
pub mod conformance;
pub mod counter;
pub mod equality;
pub mod fuse;
pub mod oracles;
pub mod proc;
pub mod root;
mod server;
pub mod sockets;
mod subject;
pub mod wait;
pub mod wire;

pub use counter::counter;
pub use equality::equality;
pub use root::Root;
pub use server::{Exit, Failure, Launch, Server};
pub use subject::{Need, Subject};
