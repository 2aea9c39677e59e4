//! Completions instead of readiness, on io_uring.
//!
//! A readiness model asks the kernel *when* an operation would not wait, and then calls it. A completion
//! model hands the operation itself to the kernel, together with the memory that it reads or writes, and is
//! told when it *has been done*. Submissions and completions pass through two rings of memory that the
//! process shares with the kernel, so one system call hands over a whole batch and waits for the next:
//!
//! ```text
//!   sessions are advanced            io_uring_enter              completions
//!   and note what they need  ----->  all of it at once  ----->   of accepts, receives,  ---.
//!            ^                       and wait                    sends, polls, reads       |
//!            '------------------------------------------------------------------------------'
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `server` | the loop: completions in, sessions advanced, submissions out |
//! | `wire` | one client's buffers, and the transport that its session sees |
//! | `ring` | io_uring itself: what can be submitted, the shared buffers, what a refusal means |
//!
//! - **Unit of concurrency**: an operation. A session is advanced by the completion that it waits for.
//! - **Shared**: all memory, the one thread and its ring, and the buffers for what arrives.
//! - **A blocking call stops**: every client of the ring. So hashing, large listings and fsync go to helper
//!   threads ([`Step::Offload`](file_service::Step::Offload)), whose answer is a completion, too. A call that a
//!   file system never answers keeps its helper, and its client gets `timeout`; with all eight of a kind kept, further
//!   work of that kind waits. A piece of a file
//!   that is not in memory is read by the ring: a slow disk stops nobody but the client who wants it. With `--copy`
//!   the session itself reads, since it must measure the file between the read and the send: then a piece that is not in
//!   memory stops every client of the ring while the disk is read, as in the event loop.
//! - **One client can do to another**: nothing by being slow. It has one receive and one send with the kernel
//!   at most; a session has two turns in a turn of the loop at most, each of which ends with its share; and what a client has sent
//!   and nobody reads yet moves out of the shared buffers at once. Its hashes delay the hashes of others, and no listing.
//! - **Costs**: a thread, a ring, and 1 MiB of buffers for all. An idle client has an operation and no
//!   buffer: the kernel takes one of the shared ones when bytes come for it. The loop takes the large buffer of an
//!   upload back when nothing comes for two ticks. With many busy clients there is
//!   far less than one `io_uring_enter` for a request; with one client there are two. Who has sent something
//!   before gets a *multishot* receive: one submission with any number of completions. Where it was measured
//!   it saved 3% of the CPU time of a small request.
//! - **Breaks**: where io_uring is not to be had; at the number of descriptors; and, for who writes it, at the
//!   ownership of buffers.
//!
//! # The lesson: whose memory it is
//!
//! A `read` that would block has done nothing, and its buffer is the caller's again. A receive that was
//! submitted has perhaps done nothing *yet*: the kernel may write to the buffer at any moment until the
//! completion has come, whatever becomes of the client meanwhile. From this follows most of `wire.rs`:
//!
//! 1. **Buffers outlive their operations.** A session that ends is dropped at once. Its buffers and its socket
//!    are kept until the last completion has come. What is still under way is made to end first, by shutting
//!    the socket down: a cancellation would miss a send that is linked behind a read.
//! 2. **A late completion reaches nobody.** Each operation carries the key of its client (a slot, and how many
//!    clients have had it before), as a descriptor's number alone could be another client's by then.
//! 3. **Descriptors are named, not held.** A submission says "descriptor 7", and the kernel looks it up when the
//!    operation begins: within the call that submits it, or, behind another in a link, later. So between the
//!    note and the call no session is advanced, which could close a file; and a socket stays open until its
//!    last completion.
//! 4. **Order is ours to keep.** Operations of one socket complete in any order. There is one send at a time,
//!    and our side is ended after the last one ([`Transport::finish`](file_service::Transport::finish) says
//!    until then that it would block).
//! 5. **Waiting has no timeout of its own.** The loop looks at the deadlines of all sessions a few times a second. After a
//!    pause of the process bytes may be in a socket whose completion has not been taken; such a client is judged with them.
//!
//! # What is not in the ring, and why
//!
//! - *Files in memory* go by `sendfile`, and the ring waits for room in the socket (`POLL_ADD`). io_uring has no
//!   sendfile. Its splice is always given to a kernel thread, which then waits for the client: a thread per
//!   slow client is what this model is to avoid. Where it was measured, a bare loop with linked splices of 1 MiB
//!   took the CPU time of `sendfile`, at the price of a pipe of 1 MiB for each client; with pipes of 64 KiB,
//!   nearly three times that. To read and then send copies each byte twice, and took over three times. So it is
//!   done for pieces that are not in memory, and only for those.
//! - *shutdown* and *openat2 and its kind*: io_uring gives the one to a thread, always, and the session makes the
//!   others itself. They do not wait for clients.
//!
//! # Security
//!
//! io_uring is a second, large way into the kernel, past filters of system calls: what is submitted is not a
//! system call. It has had more than its share of the kernel's holes. So the default filters of container
//! runtimes forbid it, some distributions do (`kernel.io_uring_disabled`), and Google does on its production
//! servers and to apps on Android (["Learnings from kCTF VRP's 42 Linux kernel exploits submissions"][kctf],
//! 2023). Where the kernel refuses, the server says so in one line and exits with 2.
//!
//! One thing more is different: the ring of a server that was killed is taken down by the kernel after the
//! process has ended. Its sockets close a moment later than those of other servers.
//!
//! # In the course
//!
//! The topic is asynchronous I/O, the last of Stevens' five I/O models (UNP 6.2), and the only one in which
//! the copying, too, is the kernel's part; the pattern is called *proactor* (Schmidt et al., POSA 2). On
//! Kegel's list (the C10K problem) it is "serve many clients with each thread, and use asynchronous I/O".
//! Windows has completion ports since NT 3.5, Linux has io_uring since 5.1 (Axboe, "Efficient IO with
//! io_uring", 2019); this server needs 6.0.
//!
//! [kctf]: https://security.googleblog.com/2023/06/learnings-from-kctf-vrps-42-linux.html

