//! A stackless coroutine per connection, on [`tokio`].
//!
//! What most people would pick today. The loop of `serve` reads like the blocking one; the compiler
//! makes of it a *future*: a value that holds what must outlive a wait, and a method `poll` that goes on from the
//! last wait to the next. A runtime polls the futures whose sockets epoll has reported.
//!
//! - **Unit of concurrency**: a future, polled by one of a few worker threads, or by the main thread alone
//!   (`--flavor`).
//! - **Shared**: all memory, and the worker.
//! - **A blocking call stops**: the worker, and every client that waits for it; with `current-thread`, the
//!   server. So hashing, listings and fsync go to helper threads ([`Helpers`]). The runtime has such threads of its own
//!   (`spawn_blocking`), but one queue for all of them, in which a listing waits behind hashes. A call
//!   that a file system never answers keeps its helper, and its client gets `timeout`; with all eight of a kind kept,
//!   further work of that kind waits.
//! - **One client can do to another**: nothing by being slow; a session yields after its share. Its hashes delay the
//!   hashes of others, and no listing.
//! - **Costs**: 2.4 KiB for an idle client, input buffer and all, and no stack; two system calls for epoll per
//!   connection, and none for a request but its share of an `epoll_wait`.
//! - **Breaks**: wherever code blocks without the runtime knowing. The compiler does not see it, and with
//!   few clients nobody does.
//!
//! # Stackless beside stackful
//!
//! `coroutine_server` does the same with coroutines that have stacks. Lay the two `serve` side by side.
//!
//! - **Where a wait can be.** A coroutine may wait at any depth of calls, and no signature tells. A future
//!   waits where `await` stands, and a function that waits must itself be `async`, up to the top. So a
//!   reader sees every point where other clients may come in between, and a library that was written to
//!   block cannot be used at all.
//! - **What a wait keeps.** A coroutine keeps its stack: whole pages, of fixed size, with a guard page
//!   that one can run into. A future keeps the variables that are alive across an `await`, no more, and its
//!   size is known to the compiler. Here it is some 800 bytes, the session and a timer among them; a
//!   unit test holds it there, since every idle client would pay for a careless `let`.
//! - **Threads.** Both may wake on another thread than they slept on. For futures the compiler checks it: what is
//!   alive across an `await` must be `Send`, so the guard of a std lock held there does not compile in a
//!   spawned task. With coroutines that is a rule to be kept by hand. (A lock held across an `await` would be
//!   wrong even so: whoever is polled next by the same worker may want it, and then nobody runs.)
//! - **Taking away.** A future is cancelled by dropping it, at whatever `await` it stands: everything it owns is
//!   dropped, and half of what it was about may be done. Nothing here is cancelled: sessions end by what their
//!   sockets tell, because an upload cut at an arbitrary point is the session's business to undo.
//!
//! # Readiness
//!
//! [`AsyncFd`] remembers what epoll, edge-triggered, has said. [`AsyncFd::try_io`] does not call at all where
//! the descriptor is not ready, and forgets the readiness when the call would block. A timer for each wait is
//! the runtime's idiom, and here is no dearer than the deadline that other models leave with the connection
//! ([`ConnectionHandle::begin_wait`]): both are set without a system call, and hardly any timer ever fires. Where this
//! was measured, no difference was shown.
//!
//! In the course this is asynchronous programming with `async` and `await`; among Stevens' server designs it
//! has no number, and in Kegel's list for ten thousand clients it is "serve many clients with each thread,
//! and use nonblocking I/O and readiness change notification".

mod options;
mod ready_socket;

use crate::ready_socket::ReadySocket;
use file_service::{Interest, Job, Model, Outcome, Service, Session, Step};
pub use options::{Flavor, Options};
use server_core::{
    Accepted, Acceptor, Connection, ConnectionHandle, Helpers, Incoming, start_library,
};
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::Instant;
use tokio::io::Interest as Direction;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{coop, yield_now};
use tokio::time::{sleep_until, timeout_at};

/// The model's name, and its row in the README's table.
pub const MODEL: Model = Model {
    name: "async_server",
    unit: "a stackless coroutine (a future) per connection",
    strength: "what most would pick today: no stack per client, and the compiler checks the rules",
    weakness: "a blocking call stops a whole worker unseen; every caller of what waits must be `async` too",
};

/// Serves until shutdown is requested.
///
/// # Errors
///
/// The system refuses a thread, an epoll set, the signalfd or an option of the listening socket.
pub fn run(listener: TcpListener, service: Service, options: Options) -> io::Result<()> {
    let runtime = runtime(&options)?;
    let acceptor = Incoming::non_blocking(listener, &service)?.into_acceptor();
    let helpers = Helpers::start()?;
    runtime.block_on(async {
        // A task too, because what a worker spawns goes to its own queue, without a lock.
        tokio::spawn(accept(acceptor, service, helpers)).await?
    })
}

/// The threads that poll the futures.
fn runtime(options: &Options) -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut builder = match options.flavor {
        Flavor::CurrentThread => Builder::new_current_thread(),
        Flavor::MultiThread => Builder::new_multi_thread(),
    };
    builder.worker_threads(options.workers.unwrap_or(cores));
    builder.thread_name("worker").enable_io().enable_time();
    start_library("the runtime", move || builder.build())?
}

/// What the tasks of all clients share.
struct Shared {
    service: Service,
    helpers: Helpers,
    /// Never sent to: it is dropped with the last task, which the receiver notices.
    _alive: mpsc::Sender<()>,
}

