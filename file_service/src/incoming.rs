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
use crate::session::{Session, ShutdownState};
use crate::transport::{Interest, timespec};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, epoll, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, acceptfrom_with,
    recv, send, socket_with,
};
use std::cell::OnceCell;
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

/// How often refused clients are read from by who does not wait for them.
const REFUSAL_TICK: Duration = Duration::from_millis(2);

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

/// The order to stop, for a server without connections: it has one thread, and nothing to drain.
#[derive(Debug)]
pub struct StopSignal(SignalFd);

impl StopSignal {
    /// Listens for SIGTERM and SIGINT, which [`crate::launch`] has blocked.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd.
    pub fn new() -> io::Result<StopSignal> {
        Ok(StopSignal(signal_fd()?))
    }

    /// Waits until `other` is readable, or seems so, or for at most `patience`. Gives whether the order to
    /// stop has come, however readable `other` is.
    pub fn comes_before(&self, other: Option<BorrowedFd<'_>>, patience: Option<Duration>) -> bool {
        let mut fds = Vec::with_capacity(2);
        let signal = watch(&mut fds, self.0.as_fd());
        if let Some(other) = other {
            watch(&mut fds, other);
        }
        // Interrupted is no news: the caller comes back.
        let ready = poll(&mut fds, patience.map(timespec).as_ref()).is_ok();
        let stops = ready && !fds[signal].revents().is_empty();
        if stops {
            tracing::info!("stopping");
        }
        stops
    }
}

/// The stream of accepted connections.
#[derive(Debug)]
pub struct Incoming {
    listener: Option<TcpListener>,
    service: Service,
    mode: Mode,
    shared: Arc<Shared>,
    refused: VecDeque<(Arc<Link>, Instant)>,
    /// Watches the listening socket alone, for one of several that accept from it: a new client wakes one.
    /// Made when it is first needed: a loop that watches the listening socket itself never does.
    alone: OnceCell<Option<OwnedFd>>,
    /// A descriptor in reserve: closed, it lets one client be accepted and told that there is no room.
    spare: Option<OwnedFd>,
    /// The spare descriptor is the socket of a client that was refused.
    scarce: bool,
    pause: Duration,
    paused_until: Option<Instant>,
    /// Clients are to wait in the backlog.
    held: bool,
}

#[derive(Debug)]
enum Mode {
    /// Sockets that wait; a thread reads the signals.
    Blocking,
    /// Sockets that do not; the thread also wakes the sessions whose deadline has passed.
    NonBlocking,
    /// No thread: the accept loop reads the signals.
    Forking(SignalFd),
    /// No thread: a parent process reads the signals. Sockets that wait, the listening one among them.
    Preforked,
    /// As `NonBlocking`, but the sockets are left to wait: the kernel does, in operations handed to it.
    Completing,
}

/// What a loop of its own is given by [`Incoming::try_next`].
#[derive(Debug)]
pub enum Accepted {
    /// A client.
    Connection(Connection),
    /// One that was refused, or has gone: there may be more.
    Again,
    /// Nobody. Come again when the listening socket is readable, and at this time, if there is one, to look
    /// after clients that were refused and descriptors that were short.
    Nobody(Option<Instant>),
    /// The system lacks what a client needs: do not watch the listening socket before this time.
    Pause(Instant),
    /// The order to stop: nobody will come any more.
    Stop,
}

/// Places for clients that several processes share; each process has a limit of its own besides.
pub trait Places: std::fmt::Debug + Send + Sync {
    /// Takes a place, if one is free.
    fn take(&self) -> bool;

    /// Gives back a place that was taken.
    fn give_back(&self);
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

    /// Connections likewise, of one of several processes that accept from the same listening socket. The limit
    /// on connections is kept by `places`, for all of them.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd, the thread or an option of the socket.
    pub fn among_processes(
        listener: TcpListener,
        service: &Service,
        places: Arc<dyn Places>,
    ) -> io::Result<Incoming> {
        Incoming::with_places(listener, service, Mode::NonBlocking, Some(places))
    }

