//! A stackful coroutine per connection, on [`may`].
//!
//! The code reads like the thread server's, but a wait costs a switch in user space and not in the
//! kernel: a coroutine that would block gives its worker thread to another, and an epoll loop inside the
//! scheduler brings it back.
//!
//! - **Unit of concurrency**: a coroutine with a stack of its own, run by a few worker threads.
//! - **Shared**: all memory, and the worker.
//! - **A blocking call stops**: the worker, and every coroutine that waits for it. So hashing, large
//!   listings and fsync go to helper threads ([`Step::Offload`]). A call that a file system never answers keeps its
//!   helper, and its client gets `timeout`; with all eight of a kind kept, further work of that kind waits.
//! - **One client can do to another**: nothing by being slow. A session that has had its share waits until its
//!   worker has looked at epoll, and goes behind all clients that are ready then. A client stays with the worker
//!   that its descriptor's number chose, so it may wait for its turn while another worker rests. Its hashes
//!   delay the hashes of others, and no listing.
//! - **Costs**: a stack (the touched pages of it) per idle client, two system calls for epoll per
//!   connection, and next to nothing per switch.
//! - **Breaks**: at the number of memory mappings (two per stack, `vm.max_map_count`), and wherever code
//!   blocks without the scheduler knowing.
//!
//! # The four rules of `may`
//!
//! 1. **No blocking call.** It stops the worker: files that may be slow, locks held long, `sleep` of std.
//! 2. **No thread-local across a wait.** A coroutine may wake on another thread than it slept on: no
//!    guard of a std lock, no stdout lock, no tracing span may live across [`WaitIo::wait_io`].
//! 3. **No deep stack.** A stack does not grow; its overflow hits a guard page and ends the coroutine
//!    without unwinding, so nothing is dropped. Buffers belong on the heap.
//! 4. **No fork once it runs.** The scheduler's threads do not survive it.
//!
//! # Processes times coroutines
//!
//! With `--processes N` there are N processes, each with a scheduler of its own, forked before it starts
//! (rule 4), and a parent that serves nobody. They accept from one listening socket and share the limit on
//! connections, in memory that all have mapped, and nothing else. So a crash costs the clients of one
//! process, and no core waits for another's lock or queue. The price: what one process has too much of,
//! another cannot take over, since a client stays where it was accepted; and every process has helper
//! threads and stacks in reserve of its own. The workers are divided among the processes unless
//! `--workers` says how many each has. In Stevens' list this is preforking without a lock around
//! accept, each child being concurrent by itself; nginx is built so, with an event loop in each worker.

mod processes;

use file_service::{Job, Model, Outcome, Service, Session, Step};
use may::coroutine::{self, Builder, JoinHandle};
use may::io::{CoIo, WaitIo, WaitIoWaker};
use server_core::{
    Connection, ConnectionHandle, Helpers, Incoming, Key, Slab, Socket, deadline_tick,
    start_library,
};
use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::sync::mpsc::{self, Receiver, RecvError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

/// The model's name, and its row in the README's table.
pub const MODEL: Model = Model {
    name: "coroutine_server",
    unit: "a stackful coroutine per connection",
    strength: "reads like threads, costs like events: ten thousand idle clients are no burden",
    weakness: "one blocking call stops a whole worker; a small fixed stack",
};

/// The options of this model.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// How many threads run the coroutines of a process [default: one for each core, over all processes]
    #[arg(long, value_name = "N", value_parser = server_core::parse_count)]
    pub workers: Option<usize>,
    /// How many processes serve, each with a scheduler of its own [default: this one]
    #[arg(long, value_name = "N", value_parser = server_core::parse_count)]
    pub processes: Option<usize>,
}

impl Options {
    fn workers(&self) -> usize {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        self.workers.unwrap_or(cores / self.processes.unwrap_or(1)).max(1)
    }
}

/// A stack in machine words: 64 KiB, most of which is never touched.
const STACK_WORDS: usize = 0x2000;

