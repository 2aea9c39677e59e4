//! One client at a time: the baseline.
//!
//! The simplest server there is (Stevens' serv00 and TLPI's `iterative` kind): accept a client, serve it
//! to the end, accept the next. There is nothing to share, to lock or to reap, and no other model answers
//! a lone client sooner. It is also the demonstration of why the others exist.
//!
//! - **Unit of concurrency**: none.
//! - **A blocking call stops**: everybody. While one client thinks, the rest wait in the listen queue.
//! - **One client can do to another**: keep it waiting for the length of every timeout there is: the
//!   idle timeout between its requests, and a second more while a closing connection drains.
//! - **Breaks**: with the second client. Try it: hold a connection open with `nc 127.0.0.1 9000`, and run
//!   `cargo run -p file_client -- list` beside it.
//!
//! By datagram (`--udp`) nearly nothing of this is true; see [`mod@udp`].

#![forbid(unsafe_code)]

pub mod udp;

use file_service::{Model, Service};
use server_core::{Incoming, serve_blocking};
use std::io;
use std::net::TcpListener;
pub use udp::{Options, Port};

/// The model's name, and its row in the README's table.
pub const MODEL: Model = Model {
    name: "iterative_server",
    unit: "one client at a time",
    strength: "nothing is shared, nothing can race; the least work per request",
    weakness: "one silent client stops all others",
};

/// Serves until shutdown is requested.
///
/// # Errors
///
/// The system refuses the signalfd, the watchdog's thread or an option of the listening socket.
pub fn run(port: Port, service: Service, _: Options) -> io::Result<()> {
    match port {
        Port::Connections(listener) => serve(listener, &service),
        Port::Datagrams(socket) => udp::serve(&socket, &service),
    }
}

fn serve(listener: TcpListener, service: &Service) -> io::Result<()> {
    for connection in Incoming::blocking(listener, service)? {
        // The model: the conversation is held here, and every other client waits.
        serve_blocking(connection.session(service), connection.socket());
    }
    Ok(())
}
