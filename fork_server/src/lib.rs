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
//! The parent learns of a child's end, and the child of the order to stop or of the parent's death,
//! over the pair of sockets between them, the [`tether`]. So the limit on connections and the orderly
//! stop depend neither on the way of reaping nor on who is whose parent.
//!
//! # Children forked beforehand
//!
//! `--prefork N` takes the fork off the client's way: N children are there before the first client comes, and each
//! serves one client after the other ([`prefork`]). What is left to choose is how a child comes by its clients
//! (`--accept`, three pieces side by side in [`mod@accept`]). The steps are designs 1, 2, 4 and 5 of the nine in
//! Stevens, *UNIX Network Programming*, volume 1, chapter 30, whose figures of processor time are worth a look beside
//! those of today; the iterative server is his design 0.
//!
//! | | who accepts | cost of a connection, besides its requests | Stevens |
//! |---|---|---|---|
//! | without `--prefork` | the parent | fork, exit, reaping, and the first touch of every page | 1 |
//! | `shared` | every free child, all in accept together | none: the kernel wakes one child for one client | 2 |
//! | `lock` | the child that holds a lock | the lock, and a second wake-up: of the child that has it next | 4 |
//! | `pass` | the parent | the parent's turn, a message with the descriptor there, a message "free" back | 5 |
//!
//! - **`shared`** is the one to choose. It was not always: older kernels woke every child for every client, which is
//!   the thundering herd, and in some two processes must not even be in accept together. Linux queues who waits in
//!   accept as exclusive waiters. The one that has waited longest is woken, so the load goes round.
//! - **`lock`** is the cure of that time (as `AcceptMutex` in Apache): one child waits for a client, the others
//!   for the lock. It is a robust mutex, because a child may be killed while it holds it, and a plain one would never
//!   be free again: all others would wait for ever, and the server would look alive.
//! - **`pass`** puts one process in charge of who serves whom. Here it takes the child that was free last, whose
//!   caches are warm; it could as well go by load, or by what the client wants. The parent accepts only while a child is
//!   free. It is also the most work for the kernel, and the parent is one process however many serve.
//!
//! What changes against a process per connection:
//!
//! - **Shared**: the listening socket, the lock where there is one, and the [`scoreboard`], in memory. It counts
//!   what each child has done, and is printed on standard output at the end. Nothing else, as before.
//! - **A blocking call stops**: its own client; and it keeps a child from all who wait.
//! - **One client can do to another**: keep its place. N silent clients are a full server until their idle time-out.
//!   And a child outlives its client: what one leaves behind in it (a leak, a corrupted heap) meets the next one.
//! - **Costs**: N processes, whether anybody is there or not. For a connection, next to nothing. For a request, where many
//!   clients take turns on a core, a change of address space: with 64 that stay, the same session's user code took 30% of
//!   the server's core here and 18% in the event loop, for it begins with cold caches and translations each time. A bare loop of the
//!   same system calls, in as many processes, had 0.95 to 0.99 of nginx's rate where this had 0.8.
//! - **Breaks**: with the client after the Nth. It is not told `busy`; it waits in the backlog, unseen, until another
//!   leaves, or until its own patience ends. When the backlog is full too, its SYNs are dropped. A prefork server for
//!   clients that stay must have as many children as clients; behind a proxy that talks to it briefly, a few will do.
//!
//! A child that dies is replaced at once, and ever more slowly if its place keeps being emptied, so that children which
//! cannot live do not eat the machine. With `pass`, a client whose child dies before taking it up is lost.
//!
//! Not here: a number of children that follows the load, as servers in production have it; and children that end
//! after so many clients, as a remedy for leaks.

pub mod accept;
pub mod child;
pub mod prefork;
pub mod reap;
pub mod scoreboard;
pub mod tether;

use accept::Accept;
use file_service::options::parse_count;
use file_service::{Connection, Incoming, Model, Next, Service};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork};
use reap::{Reap, Reaper};
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use tether::Tethers;

/// What this model says of itself.
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
    /// How the children come by their clients
    #[arg(long, value_enum, default_value_t, requires = "prefork")]
    pub accept: Accept,
}

/// Serves until the process is told to stop.
///
/// # Errors
///
/// The calling process has more than one thread (a forked child of such a process may do almost
/// nothing), or the system refuses a signal handler, a descriptor or an option of the listening socket.
pub fn run(listener: TcpListener, service: Service, options: Options) -> io::Result<()> {
    assert_single_threaded()?;
    file_service::session::warm_up(&service); // once here, instead of once in every child
    child::install_handlers()?;
    if let Some(children) = options.prefork {
        return prefork::run(listener, service, children, options.accept);
    }
    let mut tethers = Tethers::new()?;
    let mut reaper = Reaper::install(options.reap, &tethers)?;
    let mut incoming = Incoming::for_forking(listener, &service)?;
    loop {
        match incoming.next_or(tethers.news()) {
            Next::Connection(connection) => {
                let link = Arc::clone(connection.link());
                if let Err(error) = serve_in_child(connection, &service, &mut tethers, &reaper) {
                    tracing::warn!("no process for a client: {error}");
                    incoming.refuse(link); // a failed fork costs one client, not the server
                }
            }
            Next::Other => {
                reaper.reap();
                tethers.remove_ended();
            }
            Next::Stop => break,
        }
    }
    tethers.order_to_stop();
    while !tethers.is_empty() {
        match incoming.next_or(tethers.news()) {
            Next::Stop => {
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

/// The model: fork; the child serves, the parent goes on accepting.
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
            tethers.keep(ours, connection.into_lease()); // closes our copy of the connection
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