/// Spawns a task for each client, until shutdown is requested and the last task has ended.
async fn accept(mut acceptor: Acceptor, service: Service, helpers: Helpers) -> io::Result<()> {
    let (alive, mut all_ended) = mpsc::channel(1);
    let shared = Arc::new(Shared { service, helpers, _alive: alive });
    accept_all(&mut acceptor, &shared).await?;
    drop(shared);
    all_ended.recv().await;
    Ok(())
}

async fn accept_all(acceptor: &mut Acceptor, shared: &Arc<Shared>) -> io::Result<()> {
    let Some(listener) = acceptor.listener() else { return Ok(()) };
    let listener = OwnedFd::from(listener.try_clone()?);
    // SAFETY: an `OwnedFd` is one open descriptor until it is dropped; the `AsyncFd` owns this one, and
    // nothing here takes it out.
    let listener = unsafe { AsyncFd::register_with_interest(listener, Direction::READABLE) }?;
    let mut until = None;
    loop {
        let mut ready = readable(&listener, until).await?;
        until = loop {
            match acceptor.try_accept() {
                // The model: the conversation goes to a task of its own, and we accept the next client.
                Accepted::Connection(connection) => spawn(connection, acceptor, shared),
                Accepted::Retry => {}
                Accepted::Empty(until) => {
                    if let Some(ready) = &mut ready {
                        ready.clear_ready();
                    }
                    break until;
                }
                Accepted::Pause(until) => sleep_until(until.into()).await,
                Accepted::Shutdown => return Ok(()),
            }
            coop::consume_budget().await; // a flood of clients must not starve those that are here
        };
    }
}

/// Waits for a client, but not beyond the given time.
async fn readable(
    listener: &AsyncFd<OwnedFd>,
    until: Option<Instant>,
) -> io::Result<Option<AsyncFdReadyGuard<'_, OwnedFd>>> {
    match until {
        None => listener.readable().await.map(Some),
        Some(until) => timeout_at(until.into(), listener.readable()).await.ok().transpose(),
    }
}

fn spawn(connection: Connection, acceptor: &mut Acceptor, shared: &Arc<Shared>) {
    let handle = Arc::clone(connection.handle());
    // SAFETY: a `ConnectionHandle` has one socket, open from its creation until its drop, and returns the same
    // descriptor at every call; the `AsyncFd` owns a share of the handle.
    match unsafe { AsyncFd::register(Arc::clone(&handle)) } {
        Ok(io) => {
            let mut session = connection.session(&shared.service);
            let shared = Arc::clone(shared);
            // The block owns and `serve` borrows: an `async fn` keeps twice what it takes by value.
            tokio::spawn(async move {
                serve(&mut session, &io, &shared.helpers).await;
                drop(connection);
            });
        }
        Err(_) => {
            drop(connection);
            acceptor.refuse(handle);
        }
    }
}

/// Serves one client: the loop of the blocking driver, in which a wait is an `await`.
async fn serve(session: &mut Session, io: &AsyncFd<Arc<ConnectionHandle>>, helpers: &Helpers) {
    let mut outcome = None;
    let mut socket = ReadySocket { io, is_overdue: false };
    loop {
        match session.advance(&mut socket) {
            Step::Idle | Step::Wait(Interest::Read) => {
                socket.is_overdue = !wait(io, Direction::READABLE, session).await;
            }
            Step::Wait(Interest::Write) => {
                wait(io, Direction::WRITABLE, session).await;
            }
            Step::Yield => yield_now().await,
            Step::Offload(job) => outcome = Some(run_blocking(job, helpers)),
            Step::Wait(Interest::Job) => match wait_for_job(&mut outcome, session).await {
                Ok(()) => {}
                Err(_) => return, // it panicked, which costs this client alone
            },
            Step::Closed => return,
        }
    }
}

/// Waits until the socket is ready; returns whether it is before the session's deadline. Meanwhile the worker polls
/// others.
async fn wait(
    io: &AsyncFd<Arc<ConnectionHandle>>,
    direction: Direction,
    session: &Session,
) -> bool {
    timeout_at(session.deadline().into(), io.ready(direction)).await.is_ok()
}

/// Has a helper thread run the job. Meanwhile the worker polls others.
fn run_blocking(job: Job, helpers: &Helpers) -> oneshot::Receiver<Outcome> {
    let (sender, receiver) = oneshot::channel();
    helpers.run(job, move |outcome| {
        // Without an outcome the sender is dropped. A task that has ended wants none.
        let _ = outcome.map(|outcome| sender.send(outcome));
    });
    receiver
}

/// Waits for the outcome of the job that is out, if one is, which resumes the session, or until the session's deadline.
async fn wait_for_job(
    outcome: &mut Option<oneshot::Receiver<Outcome>>,
    session: &mut Session,
) -> Result<(), RecvError> {
    let deadline = session.deadline().into();
    let Some(receiver) = outcome else {
        sleep_until(deadline).await;
        return Ok(());
    };
    if let Ok(result) = timeout_at(deadline, receiver).await {
        *outcome = None;
        session.resume(result?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<'a, F>(
        _: impl Fn(&'a mut Session, &'a AsyncFd<Arc<ConnectionHandle>>, &'a Helpers) -> F,
    ) -> usize {
        size_of::<F>()
    }

    /// Every idle client pays for what is alive across an `await`.
    #[test]
    fn task_fits_its_bound() {
        let owned = size_of::<(Connection, Session, AsyncFd<Arc<ConnectionHandle>>, Arc<Shared>)>();
        let task = owned + size_of_future(serve);
        println!("a task has {task} bytes, {owned} of them owned");
        assert!(task <= 832, "{task} bytes");
    }
}
