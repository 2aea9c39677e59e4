//! A fixed pool of threads for any number of connections.
//!
//! Creating a thread for each client costs; having one for each idle client costs more. A pool bounds
//! both: `--workers` threads take work from a queue of `--queue` places.
//!
//! What is a piece of work? That decides everything (`--dispatch`):
//!
//! - `connection`: a client, for as long as it stays. Simple, and a trap: a client that is silent between
//!   two requests pins a worker, and with more keep-alive clients than workers the rest wait unserved
//!   while the workers sleep. A load generator that counts only finished requests will not even show it.
//! - `request`: a connection that is *ready*. A poller in front parks the silent ones and hands over
//!   those that have something to read or room to write. Nobody pins a worker, neither by saying nothing
//!   nor by reading nothing.
//!
//! And who hands the work out (`--pool`): a bounded channel, deques with work stealing, or rayon. See
//! [`pool`] for what each is good for.
//!
//! - **Unit of concurrency**: a request on one of a fixed number of threads.
//! - **Shared**: the queue, and the table of parked connections.
//! - **A blocking call stops**: one worker. As many blocking calls as workers stop all. A call on a
//!   file system that stalls keeps its worker until it returns.
//! - **One client can do to another**: with `request`, make it wait for a turn of each client that is
//!   queued before it; a session that has had its share, or whose file work was run (4 MiB of a hash), goes to the end. Clients that
//!   have ended their side keep two workers at most. With `connection`, for its whole stay.
//! - **Costs**: a hand-off, and so a context switch, whenever the workers have nothing else to do.
//! - **Breaks**: when work is longer than the queue can hide; then it is back-pressure, by design.

#![forbid(unsafe_code)]

mod by_connection;
mod by_request;
pub mod pool;
mod submit;

use file_service::{Model, Service};
use std::io;
use std::net::TcpListener;
use std::thread;

/// The model's name, and its row in the README's table.
pub const MODEL: Model = Model {
    name: "pool_server",
    unit: "a fixed pool of threads, handed the connections that are ready",
    strength: "bounded threads for unbounded clients; uses every core",
    weakness: "a hand-off per request; with `--dispatch connection`, silent clients pin the workers",
};

/// The options of this model.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Who hands the work to the workers
    #[arg(long, value_enum, default_value_t)]
    pub pool: Kind,
    /// What a worker is given
    #[arg(long, value_enum, default_value_t)]
    pub dispatch: Dispatch,
    /// How many workers [default: two for each core]
    #[arg(long, value_name = "N", value_parser = server_core::parse_count)]
    pub workers: Option<usize>,
    /// How much work may wait for a worker
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = server_core::parse_count)]
    pub queue: usize,
}

/// Who hands the work to the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A channel of crossbeam, with a bound
    #[default]
    Channel,
    /// Deques of crossbeam, with stealing
    Steal,
    /// A pool of rayon
    Rayon,
}

/// What a worker is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Dispatch {
    /// A connection that is ready; the others are parked in a poller
    #[default]
    Request,
    /// A connection, for its whole life
    Connection,
}

/// Serves until shutdown is requested.
///
/// # Errors
///
/// The system refuses a thread, a descriptor or an option of the listening socket.
pub fn run(listener: TcpListener, service: Service, options: Options) -> io::Result<()> {
    match options.dispatch {
        Dispatch::Request => by_request::run(listener, service, &options),
        Dispatch::Connection => by_connection::run(listener, service, &options),
    }
}

impl Options {
    fn workers(&self) -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        self.workers.unwrap_or(2 * cores)
    }
}
