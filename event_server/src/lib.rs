//! One thread for many sockets: it asks the kernel which of them are ready, serves those, and asks again.
//!
//! Nothing waits but the question itself. A session goes as far as its socket lets it and then says what it
//! waits for; the loop remembers that and turns to the next client. This is the server of Stevens' chapter on
//! I/O multiplexing (`select` and `poll`; UNP, chapter 6), and the first two ways on Kegel's list ("The C10K
//! problem"): many clients with each thread, and readiness by level (`select`, `poll`, `epoll`) or by edge
//! (`epoll`).
//!
//! - **Unit of concurrency**: a turn of the loop, for a client that is ready.
//! - **Shared**: the thread. Clients of one worker need no lock for anything.
//! - **A blocking call stops**: every client of the worker. So hashing, large listings and fsync go to helper
//!   threads ([`Step::Offload`](file_service::Step::Offload)), which wake the worker by an eventfd when they are done.
//!   A call that a file system never answers keeps its helper, and its client gets `timeout`; with all eight of a kind
//!   kept, further work of that kind waits. Opening and reading a file have no such way: a disk that is slow then is
//!   slow for all.
//! - **One client can do to another**: make it wait for its turn, which ends with the session's share. Its hashes delay
//!   the hashes of others, and no listing.
//! - **Costs**: about 1.5 KiB for a silent client, no stack and no switch. `select` and `poll` cost more the more
//!   clients there are, silent ones included; `epoll` does not.
//! - **Breaks**: where something blocks after all; `select` at descriptor 1,024.
//!
//! # Three ways to ask (`--poller`)
//!
//! The three files differ in waiting and in nothing else; the loop in `worker.rs` is one for all.
//!
//! | file | what the kernel is told | one wait costs | clients |
//! |---|---|---|---|
//! | `select.rs` | two sets of bits, each time | the highest descriptor | below `FD_SETSIZE`, 1,024; the others are `busy` |
//! | `poll.rs` | an array of descriptors, each time | all clients | any number |
//! | `epoll.rs` | a change, when there is one | the clients that are ready | any number |
//!
//! # Two meanings of ready (`--trigger`, for `epoll`)
//!
//! By `level` a socket is reported for as long as it is ready. It must be watched for one direction at a time,
//! as a socket that may be written to is nearly always ready; so a reply that is stuck costs two calls of
//! `epoll_ctl`. By `edge` it is reported once, when it becomes ready. It is registered once for both
//! directions, but whoever hears of an edge must read until there is nothing left, or remember that
//! there is more: a client that had its share goes to the end of a list (`Step::Yield`), so one that sends
//! without end starves nobody.
//!
//! # Several threads (`--workers`)
//!
//! Each worker has a poller of its own, and all wait at the one listening socket. A new client must wake one
//! of them and not all, or a herd thunders past to find nobody. `epoll` has `EPOLLEXCLUSIVE` for this, which alone
//! would wake the same worker again and again. `select` and `poll` have nothing: there one worker at a time
//! watches the listening socket. `balancer.rs` decides which, and keeps the numbers of clients even.

mod balancer;
mod client;
mod epoll;
mod options;
mod poll;
mod poller;
mod select;
mod worker;

pub use options::{Options, PollerKind, Trigger};

use crate::balancer::AcceptBalancer;
use crate::epoll::Epoll;
use crate::poll::Poll;
use crate::poller::Poller;
use crate::select::Select;
use crate::worker::Worker;
use file_service::{Model, Service};
use server_core::{Helpers, Incoming, Waker, cannot_start};
use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

/// The model's name, and its row in the README's table.
pub const MODEL: Model = Model {
    name: "event_server",
    unit: "one loop for many sockets, with a turn for each that is ready",
    strength: "no switch, no stack and no lock per client: the least memory, and much from one core",
    weakness: "one blocking call stops every client; code is cut where it waits",
};

/// Serves until shutdown is requested.
///
/// # Errors
///
/// The system refuses a thread, a descriptor or an option of the listening socket.
pub fn run(listener: TcpListener, service: Service, options: Options) -> io::Result<()> {
    let Options { poller, trigger, workers } = options;
    match poller {
        PollerKind::Select => serve(listener, service, workers, || Ok(Select::new())),
        PollerKind::Poll => serve(listener, service, workers, || Ok(Poll::new())),
        PollerKind::Epoll => serve(listener, service, workers, || Epoll::new(trigger)),
    }
}

fn serve<P: Poller + 'static>(
    listener: TcpListener,
    service: Service,
    workers: usize,
    poller: impl Fn() -> io::Result<P>,
) -> io::Result<()> {
    let acceptor = Incoming::non_blocking(listener, &service)?.into_acceptor();
    let helpers = Helpers::start()?;
    let wakers = (0..workers).map(|_| Waker::new()).collect::<io::Result<Vec<_>>>()?;
    let balancer = Arc::new(AcceptBalancer::new(wakers, P::WAKES_ONE));
    if workers == 1 {
        return Worker::new(0, poller()?, acceptor, helpers, balancer)?.run();
    }
    let (ended, outcomes) = channel();
    for number in 0..workers {
        let (acceptor, balancer) = (acceptor.share()?, Arc::clone(&balancer));
        let worker = Worker::new(number, poller()?, acceptor, helpers.clone(), balancer)?;
        let ended = ended.clone();
        let work = move || {
            // With one worker less the server would be half a server: it ends.
            let outcome = catch_unwind(AssertUnwindSafe(|| worker.run()));
            let panicked = |_| Err(io::Error::other(format!("worker {number} panicked")));
            // Fails if another worker has failed before, and the server with it.
            let _ = ended.send(outcome.unwrap_or_else(panicked));
        };
        let spawned = thread::Builder::new().name(format!("worker {number}")).spawn(work);
        spawned.map_err(cannot_start(&format!("worker {number}")))?;
    }
    drop((acceptor, ended));
    outcomes.iter().collect()
}
