//! The stream of accepted connections, with every accept-time rule in it.
//!
//! A server is a loop over [`Incoming`]. The limit on connections and its `busy`, the back-off when
//! descriptors run out, connections that die before they are accepted, and the whole of an orderly stop
//! are here, so that the loop shows nothing but the model.
//!
//! # Stopping
//!
//! SIGTERM and SIGINT are blocked in every thread and read from a signalfd: by a thread of this module,
//! or, in a server that must stay single-threaded to fork ([`Incoming::for_forking`]), by the accept
//! loop itself. The first signal shuts the listening socket, so that new connections are refused at
//! once, and the reading side of every connection that waits for a request, which wakes its session
//! wherever it waits. The others end after the request under way; the iterator ends when the
//! last connection is dropped. Connections that outlast the drain timeout are cut. A second signal ends
//! the process at once.

use crate::protocol::{Code, error_line};
use crate::service::Service;
use crate::session::{Session, Standing};
use crate::transport::timespec;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, acceptfrom_with, recv, send,
    socket_with,
};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How many connections may wait to be accepted. The kernel lowers it to `net.core.somaxconn`; std's
/// own 128 makes a burst of 1,000 clients wait for retransmitted SYNs.
const BACKLOG: i32 = 4096;

/// How many bytes may wait in a socket to be sent for the first time. The kernel's own bound is the whole
/// send buffer of some MiB, and it asks for more only when a third of that is free again: a slow client
/// would look like one that has stalled, for so long that its deadline passes. With this bound progress is
/// seen every 64 KiB. It also keeps what is copied in the cache, which makes replies of 1 MiB a tenth
/// faster.
const UNSENT_MAX: u32 = 128 << 10;

/// How long a refused client may take to read that it was refused.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// How many refused clients are waited for at once; beyond it the oldest is cut.
const REFUSED_AT_ONCE: usize = 64;

/// How often a refused client is read from each time the accept loop comes by.
const REFUSAL_READS: usize = 4;

/// The first and the longest pause when the system has no descriptor or memory for a connection.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// How long connections that were cut have to end before the process does.
const CUT_GRACE: Duration = Duration::from_secs(1);

/// A listening socket on `addr` with a long backlog.
///
/// # Errors
///
/// The address is taken, or not one of this machine's.
pub fn listen(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    listen_with(addr, |_| Ok(()))
}

/// A listening socket likewise, whose connections have the time-outs of `service` from the first one on.
///
/// # Errors
///
/// The address is taken, or not one of this machine's.
pub fn listen_for(addr: impl ToSocketAddrs, service: &Service) -> io::Result<TcpListener> {
    listen_with(addr, |socket| set_inherited_options(socket, service))
}

fn listen_with(
    addr: impl ToSocketAddrs,
    configure: impl Fn(&OwnedFd) -> io::Result<()>,
) -> io::Result<TcpListener> {
    let mut outcome = Err(io::Error::new(io::ErrorKind::InvalidInput, "no such address"));
    for addr in addr.to_socket_addrs()? {
        outcome = listen_on(addr, &configure);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn listen_on(
    addr: SocketAddr,
    configure: impl Fn(&OwnedFd) -> io::Result<()>,
) -> io::Result<TcpListener> {
    let family = if addr.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // A server that was just stopped leaves connections in TIME_WAIT, which must not bar its successor.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &addr)?;
    configure(&socket)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket.into())
}

/// Sets what accepted sockets inherit, which saves three system calls for every connection. They inherit
/// it when the handshake ends and not when they are accepted: set before `listen`, it holds for all.
fn set_inherited_options(socket: impl AsFd, service: &Service) -> io::Result<()> {
    // A reply leaves in one piece or is corked, so there is nothing for Nagle's algorithm to gather.
    sockopt::set_tcp_nodelay(&socket, true)?;
    // Sockets that never wait do not care. The others look at their session's deadline that often.
    let tick = Some(service.settings().least_timeout());
    sockopt::set_socket_timeout(&socket, Timeout::Recv, tick)?;
    sockopt::set_socket_timeout(&socket, Timeout::Send, tick)?;
    socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_MAX)?;
    Ok(())
}