mod ring;
mod server;
mod wire;

use file_service::{Model, Service};
use server::Server;
use server_core::{Endpoint, Helpers, Incoming, cannot_start};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread;

/// The model's name, and its row in the README's table.
pub const MODEL: Model = Model {
    name: "uring_server",
    unit: "an operation handed to the kernel, and its completion (io_uring)",
    strength: "one system call for a batch of operations; a file on a slow disk stops nobody else",
    weakness: "often forbidden; a buffer is the kernel's until the completion comes",
};

/// The options of this model.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Options {
    /// How many threads serve, each with a ring of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = server_core::parse_count)]
    pub workers: usize,
}

/// A listening socket where the kernel lets us have a ring.
#[derive(Debug)]
pub struct Listener(TcpListener);

impl Endpoint<Options> for Listener {
    fn open(addr: &str, service: &Service, options: &Options) -> io::Result<Listener> {
        probe()?;
        Endpoint::open(addr, service, options).map(Listener)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Whether this model can run here.
///
/// # Errors
///
/// The kernel has no io_uring, refuses it, or lacks an operation; the text says which.
pub fn probe() -> io::Result<()> {
    ring::Ring::new().map(drop)
}

/// Serves until shutdown is requested.
///
/// # Errors
///
/// The system refuses a thread, a ring, the signalfd or an option of the listening socket.
pub fn run(Listener(listener): Listener, service: Service, options: Options) -> io::Result<()> {
    let helpers = Helpers::start()?;
    let acceptor = Incoming::non_blocking(listener.try_clone()?, &service)?.into_acceptor();
    // The kernel waits in accept and receive: on a non-blocking socket it would return at once.
    listener.set_nonblocking(false)?;
    let mut workers = Vec::new();
    for number in 1..options.workers {
        let (acceptor, service, helpers) = (acceptor.share()?, service.clone(), helpers.clone());
        // A ring belongs to the thread that made it.
        let work = move || {
            let outcome = Server::new(acceptor, &service, helpers).and_then(Server::run);
            outcome.inspect_err(|error| tracing::error!("a worker has ended: {error}"))
        };
        let spawned = thread::Builder::new().name(format!("worker {number}")).spawn(work);
        workers.push(spawned.map_err(cannot_start(&format!("worker {number}")))?);
    }
    let outcome = Server::new(acceptor, &service, helpers)?.run();
    for worker in workers {
        worker.join().unwrap_or_else(|_| Err(io::Error::other("a worker panicked")))?;
    }
    outcome
}