/// How many stacks are kept for reuse; `may`'s own 1,000 would be mapped before the first client came.
const STACK_POOL: usize = 64;

/// The peer has ended its side, as epoll reports it.
const RDHUP: usize = 0x2000;

/// Serves until shutdown is requested.
///
/// # Errors
///
/// The system refuses a thread, the signalfd or an option of the listening socket.
pub fn run(listener: TcpListener, service: Service, options: Options) -> io::Result<()> {
    let Some(processes) = options.processes else {
        let incoming = Incoming::non_blocking(listener, &service)?;
        return serve_all(incoming, &service, &options);
    };
    match processes::start(&listener, &service, processes)? {
        Some(limit) => {
            let incoming = Incoming::non_blocking(listener, &service)?.with_limit(limit);
            serve_all(incoming, &service, &options)
        }
        None => Ok(()), // the parent, whose last process has ended
    }
}

/// Spawns a coroutine for each client, until shutdown is requested.
fn serve_all(mut incoming: Incoming, service: &Service, options: &Options) -> io::Result<()> {
    start_scheduler(options)?;
    let helpers = Helpers::start()?;
    let deadlines = Deadlines::start(service);
    while let Some(connection) = incoming.next() {
        let handle = Arc::clone(connection.handle());
        // On the heap, because on the coroutine's own stack it would cost a second page.
        let session = Box::new(connection.session(service));
        let (helpers, deadlines) = (helpers.clone(), Arc::clone(&deadlines));
        let io = match CoIo::new(Arc::clone(&handle)) {
            Ok(io) => io,
            Err(_) => {
                drop(connection);
                incoming.refuse(handle);
                continue;
            }
        };
        // The model: the conversation goes to a coroutine of its own, and we accept the next client.
        // SAFETY: `serve` keeps the rules above: between its waits it holds no thread-local and no
        // guard, and its buffers are on the heap, so 64 KiB of stack are enough.
        unsafe { coroutine::spawn(move || serve(connection, session, io, &helpers, &deadlines)) };
    }
    Ok(())
}

/// Starts the workers, with a coroutine for each: the scheduler starts with its first coroutine, which had better not be a
/// client's.
fn start_scheduler(options: &Options) -> io::Result<()> {
    let workers = options.workers();
    let config = may::config();
    config.set_workers(workers);
    config.set_worker_pin(false); // the system places the threads of all models alike
    config.set_stack_size(STACK_WORDS);
    config.set_pool_capacity(STACK_POOL);
    start_library("the scheduler", move || {
        for number in 0..workers {
            let name = move || WORKER.set(number);
            // SAFETY: the coroutine waits for nothing, so it ends on the thread on which it began, and needs no stack to
            // speak of.
            let _ = unsafe { Builder::new().id(number).spawn(name) }.map(JoinHandle::join);
        }
    })
}