    /// Connections likewise, for a loop that hands its operations to the kernel and is told when they have
    /// completed. It has accepted them, too, by [`Incoming::completed`]. Sockets are left to wait: of one that
    /// does not, an operation would come back undone.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd, the thread or an option of the socket.
    pub fn completing(listener: TcpListener, service: &Service) -> io::Result<Incoming> {
        Incoming::new(listener, service, Mode::Completing)
    }

    /// Connections with blocking sockets, for a child that was forked beforehand. It has one thread and reads
    /// no signals: its parent shuts the listening socket down, and stops the connection by its [`Link`]. To
    /// accept, by [`Incoming::try_next`] too, is then to wait in the kernel, which wakes one of the processes
    /// that do; now and then the wait ends with nobody.
    ///
    /// # Errors
    ///
    /// The system refuses an option of the socket.
    pub fn preforked(listener: TcpListener, service: &Service) -> io::Result<Incoming> {
        Incoming::new(listener, service, Mode::Preforked)
    }

    /// No connections of its own, for a child that was forked beforehand and is given them by another process,
    /// for [`Incoming::adopt`].
    pub fn given(service: &Service) -> Incoming {
        Incoming::over(None, service.clone(), Mode::Preforked, Arc::default())
    }

    /// The same stream for another thread, which gets some of the connections: one service, one limit, one stop.
    ///
    /// # Errors
    ///
    /// The system refuses a descriptor.
    pub fn share(&self) -> io::Result<Incoming> {
        let listener = self.listener.as_ref().map(TcpListener::try_clone).transpose()?;
        let mode = match self.mode {
            Mode::Blocking => Mode::Blocking,
            Mode::NonBlocking => Mode::NonBlocking,
            Mode::Completing => Mode::Completing,
            Mode::Forking(_) | Mode::Preforked => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a process that forks has one thread, which accepts",
                ));
            }
        };
        Ok(Incoming::over(listener, self.service.clone(), mode, Arc::clone(&self.shared)))
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
        Incoming::with_places(listener, service, mode, None)
    }

    fn with_places(
        listener: TcpListener,
        service: &Service,
        mode: Mode,
        places: Option<Arc<dyn Places>>,
    ) -> io::Result<Incoming> {
        listener.set_nonblocking(!matches!(mode, Mode::Preforked | Mode::Completing))?;
        // Again, for a listener that does not come from `listen_for`.
        set_inherited_options(&listener, service)?;
        let shared = Arc::new(Shared { places, ..Shared::default() });
        if matches!(mode, Mode::Blocking | Mode::NonBlocking | Mode::Completing) {
            let keeper = Keeper {
                signals: signal_fd()?,
                listener: listener.try_clone()?,
                shared: Arc::clone(&shared),
                service: service.clone(),
                tick: matches!(mode, Mode::NonBlocking | Mode::Completing)
                    .then(|| tick_of(service)),
            };
            thread::Builder::new()
                .name("keeper".into())
                .stack_size(64 * 1024)
                .spawn(move || keeper.run())?;
        }
        Ok(Incoming::over(Some(listener), service.clone(), mode, shared))
    }

    fn over(
        listener: Option<TcpListener>,
        service: Service,
        mode: Mode,
        shared: Arc<Shared>,
    ) -> Incoming {
        let spare = if listener.is_some() { spare_descriptor() } else { None };
        Incoming {
            listener,
            service,
            mode,
            shared,
            refused: VecDeque::new(),
            alone: OnceCell::new(),
            spare,
            scarce: false,
            pause: BACK_OFF.0,
            paused_until: None,
            held: false,
        }
    }

    /// The listening socket, for a loop that watches it itself; none after the order to stop.
    pub fn listener(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(TcpListener::as_fd)
    }

    /// A connection, without waiting for one; for a loop that watches other descriptors too.
    pub fn try_next(&mut self) -> Accepted {
        self.look_after_the_refused();
        if let Some(until) = self.paused_until.filter(|until| Instant::now() < *until) {
            return Accepted::Pause(until);
        }
        self.accept()
    }

    /// What becomes of a connection that was accepted by other means than this module's, a completion for
    /// one, or of the attempt.
    pub fn completed(&mut self, outcome: Result<OwnedFd, Errno>) -> Accepted {
        self.look_after_the_refused();
        self.settle(outcome.map(|socket| {
            let peer = rustix::net::getpeername(&socket).ok().flatten();
            (socket, peer)
        }))
    }

    /// A connection that another process has accepted and passed on, which has this number in the trace already.
    /// Nothing if the limit allows no more.
    pub fn adopt(&mut self, socket: OwnedFd, number: u32) -> Option<Connection> {
        let peer = rustix::net::getpeername(&socket).ok().flatten();
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok()).unwrap_or(UNKNOWN_PEER);
        let link = Arc::new(Link::new(socket.into(), peer, number));
        let lease = self.shared.admit(&link, &self.service, &self.mode)?;
        Some(Connection { lease, link })
    }

    /// Says whether clients are to wait in the backlog: [`Incoming::next_or`] accepts none while `held`.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
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
                && let Some(connection) = self.accept_or_pause()
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

    /// One attempt to accept a connection that the limit allows. What the system lacks is waited for.
    fn accept_or_pause(&mut self) -> Option<Connection> {
        match self.accept() {
            Accepted::Connection(connection) => Some(connection),
            Accepted::Pause(until) => {
                self.pause_until(until);
                None
            }
            Accepted::Again | Accepted::Nobody(_) | Accepted::Stop => None,
        }
    }

    fn accept(&mut self) -> Accepted {
        let Some(listener) = self.listener.as_ref() else { return Accepted::Stop };
        let flags = match self.mode {
            Mode::NonBlocking => SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            _ => SocketFlags::CLOEXEC,
        };
        let outcome = acceptfrom_with(listener, flags);
        self.settle(outcome)
    }

    /// What follows from an attempt to accept.
    fn settle(&mut self, outcome: Result<(OwnedFd, Option<SocketAddrAny>), Errno>) -> Accepted {
        match outcome {
            Ok((socket, peer)) => {
                self.pause = BACK_OFF.0;
                self.replace_spare();
                let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
                let peer = peer.unwrap_or(UNKNOWN_PEER);
                let number = self.service.trace().map_or(0, |trace| trace.accepted(peer));
                let link = Arc::new(Link::new(socket.into(), peer, number));
                match self.shared.admit(&link, &self.service, &self.mode) {
                    Some(lease) => {
                        tracing::info!(peer = %link.peer, "connected");
                        Accepted::Connection(Connection { lease, link })
                    }
                    None => {
                        self.refuse(link);
                        Accepted::Again
                    }
                }
            }
            // Nobody there after all, or taken by another process.
            Err(Errno::AGAIN) => {
                // Where several accept, the next client may be another's, and the spare descriptor stay away.
                self.replace_spare();
                let scarce = self.scarce.then(|| Instant::now() + REFUSAL_LINGER);
                let refused = self.refused.front().map(|(_, until)| *until);
                Accepted::Nobody(refused.into_iter().chain(scarce).min())
            }
            Err(Errno::INTR | Errno::CONNABORTED) => Accepted::Again,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                // Who waits in the backlog would otherwise wake the loop again at once, and for ever.
                if self.refuse_with_spare() { Accepted::Again } else { self.back_off() }
            }
            // The listening socket was shut down: the order to stop.
            Err(Errno::INVAL) => {
                self.stop();
                Accepted::Stop
            }
            // Whatever ails one connection (EPROTO, ENETDOWN, EPERM from a firewall) is no reason to
            // stop; whatever ails them all must not make the loop spin.
            Err(errno) => {
                tracing::warn!("accept: {errno}");
                self.back_off()
            }
        }
    }

    /// Without a descriptor a client would wait unseen in the backlog: gives up the spare one, to tell
    /// it. Gives whether that could be done.
    fn refuse_with_spare(&mut self) -> bool {
        let Some(listener) = &self.listener else {
            return false;
        };
        // A listening socket that is left to wait would have us wait here, if the client has gone meanwhile.
        let none = Some(&timespec(Duration::ZERO));
        if poll(&mut [PollFd::new(listener, PollFlags::IN)], none).is_ok_and(|ready| ready == 0) {
            return false;
        }
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

    /// Opens the spare descriptor anew where a refused client's socket stands for it, if there is room again.
    fn replace_spare(&mut self) {
        if self.scarce
            && let Some(spare) = spare_descriptor()
        {
            self.spare = Some(spare);
            self.scarce = false;
        }
    }

    /// When to try again: after a little while, longer each time.
    fn back_off(&mut self) -> Accepted {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(BACK_OFF.1);
        self.paused_until = Some(until);
        Accepted::Pause(until)
    }

    /// Waits; the order to stop is heard meanwhile.
    fn pause_until(&mut self, until: Instant) {
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
        let alone = self.alone.get_or_init(|| match (&self.mode, &self.listener) {
            // Without it the loop falls back to poll, which wakes all who wait.
            (Mode::NonBlocking, Some(listener)) => watch_alone(listener).ok(),
            _ => None,
        });
        // Then to accept is to look for a descriptor, too.
        let scarce = self.scarce.then_some(REFUSAL_LINGER);
        if let (Some(alone), true) = (alone, self.refused.is_empty()) {
            let timeout = scarce.map(timespec);
            let ready = epoll::wait(alone, &mut [NO_EVENT], timeout.as_ref());
            let listener = ready.is_ok_and(|ready| ready > 0);
            return News { listener, signal: false, other: false };
        }
        let mut fds = Vec::with_capacity(3 + self.refused.len());
        let listener = self.listener.as_ref().filter(|_| !self.held);
        let listener = listener.map(|listener| watch(&mut fds, listener.as_fd()));
        let signals = match &self.mode {
            Mode::Forking(signals) => Some(watch(&mut fds, signals.as_fd())),
            _ => None,
        };
        let other = other.map(|other| watch(&mut fds, other));
        for (link, _) in &self.refused {
            watch(&mut fds, link.as_fd());
        }
        let refused = self.refused.front().map(|(_, until)| *until);
        let scarce = scarce.map(|pause| Instant::now() + pause);
        let until = refused.into_iter().chain(until).chain(scarce).min();
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
        self.replace_spare();
        self.look_after_the_refused();
        news
    }

    /// Reads what refused clients still send, so that they can read their refusal, and lets go of those that
    /// have. Gives when to come again, if there are any. For a loop that does not wait for them here.
    pub fn attend(&mut self) -> Option<Instant> {
        self.look_after_the_refused();
        (!self.refused.is_empty()).then(|| Instant::now() + REFUSAL_TICK)
    }

    fn look_after_the_refused(&mut self) {
        if !self.refused.is_empty() {
            let now = Instant::now();
            self.refused.retain(|(link, until)| !has_ended(&link.socket) && now < *until);
        }
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
        if matches!(self.mode, Mode::Preforked) {
            return; // the parent stops its children's connections, and says that it does
        }
        self.shared.stop(self.service.settings().drain_timeout);
    }
}