/// Blocks SIGTERM and SIGINT, to be read from a signalfd, and SIGXFSZ, so that a file above the
/// process's limit is an error of `write` and not the end of the server.
///
/// Threads inherit the mask, so this comes first in `main`.
pub(crate) fn block_signals() -> io::Result<()> {
    let mut mask = stop_signals();
    mask.add(Signal::SIGXFSZ);
    Ok(mask.thread_block()?)
}

fn stop_signals() -> SigSet {
    SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT])
}

/// The stream of accepted connections.
#[derive(Debug)]
pub struct Incoming {
    listener: Option<TcpListener>,
    service: Service,
    mode: Mode,
    shared: Arc<Shared>,
    refused: VecDeque<(Arc<Link>, Instant)>,
    /// A descriptor in reserve: closed, it lets one client be accepted and told that there is no room.
    spare: Option<OwnedFd>,
    /// The spare descriptor is the socket of a client that was refused.
    scarce: bool,
    pause: Duration,
}

#[derive(Debug)]
enum Mode {
    /// Sockets that wait; a thread reads the signals.
    Blocking,
    /// Sockets that do not; the thread also wakes the sessions whose deadline has passed.
    NonBlocking,
    /// No thread: the accept loop reads the signals.
    Forking(SignalFd),
}

/// What comes next to a loop that watches more than its listener; see [`Incoming::next_or`].
#[derive(Debug)]
pub enum Next {
    /// A client.
    Connection(Connection),
    /// The other descriptor is readable.
    Other,
    /// The order to stop, or the end of the drain timeout after it.
    Stop,
}

impl Incoming {
    /// Connections with blocking sockets, for models in which a connection has a thread of its own.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd, the thread or an option of the socket.
    pub fn blocking(listener: TcpListener, service: &Service) -> io::Result<Incoming> {
        Incoming::new(listener, service, Mode::Blocking)
    }

    /// Connections with non-blocking sockets. A session waits by leaving its deadline in its
    /// [`Link::wait_until`]; when it passes, the connection becomes readable.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd, the thread or an option of the socket.
    pub fn non_blocking(listener: TcpListener, service: &Service) -> io::Result<Incoming> {
        Incoming::new(listener, service, Mode::NonBlocking)
    }

    /// Connections with blocking sockets for a parent that forks: it has one thread, and its loop calls
    /// [`Incoming::next_or`].
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd or an option of the socket.
    pub fn for_forking(listener: TcpListener, service: &Service) -> io::Result<Incoming> {
        let mode = Mode::Forking(signal_fd()?);
        Incoming::new(listener, service, mode)
    }

    fn new(listener: TcpListener, service: &Service, mode: Mode) -> io::Result<Incoming> {
        listener.set_nonblocking(true)?;
        // Again, for a listener that does not come from `listen_for`.
        set_inherited_options(&listener, service)?;
        let shared = Arc::new(Shared::default());
        if !matches!(mode, Mode::Forking(_)) {
            let keeper = Keeper {
                signals: signal_fd()?,
                listener: listener.try_clone()?,
                shared: Arc::clone(&shared),
                service: service.clone(),
                tick: matches!(mode, Mode::NonBlocking).then(|| tick_of(service)),
            };
            thread::Builder::new()
                .name("keeper".into())
                .stack_size(64 * 1024)
                .spawn(move || keeper.run())?;
        }
        Ok(Incoming {
            listener: Some(listener),
            service: service.clone(),
            mode,
            shared,
            refused: VecDeque::new(),
            spare: spare_descriptor(),
            scarce: false,
            pause: BACK_OFF.0,
        })
    }