thread_local! {
    /// The number of the worker whose thread this is. (Any will do on the scheduler's timer thread, which has no clients.)
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Returns the number of the worker that runs the calling coroutine. Never inlined: a caller that looked the thread up
/// before a wait could take it for its own after the wait.
#[inline(never)]
fn worker() -> usize {
    WORKER.get()
}

/// Serves one client: the loop of the blocking driver, in which a wait is a switch to another coroutine.
///
/// The order of the parameters matters: they are dropped from last to first. `io` must be gone before the
/// connection closes its socket, because it takes itself out of the epoll set by the descriptor's number,
/// and a closed number may be another client's by then, who would never be woken again.
fn serve(
    connection: Connection,
    mut session: Box<Session>,
    io: CoIo<Arc<ConnectionHandle>>,
    helpers: &Helpers,
    deadlines: &Deadlines,
) {
    let mut transport = Socket(connection.socket());
    let _watched = deadlines.watch(&io);
    let mut hung_up = false;
    let mut outcome = None;
    loop {
        if resume(&mut session, &mut outcome).is_err() {
            return; // the job panicked, which costs this client alone
        }
        match session.advance(&mut transport) {
            // The end of stream may have come together with the last bytes: there is no second edge.
            Step::Idle if hung_up => {}
            Step::Idle | Step::Wait(_) => hung_up |= wait(&io, &session),
            Step::Yield => yield_to_all(),
            Step::Offload(job) => outcome = Some(run_blocking(job, helpers, io.waker())),
            Step::Closed => return,
        }
    }
}

/// Yields the worker to other coroutines until an edge of readiness or an outcome comes, or the deadline passes. Returns
/// whether the peer has hung up.
fn wait(io: &CoIo<Arc<ConnectionHandle>>, session: &Session) -> bool {
    let handle = io.inner();
    handle.begin_wait(session.deadline());
    let events = io.wait_io();
    handle.end_wait();
    events & RDHUP != 0
}

/// Lets all clients go first that wait for this worker.
///
/// `yield_now` would let only those go that are in the worker's queue. The worker looks at epoll when its queue is
/// empty, so two sessions that yield to each other would keep it from all other clients. A new coroutine waits
/// elsewhere: the worker takes it into its queue after it has looked at epoll.
fn yield_to_all() {
    // SAFETY: the new coroutine waits for nothing and needs no stack to speak of.
    match unsafe { Builder::new().id(worker()).spawn(|| {}) } {
        Ok(turn) => turn.wait(),
        Err(_) => coroutine::yield_now(),
    }
}

/// Has a helper thread run the job, and then wake the coroutine from its [`wait`].
///
/// The channels of `may` would not do: their `recv_timeout` has no end below a millisecond, and for other times that are
/// not whole milliseconds it mostly waits twice as long.
fn run_blocking(job: Job, helpers: &Helpers, waker: WaitIoWaker) -> Receiver<Option<Outcome>> {
    let (sender, receiver) = mpsc::channel();
    helpers.run(job, move |outcome| {
        let _ = sender.send(outcome); // a coroutine that has ended wants none
        waker.wakeup();
    });
    receiver
}

/// Resumes the session if the job that is out has run. Fails if the job has panicked.
fn resume(
    session: &mut Session,
    job: &mut Option<Receiver<Option<Outcome>>>,
) -> Result<(), RecvError> {
    if let Some(Ok(outcome)) = job.as_ref().map(Receiver::try_recv) {
        *job = None;
        session.resume(outcome.ok_or(RecvError)?);
    }
    Ok(())
}

/// The connections whose deadlines one coroutine looks at: `wait_io` has no timeout.
struct Deadlines(Mutex<Slab<(Arc<ConnectionHandle>, WaitIoWaker)>>);

/// Has a connection's deadline looked at for as long as this lives.
struct Watched<'a>(&'a Deadlines, Key);

impl Deadlines {
    /// Spawns the coroutine.
    fn start(service: &Service) -> Arc<Deadlines> {
        let deadlines = Arc::new(Deadlines(Mutex::default()));
        let (all, tick) = (Arc::clone(&deadlines), deadline_tick(service));
        let look = move || {
            loop {
                coroutine::sleep(tick);
                let now = Instant::now();
                for (_, (handle, waker)) in all.lock().iter() {
                    if handle.is_overdue(now) {
                        waker.wakeup();
                    }
                }
            }
        };
        // SAFETY: the guard of the lock is not held across the `sleep`, and the stack stays shallow.
        unsafe { coroutine::spawn(look) };
        deadlines
    }

    fn watch(&self, io: &CoIo<Arc<ConnectionHandle>>) -> Watched<'_> {
        Watched(self, self.lock().insert((Arc::clone(io.inner()), io.waker())))
    }

    fn lock(&self) -> MutexGuard<'_, Slab<(Arc<ConnectionHandle>, WaitIoWaker)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let removed = self.0.lock().remove(self.1);
        drop(removed); // after the lock
    }
}
