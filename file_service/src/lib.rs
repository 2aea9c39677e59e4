//! What one client gets. How many clients get it at once is the business of the server crates; there is
//! no concurrency here.
//!
//! | module | what lives there |
//! |---|---|
//! | [`protocol`] | request lines, paths, replies, error codes: pure functions of bytes |
//! | [`store`] | the served folder: nothing leaves it, nothing is half-written |
//! | [`session`] | one client's conversation: all of the protocol, no sockets, no waiting |
//! | [`transport`] | what a session needs of a byte stream; [`converse`] for blocking sockets |
//! | [`datagram`] | the same protocol with a datagram for each request and reply |
//! | [`incoming`] | accepted connections: limits, back-off, the orderly stop |
//! | [`trace`] | who did what when, for `--trace FILE` |
//! | [`options`] | every server's command line and `main` |
//! | [`client`] | a blocking client |
//!
//! A server is these few lines, and its model is the one in the loop:
//!
//! ```no_run
//! use file_service::{Incoming, Service, converse};
//! use std::{io, net::TcpListener};
//!
//! pub fn run(listener: TcpListener, service: Service) -> io::Result<()> {
//!     for connection in Incoming::blocking(listener, &service)? {
//!         converse(connection.session(&service), connection.socket()); // here: one client at a time
//!     }
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

pub mod client;
pub mod datagram;
mod http;
mod human;
pub mod incoming;
pub mod options;
pub mod protocol;
pub mod service;
pub mod session;
pub mod store;
pub mod trace;
pub mod transport;

pub use incoming::{
    Accepted, Connection, Incoming, Lease, Link, Next, Places, StopSignal, listen, listen_for,
};
pub use options::{Endpoint, NoOptions, launch, launch_from};
pub use service::{Model, Service, Settings};
pub use session::{Job, Outcome, Session, Step};
pub use store::Store;
pub use trace::{Moment, Trace};
pub use transport::{Interest, Socket, Transport, converse, converse_watched};
