//! A file server with threads: one for each client, or a pool of them. There is nothing to do in this file.
//!
//! ```sh
//! server --root DIR --model thread --limit 64           # a thread for each client, 64 at most
//! server --root DIR --model pool --workers 4 --queue 8  # 4 threads; 8 clients more may wait for one
//! ```
//!
//! SIGTERM or SIGINT: it takes no more clients, serves those that it has to their end, says how many they were, and ends.

mod client;
mod pool;
mod stats;
mod sync;
mod threads;

use client::Client;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{self, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, sockopt};
use pool::Pool;
use stats::Stats;
use std::io::{self, Write};
use std::net::{SocketAddrV4, TcpListener};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use threads::Threads;

/// How clients are served.
enum Model {
    Threads(Threads),
    Pool(Pool),
}

impl Model {
    fn offer(&self, client: Client) -> Result<(), Client> {
        match self {
            Model::Threads(threads) => threads.offer(client),
            Model::Pool(pool) => pool.offer(client),
        }
    }

    fn finish(self) {
        match self {
            Model::Threads(threads) => threads.finish(),
            Model::Pool(pool) => pool.finish(),
        }
    }
}

struct Options {
    root: PathBuf,
    address: SocketAddrV4,
    model: String,
    limit: usize,
    workers: usize,
    queue: usize,
}

fn main() -> io::Result<()> {
    let options = options()?;
    // Before there is any other thread: each inherits it, so the signals wait for this one to ask.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    let signals = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?;

    let listener = listen(options.address)?;
    let stats = Arc::new(Stats::default());
    let model = match &options.model[..] {
        "thread" => Model::Threads(Threads::start(options.limit)),
        "pool" => Model::Pool(Pool::start(options.workers, options.queue)?),
        other => return Err(io::Error::other(format!("--model {other}: expected thread or pool"))),
    };
    print_line(&format!("listening on {}", listener.local_addr()?))?;
    accept(&listener, &signals, &model, &options.root, &stats)?;
    drop(listener);
    model.finish();
    print_line(&format!("served {} clients, {} bytes", stats.clients(), stats.bytes()))
}

/// Accepts clients and hands them to the model until a signal comes.
fn accept(
    listener: &TcpListener,
    signals: &SignalFd,
    model: &Model,
    root: &Path,
    stats: &Arc<Stats>,
) -> io::Result<()> {
    loop {
        let mut fds = [
            PollFd::new(listener.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => {}
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if fds[1].any() == Some(true) {
            return Ok(());
        }
        match listener.accept() {
            Ok((stream, _)) => {
                let client = Client::new(stream, root, stats);
                if let Err(client) = model.offer(client) {
                    client.refuse();
                }
            }
            // The client has changed its mind, or another signal came.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                // Perhaps there is no descriptor left. The client stays in the backlog: without a pause this loop
                // would ask again at once, and all the time.
                eprintln!("accept: {error}");
                thread::park_timeout(Duration::from_millis(10));
            }
        }
    }
}

/// A listening socket that nobody waits at: `poll` says when somebody has come.
fn listen(address: SocketAddrV4) -> io::Result<TcpListener> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket::socket(AddressFamily::Inet, SockType::Stream, flags, None)?;
    socket::setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    socket::bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    socket::listen(&socket, Backlog::new(1024)?)?;
    Ok(TcpListener::from(socket))
}

fn options() -> io::Result<Options> {
    let mut options = Options {
        root: PathBuf::from("."),
        address: SocketAddrV4::new([127, 0, 0, 1].into(), 0),
        model: "pool".into(),
        limit: 64,
        workers: 4,
        queue: 16,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().unwrap_or_default();
        let wrong = || io::Error::other(format!("{name} {value}: what is that?"));
        let number = || value.parse::<usize>().map_err(|_| wrong());
        match &name[..] {
            "--root" => options.root = PathBuf::from(&value),
            "--addr" => options.address = value.parse().map_err(|_| wrong())?,
            "--model" => options.model = value,
            "--limit" => options.limit = number()?.max(1),
            "--workers" => options.workers = number()?.max(1),
            "--queue" => options.queue = number()?.max(1),
            _ => return Err(wrong()),
        }
    }
    Ok(options)
}

fn print_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
