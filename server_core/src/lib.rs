//! What all servers share and no client sees: accepting, limits, deadlines, shutdown, launch.
//!
//! What one client gets is in [`file_service`]; how many clients get it at once is the question that a model
//! answers, in a crate of its own. Between the two is this crate. It knows neither the protocol nor any model.
//!
//! | module | what lives there |
//! |---|---|
//! | `launch` | from the command line to `run`: options, the listening socket |
//! | `log` | lines on standard error that neither delay nor end the server |
//! | `listen` | listening sockets, and what accepted sockets inherit from them |
//! | `acceptor` | accepts, refuses, backs off; never waits |
//! | `incoming` | the iterator over the acceptor, for a loop with nothing else to wait for |
//! | `handle` | a connection as the shutdown sees it: a copy of its deadline is here |
//! | `limit` | the limit on connections, and the registry of those that are alive |
//! | `shutdown` | the signals, the drain timeout, the watchdog |
//! | `start` | what the system refuses to start, as an error of `run` |
//! | `blocking` | the driver of the blocking models, one short loop |
//! | `socket` | a TCP socket as a transport |
//! | `memory` | how freed memory goes back to the system |
//! | `slab`, `waker`, `helpers`, `timeout` | for event loops: clients by key, a wake-up, threads for slow file work |
//!
//! A server is these few lines, and its model is the one in the loop:
//!
//! ```no_run
//! use file_service::Service;
//! use server_core::{Incoming, serve_blocking};
//! use std::{io, net::TcpListener};
//!
//! pub fn run(listener: TcpListener, service: Service) -> io::Result<()> {
//!     for connection in Incoming::blocking(listener, &service)? {
//!         // The model: here, one client at a time.
//!         serve_blocking(connection.session(&service), connection.socket());
//!     }
//!     Ok(())
//! }
//! ```

#![deny(unsafe_code)]

mod acceptor;
mod blocking;
mod handle;
mod helpers;
mod incoming;
mod launch;
mod limit;
mod listen;
mod log;
#[expect(unsafe_code, reason = "mallopt has no safe wrapper")]
mod memory;
mod shutdown;
mod slab;
#[expect(unsafe_code, reason = "SIOCOUTQ has no safe wrapper")]
mod socket;
mod start;
mod timeout;
mod waker;

pub use acceptor::{Accepted, Acceptor, Connection};
pub use blocking::{serve_blocking, serve_blocking_with};
pub use handle::ConnectionHandle;
pub use helpers::{Background, Helpers, Outcomes};
pub use incoming::Incoming;
pub use launch::{Endpoint, NoOptions, launch, launch_from, parse_count};
pub use limit::{ConnectionPermit, SharedLimit};
pub use listen::{listen, listen_for};
pub use log::print;
pub use shutdown::{ShutdownSignals, deadline_tick, exit, finish};
pub use slab::{Key, Slab};
pub use socket::Socket;
pub use start::{cannot_start, start_library};
pub use timeout::timeout_until;
pub use waker::Waker;