/// The connections, until the server has been told to stop and the last one has ended.
impl Iterator for Incoming {
    type Item = Connection;

    fn next(&mut self) -> Option<Connection> {
        while self.listener.is_some() {
            // Under load the next client is already there, and one system call gets it.
            if let Some(connection) = self.accept_or_pause() {
                return Some(connection);
            }
            if self.listener.is_some() && !matches!(self.mode, Mode::Preforked) {
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
        let session = Session::new(service, self.link.peer, Arc::clone(&self.link.shutdown));
        session.numbered(self.link.number)
    }

    /// Its number in the trace; 0 without one.
    pub fn number(&self) -> u32 {
        self.link.number
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
    shutdown: Arc<ShutdownState>,
    /// As [`nanos`] counts, to the next even number; 0 while nothing is waited for. One more if what is
    /// waited for is room to write.
    deadline: AtomicU64,
}

impl Link {
    fn new(socket: TcpStream, peer: SocketAddr, number: u32) -> Link {
        Link { socket, peer, number, shutdown: Arc::default(), deadline: AtomicU64::new(0) }
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Leaves word until when the session waits, or with `None` that it does not. Past that time the
    /// connection becomes readable, and its session must be told to [`Session::expire`].
    pub fn wait_until(&self, deadline: Option<Instant>) {
        self.leave_word(deadline.map_or(0, even_nanos));
    }

    /// Leaves word likewise, for who watches a connection for one direction at a time: past the deadline
    /// it becomes ready for `interest`.
    ///
    /// To be readable is no news where a client goes on sending and reads nothing: a poller that reports
    /// levels would report it for ever, so it cannot be watched for while room to write is waited for.
    pub fn wait_for(&self, interest: Interest, deadline: Instant) {
        let to_write = u64::from(interest == Interest::Write);
        self.leave_word(even_nanos(deadline) | to_write);
    }

    fn leave_word(&self, word: u64) {
        self.deadline.store(word, Ordering::Release);
    }

    /// Orders the session to end, and wakes it if it waits for a request.
    pub fn stop(&self) {
        if self.shutdown.request() {
            self.wake();
        }
    }

    /// Makes the connection readable for good: what has arrived can be read, then the end follows.
    fn wake(&self) {
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// Wakes the session if its deadline has passed by `now`.
    fn wake_if_expired(&self, now: u64) {
        let word = self.deadline.load(Ordering::Acquire);
        if word == 0 || word & !1 > now {
            return;
        }
        if word & 1 == 0 {
            self.wake();
        } else {
            // Writable, too. A client whose reply is stuck beyond its deadline is cut anyway.
            let _ = self.socket.shutdown(Shutdown::Both);
        }
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
    /// Where other processes count, too.
    places: Option<Arc<dyn Places>>,
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
        if self.places.as_ref().is_some_and(|places| !places.take()) {
            return None;
        }
        let kept = match mode {
            Mode::Forking(_) => None,
            _ => Some(Arc::clone(link)),
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
            if let Some(places) = &self.places {
                places.give_back();
            }
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
            link.wake_if_expired(now);
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
        let mut ordered = false;
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
                // Not by the cut-off: the first may have come from another process with the same socket, and
                // a terminal's signal then come to all.
                if std::mem::replace(&mut ordered, true) {
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

/// An epoll set with nothing but a listening socket in it, of which the kernel wakes one waiter for a client.
fn watch_alone(listener: &TcpListener) -> io::Result<OwnedFd> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let events = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
    epoll::add(&set, listener, epoll::EventData::new_u64(0), events)?;
    Ok(set)
}

const NO_EVENT: epoll::Event =
    epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };

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

/// The next even number of nanoseconds, never 0: who is woken then is not too early.
fn even_nanos(instant: Instant) -> u64 {
    nanos(instant).saturating_add(1).max(2) & !1
}

/// Nanoseconds since some moment before all others. Exact, so that a session whose time is up by this
/// count is so by its own.
fn nanos(instant: Instant) -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = EPOCH.get_or_init(|| Instant::now() - Duration::from_nanos(1));
    instant.saturating_duration_since(*epoch).as_nanos().try_into().unwrap_or(u64::MAX)
}
