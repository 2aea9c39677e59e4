//! A process per connection, and the parent that reaps them.
//!
//! The oldest concurrent server of Unix: the parent accepts and forks, the child serves its one client
//! and exits. Nothing is shared after the fork, so nothing can race, and a child that crashes takes only
//! its client along.
//!
//! - **Unit of concurrency**: a process.
//! - **Shared**: nothing, but for the open files at the moment of the fork.
//! - **A blocking call stops**: its own client, no other.
//! - **One client can do to another**: nothing, not even by crashing its server.
//! - **Costs**: a fork copies the page tables: about 130 µs with a small parent, and 20 ms with one of
//!   512 MiB. So the parent stays small. Every process then has page tables and a stack of its own.
//! - **Breaks**: at the limit on processes; then that client is told `busy`.
//!
//! # Three duties that every fork server has
//!
//! - **Both sides close what is not theirs.** The child closes the listening socket, or the port stays
//!   taken when the parent is gone; the parent closes the connection, or the client never sees its end.
//!   See [`child`].
//! - **The dead are reaped**, or they stay in the process table as zombies. Four ways, one short piece
//!   each: [`reap`].
//! - **The child leaves by `_exit`.** `exit` would flush the parent's buffers a second time and run the
//!   parent's handlers.
//!
//! The parent learns of a child's end, and the child of the shutdown request or of the parent's death,
//! over the pair of sockets between them, the [`tether`]. So the limit on connections and the orderly
//! shutdown depend neither on the way of reaping nor on who is whose parent.
//!
//! With `--prefork N` the children are forked before the first client comes; that is another model, in
//! [`prefork`].

pub mod accept;
pub mod child;
pub mod prefork;
pub mod reap;
pub mod scoreboard;
pub mod tether;
mod wait;

use accept::Accept;
use file_service::{Count, Model, Service};
use ipc::shared::{Array, Location};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use reap::{Reap, Reaper};
use server_core::Connection;
use server_core::parse_count;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::sync::Arc;
use tether::Tethers;
use wait::{Next, ParentWait};

/// The model's name, and its row in the README's table.
pub const MODEL: Model = Model {
    name: "fork_server",
    unit: "a process per connection",
    strength: "nothing is shared: a crash or a leak ends with its client",
    weakness: "a fork per connection is dear, and so is a process per idle client",
};

/// The options of this model.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How finished children leave the process table
    #[arg(long, value_enum, default_value_t, conflicts_with = "prefork")]
    pub reap: Reap,
    /// Fork N children beforehand, each for one client at a time; other clients wait in the backlog.
    /// Above --max-connections, N is lowered to it with a warning
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub prefork: Option<usize>,
    /// How the children accept their clients
    #[arg(long, value_enum, default_value_t, requires = "prefork")]
    pub accept: Accept,
}

/// Serves until shutdown is requested.
///
/// # Errors
///
/// The calling process has more than one thread (a forked child of such a process may do almost
/// nothing), or the system refuses a signal handler, a descriptor or an option of the listening socket.
pub fn run(listener: TcpListener, service: Service, options: Options) -> io::Result<()> {
    assert_single_threaded()?;
    file_service::session::warm_up(&service); // once here, instead of once in every child
    child::install_handlers()?;
    if let Some(trace) = service.trace() {
        let counts = Array::<u64>::create(Location::Memfd("trace".into()), Count::KINDS)?;
        trace.count_by(move |count, n| counts[count as usize].fetch_add(n));
    }
    if let Some(children) = options.prefork {
        return prefork::run(listener, service, children, options.accept);
    }
    let mut tethers = Tethers::new()?;
    let mut reaper = Reaper::install(options.reap, &tethers)?;
    let mut wait = ParentWait::new(listener, &service)?;
    loop {
        match wait.next(tethers.as_fd()) {
            Next::Connection(connection) => {
                let handle = Arc::clone(connection.handle());
                // The model: a child of its own serves the client, and we accept the next one.
                if let Err(error) = serve_in_child(connection, &service, &mut tethers, &reaper) {
                    tracing::warn!("no process for a client: {error}");
                    wait.refuse(handle); // a failed fork costs one client, not the server
                }
            }
            Next::Children => {
                reaper.reap();
                tethers.remove_ended();
            }
            Next::Shutdown => break,
        }
    }
    tethers.request_shutdown();
    while !tethers.is_empty() {
        match wait.next(tethers.as_fd()) {
            Next::Shutdown => {
                tracing::warn!("drain timeout: {} connections cut", tethers.len());
                break; // our end closes their tethers, which cuts them
            }
            _ => {
                reaper.reap();
                tethers.remove_ended();
            }
        }
    }
    Ok(())
}

/// Forks: the child serves the client, and the parent returns.
fn serve_in_child(
    connection: Connection,
    service: &Service,
    tethers: &mut Tethers,
    reaper: &Reaper,
) -> io::Result<()> {
    let (ours, childs) = tether::pair()?;
    tethers.watch(&ours)?; // what can fail comes before the fork
    let dispatched = service.moment();
    // SAFETY: this process has one thread, as `run` has made sure and nothing since has changed, so the
    // child may do whatever the parent could.
    match unsafe { fork() }? {
        ForkResult::Child => {
            if reaper.forks_twice() {
                become_grandchild();
            }
            child::serve(connection, service, childs, dispatched) // and exits
        }
        ForkResult::Parent { child } => {
            drop(childs); // or its end would never be seen
            if reaper.forks_twice() {
                reap::middle_child(waitpid(child, None)?)?;
            }
            tethers.keep(ours, connection.into_permit()); // closes our copy of the connection
            Ok(())
        }
    }
}

/// The middle child of a double fork leaves at once, so that init adopts, and will reap, its child.
fn become_grandchild() {
    // SAFETY: a forked child has one thread.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {}
        Ok(ForkResult::Parent { .. }) => child::exit(0),
        Err(_) => child::exit(reap::MIDDLE_FAILED),
    }
}

/// The condition on which everything here rests.
fn assert_single_threaded() -> io::Result<()> {
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads == 1 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "a process with {threads} threads must not fork servers: only one of them would be in the child"
    )))
}
