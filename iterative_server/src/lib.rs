//! One client at a time: the baseline.
//!
//! The simplest server there is (Stevens' serv00 and TLPI's `iterative` kind): accept a client, serve it
//! to the end, accept the next. There is nothing to share, to lock or to reap, and no other model answers
//! a lone client sooner. It is also the demonstration of why the others exist.
//!
//! - **Unit of concurrency**: none.
//! - **A blocking call stops**: everybody. While one client thinks, the rest wait in the listen queue.
//! - **One client can do to another**: keep it waiting for the length of every time-out there is: the
//!   idle time-out between its requests, and a second more while a closing connection drains.
//! - **Breaks**: with the second client. Try it: hold a connection open with `nc 127.0.0.1 9000`, and run
//!   `cargo run -p file_client -- list` beside it.

#![forbid(unsafe_code)]

use file_service::{Incoming, Model, NoOptions, Service, converse};
use std::io;
use std::net::TcpListener;

/// What this model says of itself.
pub const MODEL: Model = Model {
    name: "iterative_server",
    unit: "one client at a time",
    strength: "nothing is shared, nothing can race; the least work per request",
    weakness: "one silent client stops all others",
};

/// Serves until the process is told to stop.
///
/// # Errors
///
/// The system refuses the signalfd, the keeper thread or an option of the listening socket.
pub fn run(listener: TcpListener, service: Service, _: NoOptions) -> io::Result<()> {
    for connection in Incoming::blocking(listener, &service)? {
        converse(connection.session(&service), connection.socket()); // everybody else waits
    }
    Ok(())
}