    /// The next connection, or news of `other`, whichever is first.
    ///
    /// Only for a server that forks: the signals are read here. After [`Next::Stop`] the listening
    /// socket is closed; further calls wait for `other` alone, until the drain timeout.
    pub fn next_or(&mut self, other: BorrowedFd<'_>) -> Next {
        loop {
            let until = self.shared.cut_off();
            let news = self.wait(Some(other), until);
            if news.signal && self.take_signal() {
                self.stop();
                return Next::Stop;
            }
            if news.other {
                return Next::Other;
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Next::Stop;
            }
            if news.listener
                && let Some(connection) = self.accept()
            {
                return Next::Connection(connection);
            }
        }
    }

    /// Tells a client that there is no room for it, and lets it read that before it is cut.
    ///
    /// Takes only the link: the connection itself may be lost, in a thread that could not be started.
    pub fn refuse(&mut self, link: Arc<Link>) {
        if let Some(trace) = self.service.trace() {
            trace.refused(link.number);
        }
        if tell_busy(&link.socket, link.peer) && !has_ended(&link.socket) {
            if self.refused.len() == REFUSED_AT_ONCE {
                self.refused.pop_front();
            }
            self.refused.push_back((link, Instant::now() + REFUSAL_LINGER));
        }
    }

    /// The limits and deadlines, and the store.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// One attempt to accept a connection that the limit allows.
    fn accept(&mut self) -> Option<Connection> {
        let listener = self.listener.as_ref()?;
        let flags = match self.mode {
            Mode::NonBlocking => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Mode::Blocking | Mode::Forking(_) => SocketFlags::CLOEXEC,
        };
        match acceptfrom_with(listener, flags) {
            Ok((socket, peer)) => {
                self.pause = BACK_OFF.0;
                if self.scarce
                    && let Some(spare) = spare_descriptor()
                {
                    self.spare = Some(spare);
                    self.scarce = false;
                }
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                let peer = peer.unwrap_or(UNKNOWN_PEER);
                let number = self.service.trace().map_or(0, |trace| trace.accepted(peer));
                let link = Arc::new(Link::new(socket.into(), peer, number));
                match self.shared.admit(&link, &self.service, &self.mode) {
                    Some(lease) => {
                        tracing::info!(peer = %link.peer, "connected");
                        Some(Connection { lease, link })
                    }
                    None => {
                        self.refuse(link);
                        None
                    }
                }
            }
            // Nobody there after all: gone again, or taken by another process.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => None,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                // Who waits in the backlog would otherwise wake the loop again at once, and for ever.
                if !self.refuse_with_spare() {
                    self.back_off();
                }
                None
            }
            // The listening socket was shut down: the order to stop.
            Err(Errno::INVAL) => {
                self.stop();
                None
            }
            // Whatever ails one connection (EPROTO, ENETDOWN, EPERM from a firewall) is no reason to
            // stop; whatever ails them all must not make the loop spin.
            Err(errno) => {
                tracing::warn!("accept: {errno}");
                self.back_off();
                None
            }
        }
    }

    /// Without a descriptor a client would wait unseen in the backlog: gives up the spare one, to tell
    /// it. Gives whether that could be done.
    fn refuse_with_spare(&mut self) -> bool {
        let Some(listener) = &self.listener else {
            return false;
        };
        drop(self.spare.take());
        match acceptfrom_with(listener, SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                let peer = peer.unwrap_or(UNKNOWN_PEER);
                tracing::warn!("no descriptor for {peer}");
                let _ = tell_busy(&socket, peer) && has_ended(&socket);
                // The refused client's descriptor is the next spare one: had it to be opened anew,
                // another thread could be faster, and all later clients would go unheard.
                self.spare = Some(socket);
                self.scarce = true;
                true
            }
            Err(_) => {
                self.spare = spare_descriptor();
                false
            }
        }
    }

    /// Waits a little, longer each time; the order to stop is heard meanwhile.
    fn back_off(&mut self) {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(BACK_OFF.1);
        let Some(listener) = &self.listener else {
            return;
        };
        // No flags: only the end of the listening socket is reported, as a hang-up.
        let mut fds = vec![PollFd::new(listener, PollFlags::empty())];
        if let Mode::Forking(signals) = &self.mode {
            fds.push(PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN));
        }
        let _ = poll(&mut fds, Some(&timespec(until.saturating_duration_since(Instant::now()))));
    }

    /// Waits for a client, for the signals where they are read here, for `other`, and meanwhile for the
    /// refused clients to leave.
    fn wait(&mut self, other: Option<BorrowedFd<'_>>, until: Option<Instant>) -> News {
        let mut fds = Vec::with_capacity(3 + self.refused.len());
        let listener = self.listener.as_ref().map(|listener| watch(&mut fds, listener.as_fd()));
        let signals = match &self.mode {
            Mode::Forking(signals) => Some(watch(&mut fds, signals.as_fd())),
            Mode::Blocking | Mode::NonBlocking => None,
        };
        let other = other.map(|other| watch(&mut fds, other));
        for (link, _) in &self.refused {
            watch(&mut fds, link.as_fd());
        }
        let until = self.refused.front().map(|(_, until)| *until).into_iter().chain(until).min();
        let timeout = until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
        // Interrupted, for example by SIGCHLD, is no news: the caller comes back.
        let ready = poll(&mut fds, timeout.as_ref()).is_ok();
        let is_ready =
            |at: Option<usize>| ready && at.is_some_and(|at| !fds[at].revents().is_empty());
        let news = News {
            listener: is_ready(listener),
            signal: is_ready(signals),
            other: is_ready(other),
        };
        if !self.refused.is_empty() {
            let now = Instant::now();
            self.refused.retain(|(link, until)| now < *until && !has_ended(&link.socket));
        }
        news
    }

    /// Reads the signal that came. Gives whether it is the first; a second one ends the process.
    fn take_signal(&mut self) -> bool {
        let Mode::Forking(signals) = &self.mode else {
            return false;
        };
        let Ok(Some(signal)) = signals.read_signal() else {
            return false;
        };
        if self.listener.is_none() {
            exit_at_once(signal.ssi_signo, &self.service);
        }
        true
    }

    fn stop(&mut self) {
        self.listener = None;
        self.refused.clear();
        self.shared.stop(self.service.settings().drain_timeout);
    }
}

