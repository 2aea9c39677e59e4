//! What one client gets. How many clients get it at once is the business of the server crates; there is
//! no concurrency here.
//!
//! | module | what lives there |
//! |---|---|
//! | [`protocol`] | request lines, paths, replies, error codes: pure functions of bytes |
//! | [`store`] | the served directory: nothing leaves it, nothing is half-written |
//! | [`session`] | one client's conversation: all of the protocol, no sockets, no waiting |
//! | [`transport`] | what a session needs of a byte stream |
//! | [`busy`] | the refusal of a client for which there is no room |
//! | [`datagram`] | the same protocol with a datagram for each request and reply |
//! | [`trace`] | which thread worked for which connection when, for `--trace FILE` |
//! | [`client`] | a blocking client |
//! | [`human`] | sizes and dates for people |
//!
//! Private are `http`, the requests and responses of HTTP, `room`, the bound on the memory of listings,
//! and `buffers`, for uploads.
//!
//! There is no thread here, no signal, and no lock that is held while a session waits; only [`client`] sets
//! options of sockets. Three exceptions have names: the buffer of the [`trace`] and the buffers of uploads, which the
//! threads of a server share, and the locks by which the [`store`] tells a living upload from an abandoned one and keeps a replacement from
//! coming between a condition and the file that it permits. The
//! trace also asks for the number and name of the calling thread, and locks its file. A test reads the sources
//! (`harness/tests/structure.rs`).

#![forbid(unsafe_code)]

mod buffers;
pub mod busy;
pub mod client;
pub mod datagram;
mod http;
pub mod human;
pub mod protocol;
mod room;
pub mod service;
pub mod session;
pub mod store;
pub mod trace;
pub mod transport;

pub use service::{Model, Service, Settings};
pub use session::{Job, Outcome, Session, Step};
pub use store::Store;
pub use trace::{Count, Moment, Trace};
pub use transport::{Interest, Peer, Transport};