/// The connections, until the server has been told to stop and the last one has ended.
impl Iterator for Incoming {
    type Item = Connection;

    fn next(&mut self) -> Option<Connection> {
        while self.listener.is_some() {
            // Under load the next client is already there, and one system call gets it.
            if let Some(connection) = self.accept() {
                return Some(connection);
            }
            if self.listener.is_some() {
                self.wait(None, None);
            }
        }
        self.refused.clear();
        // The keeper ends the process if it takes longer than the drain timeout.
        self.shared.wait_for_the_last(Duration::MAX);
        None
    }
}

struct News {
    listener: bool,
    signal: bool,
    other: bool,
}

const UNKNOWN_PEER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// A client that was accepted. Dropped, it frees its place and then closes its socket, in this order:
/// who sees the close may connect again at once.
#[derive(Debug)]
pub struct Connection {
    lease: Lease,
    link: Arc<Link>,
}

impl Connection {
    /// A session at the beginning of its conversation with this client.
    pub fn session(&self, service: &Service) -> Session {
        let session = Session::new(service, self.link.peer, Arc::clone(&self.link.standing));
        session.numbered(self.link.number)
    }

    /// The socket and what hangs on it.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.link.socket
    }

    /// Closes this process's copy of the socket and keeps the place: for a parent whose child serves.
    pub fn into_lease(self) -> Lease {
        self.lease
    }
}

/// A connection's socket, with the means to stop it and to wake it.
#[derive(Debug)]
pub struct Link {
    socket: TcpStream,
    peer: SocketAddr,
    /// In the trace; 0 without one.
    number: u32,
    standing: Arc<Standing>,
    /// As [`nanos`] counts; 0 while nothing is waited for.
    deadline: AtomicU64,
}

impl Link {
    fn new(socket: TcpStream, peer: SocketAddr, number: u32) -> Link {
        Link { socket, peer, number, standing: Arc::default(), deadline: AtomicU64::new(0) }
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Leaves word until when the session waits, or with `None` that it does not. Past that time the
    /// connection becomes readable, and its session must be told to [`Session::expire`].
    pub fn wait_until(&self, deadline: Option<Instant>) {
        let nanos = deadline.map_or(0, |deadline| nanos(deadline).max(1));
        self.deadline.store(nanos, Ordering::Release);
    }

    /// Orders the session to end, and wakes it if it waits for a request.
    pub fn stop(&self) {
        if self.standing.stop() {
            self.wake();
        }
    }

    /// Makes the connection readable for good: what has arrived can be read, then the end follows.
    fn wake(&self) {
        let _ = self.socket.shutdown(Shutdown::Read);
    }
}

impl AsRawFd for Link {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A place among the connections of the server; freed when it is dropped.
#[derive(Debug)]
pub struct Lease {
    shared: Arc<Shared>,
    key: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.release(self.key);
    }
}

/// The connections of this process that are alive.
#[derive(Debug, Default)]
struct Shared {
    live: Mutex<Live>,
    none_left: Condvar,
}

#[derive(Debug, Default)]
struct Live {
    /// One element a place. A forking parent keeps the places and not the sockets.
    links: Vec<Option<Arc<Link>>>,
    free: Vec<usize>,
    cut_off: Option<Instant>,
}

impl Live {
    fn count(&self) -> usize {
        self.links.len() - self.free.len()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Live> {
        // No code that can panic runs under this lock.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the connection a place, if one is free.
    fn admit(
        self: &Arc<Shared>,
        link: &Arc<Link>,
        service: &Service,
        mode: &Mode,
    ) -> Option<Lease> {
        let mut live = self.lock();
        if live.count() >= service.settings().max_connections {
            return None;
        }
        let kept = match mode {
            Mode::Forking(_) => None,
            Mode::Blocking | Mode::NonBlocking => Some(Arc::clone(link)),
        };
        let key = match live.free.pop() {
            Some(key) => {
                live.links[key] = kept;
                key
            }
            None => {
                live.links.push(kept);
                live.links.len() - 1
            }
        };
        if live.cut_off.is_some() {
            link.stop(); // accepted just before the listening socket was shut
        }
        Some(Lease { shared: Arc::clone(self), key })
    }

    fn release(&self, key: usize) {
        let link;
        {
            let mut live = self.lock();
            link = live.links[key].take();
            live.free.push(key);
            if live.count() == 0 && live.cut_off.is_some() {
                self.none_left.notify_all();
            }
        }
        drop(link); // closing a socket is a system call: not under the lock
    }

    fn stop(&self, drain: Duration) {
        let mut live = self.lock();
        if live.cut_off.is_some() {
            return;
        }
        tracing::info!("stopping");
        live.cut_off = Some(Instant::now() + drain);
        live.links.iter().flatten().for_each(|link| link.stop());
        self.none_left.notify_all();
    }

    fn cut_off(&self) -> Option<Instant> {
        self.lock().cut_off
    }

    /// Waits until no connection is left; in vain after `patience`.
    fn wait_for_the_last(&self, patience: Duration) {
        let live = self.lock();
        let _ = self.none_left.wait_timeout_while(live, patience, |live| live.count() > 0);
    }

    /// Ends what the drain timeout has overtaken, and says so first: it may be the end of the process.
    fn cut(&self) {
        let live = self.lock();
        if live.count() > 0 {
            tracing::warn!("drain timeout: {} connections cut", live.count());
        }
        for link in live.links.iter().flatten() {
            let _ = link.socket.shutdown(Shutdown::Both);
        }
    }

    /// Wakes the sessions whose deadline has passed.
    fn wake_expired(&self) {
        let now = nanos(Instant::now());
        for link in self.lock().links.iter().flatten() {
            let deadline = link.deadline.load(Ordering::Acquire);
            if deadline != 0 && deadline <= now {
                link.wake();
            }
        }
    }
}

/// The one thread of this module: reads the signals, keeps the drain timeout, wakes what has expired.
struct Keeper {
    signals: SignalFd,
    listener: TcpListener,
    shared: Arc<Shared>,
    service: Service,
    tick: Option<Duration>,
}

impl Keeper {
    fn run(self) {
        loop {
            let cut_off = self.shared.cut_off();
            let until = match (cut_off, self.tick) {
                (Some(cut_off), Some(tick)) => Some(cut_off.min(Instant::now() + tick)),
                (cut_off, tick) => cut_off.or(tick.map(|tick| Instant::now() + tick)),
            };
            let timeout =
                until.map(|until| timespec(until.saturating_duration_since(Instant::now())));
            let mut fds = [PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
            let _ = poll(&mut fds, timeout.as_ref());
            if let Ok(Some(signal)) = self.signals.read_signal() {
                if cut_off.is_some() {
                    exit_at_once(signal.ssi_signo, &self.service);
                }
                self.shared.stop(self.service.settings().drain_timeout);
                // Of all processes and threads that hold this socket: nobody can connect any more, and
                // the accept loop wakes.
                let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
            }
            if self.tick.is_some() {
                self.shared.wake_expired();
            }
            if cut_off.is_some_and(|cut_off| Instant::now() >= cut_off) {
                return self.end();
            }
        }
    }

    /// The drain timeout is over.
    fn end(self) {
        self.shared.cut();
        // Sessions end by themselves now, and their temporary files with them; what hangs is left.
        self.shared.wait_for_the_last(CUT_GRACE);
        exit(0, &self.service)
    }
}

/// Adds `fd` to what poll watches; gives its place there.
fn watch<'fd>(fds: &mut Vec<PollFd<'fd>>, fd: BorrowedFd<'fd>) -> usize {
    fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
    fds.len() - 1
}

fn spare_descriptor() -> Option<OwnedFd> {
    File::open("/dev/null").ok().map(OwnedFd::from)
}

/// Sends the refusal and ends our side, without waiting; gives whether the client can read it.
fn tell_busy(socket: impl AsFd, peer: SocketAddr) -> bool {
    tracing::info!(%peer, "busy");
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    send(&socket, error_line(Code::Busy).as_bytes(), flags).is_ok()
        && rustix::net::shutdown(&socket, rustix::net::Shutdown::Write).is_ok()
}

/// Discards some of what a refused client has sent; gives whether it is gone.
///
/// Not all of it: a client that sends faster than we read would hold up the accept loop.
fn has_ended(socket: impl AsFd) -> bool {
    let mut scratch = [0; 4096];
    for _ in 0..REFUSAL_READS {
        match recv(&socket, &mut scratch[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return true,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return errno != Errno::AGAIN,
        }
    }
    false
}

fn signal_fd() -> io::Result<SignalFd> {
    let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
    Ok(SignalFd::with_flags(&stop_signals(), flags)?)
}

fn exit_at_once(signal: u32, service: &Service) -> ! {
    exit(128 + signal as i32, service)
}

/// Ends the process from within, while others may still be at work.
fn exit(code: i32, service: &Service) -> ! {
    if let Some(trace) = service.trace() {
        trace.end();
    }
    std::process::exit(code)
}

/// How often deadlines are looked at: often enough that none is missed by much.
fn tick_of(service: &Service) -> Duration {
    let least = service.settings().least_timeout();
    (least / 8).clamp(Duration::from_millis(20), Duration::from_millis(250))
}

/// Nanoseconds since some moment before all others. Exact, so that a session whose time is up by this
/// count is so by its own.
fn nanos(instant: Instant) -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = EPOCH.get_or_init(|| Instant::now() - Duration::from_nanos(1));
    instant.saturating_duration_since(*epoch).as_nanos().try_into().unwrap_or(u64::MAX)
}
