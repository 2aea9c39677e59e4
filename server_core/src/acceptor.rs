//! Accepts connections: every rule that holds when a client arrives, and none about waiting for it.
//!
//! - A client above the limit on connections is told `busy`, in the protocol of its first line if that comes in
//!   time.
//! - When the system has no descriptor or memory for a client (EMFILE, ENFILE, ENOBUFS, ENOMEM), a spare
//!   descriptor is spent to tell it `busy`; failing that, accepting pauses, longer each time.
//! - A connection that died before it was accepted is not an error.
//! - When the listening socket is shut down, that is the shutdown request.

use crate::handle::ConnectionHandle;
use crate::limit::{ConnectionPermit, Registry};
use crate::listen::set_inherited_options;
use file_service::{Service, Session, busy};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrAny, SocketFlags, acceptfrom_with, recv, send};
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long the refusal of a client waits for its first line, which decides the protocol.
const FIRST_LINE_WAIT: Duration = Duration::from_millis(50);

/// How long a refused client may take to read that it was refused.
const REFUSAL_LINGER: Duration = Duration::from_secs(1);

/// How many refused clients may wait or linger at once; beyond it the oldest is told and cut.
const REFUSED_AT_ONCE: usize = 64;

/// How many bytes of a first line are read at once, and how often at each visit.
const FIRST_LINE_CHUNK: usize = 4096;
const FIRST_LINE_READS: usize = 4;

/// How often clients that wait for their first line are visited by a loop that does not watch them.
const FIRST_LINE_TICK: Duration = Duration::from_millis(2);

/// How often a refused client that goes on sending is read from, and how many bytes of all such clients together.
/// The rest waits in the sockets and slows the senders down: refused clients cost little CPU time, however fast
/// they send.
const DISCARD_TICK: Duration = Duration::from_millis(10);
const DISCARD_BYTES: usize = 512 << 10;

/// How many bytes are discarded at once.
const DISCARD_CHUNK: usize = 8 << 10;

/// The first and the longest pause when the system has no descriptor or memory for a connection.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

/// A timeout that has passed.
const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Accepts, refuses and backs off. It never waits, unless its listening socket is left to block.
#[derive(Debug)]
pub struct Acceptor {
    /// None after the shutdown request.
    listener: Option<TcpListener>,
    service: Service,
    registry: Arc<Registry>,
    /// The flags of accepted sockets.
    flags: SocketFlags,
    /// By age.
    refused: VecDeque<Refused>,
    /// A descriptor in reserve: closed, it lets one client be accepted and told that there is no room. Another thread
    /// can take its place meanwhile; then it is `None` until a descriptor is free again.
    spare: Option<OwnedFd>,
    /// The spare descriptor is the socket of a client that was refused, or is missing.
    scarce: bool,
    pause: Duration,
    paused_until: Option<Instant>,
}

/// The outcome of an attempt to accept a client.
#[derive(Debug)]
pub enum Accepted {
    /// A client.
    Connection(Connection),
    /// A client that was refused, or has gone: there may be more.
    Retry,
    /// There is no client. Try again when the listening socket is readable; and at this time, if there is
    /// one, for the sake of refused clients and of the spare descriptor.
    Empty(Option<Instant>),
    /// The system lacks what a client needs: do not watch the listening socket before this time.
    Pause(Instant),
    /// Shutdown was requested: no client will come any more.
    Shutdown,
}

impl Acceptor {
    /// Creates an acceptor of blocking sockets that starts no thread, for a process that forks.
    ///
    /// [`Incoming`](crate::Incoming) has the constructors for the other models.
    ///
    /// # Errors
    ///
    /// The system refuses an option of the socket.
    pub fn new(listener: TcpListener, service: &Service) -> io::Result<Acceptor> {
        // Again, for a listener that does not come from `listen_for`.
        set_inherited_options(&listener, service)?;
        Ok(Acceptor::over(Some(listener), service, Arc::default(), SocketFlags::CLOEXEC))
    }

    /// Creates an acceptor without a listening socket, for [`Acceptor::adopt`] alone.
    pub fn without_listener(service: &Service) -> Acceptor {
        Acceptor::over(None, service, Arc::default(), SocketFlags::CLOEXEC)
    }

    fn over(
        listener: Option<TcpListener>,
        service: &Service,
        registry: Arc<Registry>,
        flags: SocketFlags,
    ) -> Acceptor {
        let spare = if listener.is_some() { spare_descriptor() } else { None };
        let scarce = listener.is_some() && spare.is_none();
        Acceptor {
            listener,
            service: service.clone(),
            registry,
            flags,
            refused: VecDeque::new(),
            spare,
            scarce,
            pause: BACK_OFF.0,
            paused_until: None,
        }
    }

    /// Accepts non-blocking sockets from now on.
    pub(crate) fn with_non_blocking_sockets(mut self) -> Acceptor {
        self.flags |= SocketFlags::NONBLOCK;
        self
    }

    pub(crate) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Returns another acceptor for another thread: one listening socket, one limit, one shutdown.
    ///
    /// # Errors
    ///
    /// The system refuses a descriptor.
    pub fn share(&self) -> io::Result<Acceptor> {
        let listener = self.listener.as_ref().map(TcpListener::try_clone).transpose()?;
        let registry = Arc::clone(&self.registry);
        Ok(Acceptor::over(listener, &self.service, registry, self.flags))
    }

    /// The listening socket, for a loop that watches it; `None` after the shutdown request.
    pub fn listener(&self) -> Option<&TcpListener> {
        self.listener.as_ref()
    }

    /// The service that the connections get.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Accepts a connection, if a client is there.
    pub fn try_accept(&mut self) -> Accepted {
        self.visit_refused();
        if let Some(until) = self.paused_until.filter(|until| Instant::now() < *until) {
            return Accepted::Pause(until);
        }
        let Some(listener) = &self.listener else { return Accepted::Shutdown };
        let outcome = acceptfrom_with(listener, self.flags);
        self.settle(outcome)
    }

    /// Takes over a socket that the kernel has accepted for this process by a completion, or the error of
    /// the attempt.
    pub fn accept_completed(&mut self, outcome: Result<OwnedFd, Errno>) -> Accepted {
        self.visit_refused();
        self.settle(outcome.map(|socket| {
            let peer = rustix::net::getpeername(&socket).ok().flatten();
            (socket, peer)
        }))
    }

    /// Takes over a connection that another process has accepted, under its `number` in the trace. Returns
    /// `None` if the limit allows no more.
    pub fn adopt(&mut self, socket: OwnedFd, number: u32) -> Option<Connection> {
        let peer = peer_of(rustix::net::getpeername(&socket).ok().flatten());
        let handle = Arc::new(ConnectionHandle::new(socket.into(), peer, number));
        self.admit(&handle).map(|permit| Connection { permit, handle })
    }

    fn admit(&self, handle: &Arc<ConnectionHandle>) -> Option<ConnectionPermit> {
        self.registry.admit(handle, self.service.settings().max_connections)
    }

    /// Decides what follows from an attempt to accept.
    fn settle(&mut self, outcome: Result<(OwnedFd, Option<SocketAddrAny>), Errno>) -> Accepted {
        match outcome {
            Ok((socket, peer)) => {
                self.pause = BACK_OFF.0;
                self.replace_spare();
                if self.spare.is_none() {
                    self.refuse_and_keep(socket, peer);
                    return Accepted::Retry;
                }
                let peer = peer_of(peer);
                let number = self.service.trace().map_or(0, |trace| trace.accepted(peer));
                let handle = Arc::new(ConnectionHandle::new(socket.into(), peer, number));
                match self.admit(&handle) {
                    Some(permit) => {
                        tracing::info!(%peer, "connected");
                        Accepted::Connection(Connection { permit, handle })
                    }
                    None => {
                        self.refuse(handle);
                        Accepted::Retry
                    }
                }
            }
            // The client has gone after all, or another process has accepted it.
            Err(Errno::AGAIN) => {
                // Where several accept, the next client may be another's, and the spare descriptor stay away.
                self.replace_spare();
                Accepted::Empty(self.retry_unwatched_at())
            }
            Err(Errno::INTR | Errno::CONNABORTED) => Accepted::Retry,
            Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
                self.tell_refused(); // none waits while descriptors are short
                // A client in the backlog would otherwise wake the loop again at once, without end.
                if self.refuse_with_spare() { Accepted::Retry } else { self.back_off() }
            }
            // The listening socket was shut down.
            Err(Errno::INVAL) => {
                self.close();
                self.registry.begin_shutdown(self.service.settings().drain_timeout);
                Accepted::Shutdown
            }
            // An error of one connection (EPROTO, ENETDOWN, EPERM from a firewall) is not a reason to stop;
            // an error of every connection must not make the loop spin.
            Err(errno) => {
                tracing::warn!("accept: {errno}");
                self.back_off()
            }
        }
    }

    /// Closes the listening socket, and tells and cuts refused clients.
    pub fn close(&mut self) {
        self.listener = None;
        self.tell_refused();
        self.refused.clear();
    }

    /// Waits until the last connection has ended. The watchdog ends the process if that takes longer than
    /// the drain timeout.
    pub fn wait_until_empty(&self) {
        self.registry.wait_until_empty(Duration::MAX);
    }

    // ---- Refusals ----

    /// Tells a client that there is no room for it, and lets it read that before it is cut.
    ///
    /// A client whose first line has not come yet waits for that, until [`Acceptor::visit_refused`] finds it or
    /// the time is over.
    ///
    /// Takes the handle alone, since the connection may be lost, in a thread that could not be started.
    pub fn refuse(&mut self, handle: Arc<ConnectionHandle>) {
        if let Some(trace) = self.service.trace() {
            trace.refused(handle.number());
        }
        tracing::info!(peer = %handle.peer(), "busy");
        let now = Instant::now();
        let mut refused = Refused::new(handle, now);
        let stays = if self.scarce { refused.tell(now) } else { refused.visit(now, DISCARD_CHUNK) };
        if !stays {
            return;
        }
        if self.refused.len() == REFUSED_AT_ONCE
            && let Some(mut oldest) = self.refused.pop_front()
        {
            oldest.tell(now);
        }
        self.refused.push_back(refused);
    }

    /// The sockets of the refused clients that may be read from now, for a loop that watches them; see
    /// [`Acceptor::visit_refused`].
    pub fn refused(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let now = Instant::now();
        let may_read = move |refused: &&Refused| refused.read_at <= now;
        self.refused.iter().filter(may_read).map(|refused| refused.handle.as_fd())
    }

    /// Tells refused clients whose first line has come, or has taken too long. Reads some of what the others still
    /// send, so that no reset hits their refusal, and closes those that have read it. Returns when to call again, if
    /// any are left, for a loop that does not watch them.
    pub fn visit_refused(&mut self) -> Option<Instant> {
        if self.refused.is_empty() {
            return None;
        }
        let now = Instant::now();
        let share = DISCARD_BYTES / self.refused.len();
        self.refused.retain_mut(|refused| refused.visit(now, share));
        self.refused.iter().map(|refused| refused.next_visit(now)).min()
    }

    /// Returns when to try again without a client, for a loop that watches the refused ones: when the first of
    /// these may be read from again, or has waited or lingered long enough, and while the spare descriptor is away.
    pub fn retry_at(&self) -> Option<Instant> {
        let now = Instant::now();
        let scarce = self.scarce.then(|| now + REFUSAL_LINGER);
        let refused = self.refused.iter().map(|refused| match refused.read_at > now {
            true => refused.read_at.min(refused.until),
            false => refused.until,
        });
        refused.chain(scarce).min()
    }

    /// The same for a loop that does not watch refused clients.
    fn retry_unwatched_at(&self) -> Option<Instant> {
        let now = Instant::now();
        let visits = self.refused.iter().map(|refused| refused.next_visit(now));
        self.retry_at().into_iter().chain(visits).min()
    }

    /// Tells every refused client that waits for its first line, without that.
    fn tell_refused(&mut self) {
        let now = Instant::now();
        self.refused.retain_mut(|refused| refused.tell(now));
    }

    /// Spends the spare descriptor to tell a client that there is no room; it would otherwise wait unseen in
    /// the backlog. Returns whether that could be done.
    fn refuse_with_spare(&mut self) -> bool {
        let Some(listener) = &self.listener else {
            return false;
        };
        // A listening socket that blocks would have us wait here, if the client has gone meanwhile.
        if poll(&mut [PollFd::new(listener, PollFlags::IN)], Some(&NOW))
            .is_ok_and(|ready| ready == 0)
        {
            return false;
        }
        drop(self.spare.take());
        match acceptfrom_with(listener, SocketFlags::CLOEXEC) {
            Ok((socket, peer)) => {
                self.refuse_and_keep(socket, peer);
                true
            }
            Err(_) => {
                self.spare = spare_descriptor();
                self.scarce = self.spare.is_none();
                false
            }
        }
    }

    /// Tells a client that there is no descriptor for it, and keeps its socket as the spare one. If the spare one had to
    /// be opened again, another thread could be faster, and all later clients would go unanswered.
    fn refuse_and_keep(&mut self, socket: OwnedFd, peer: Option<SocketAddrAny>) {
        let peer = peer_of(peer);
        tracing::warn!("no descriptor for {peer}");
        tracing::info!(%peer, "busy");
        let mut first_bytes = Vec::new();
        read_first_bytes(&socket, &mut first_bytes);
        if send_last(&socket, &busy::reply_so_far(&first_bytes)) {
            discard(&socket, DISCARD_CHUNK);
        }
        self.spare = Some(socket);
        self.scarce = true;
    }

    /// Opens the spare descriptor again where it is missing or is a refused client's socket, if there is room.
    fn replace_spare(&mut self) {
        if self.scarce
            && let Some(spare) = spare_descriptor()
        {
            self.spare = Some(spare);
            self.scarce = false;
        }
    }

    /// Pauses for a little while, longer each time.
    fn back_off(&mut self) -> Accepted {
        let until = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(BACK_OFF.1);
        self.paused_until = Some(until);
        Accepted::Pause(until)
    }
}

/// A client that is refused: it waits for its first line, then it is told, then it lingers.
#[derive(Debug)]
struct Refused {
    handle: Arc<ConnectionHandle>,
    /// What has come of the first line; `None` once the client is told.
    first_bytes: Option<Vec<u8>>,
    /// When the wait or the lingering ends.
    until: Instant,
    /// Until when what the client sends is left in its socket.
    read_at: Instant,
}

impl Refused {
    fn new(handle: Arc<ConnectionHandle>, now: Instant) -> Refused {
        let first_bytes = Some(Vec::new());
        Refused { handle, first_bytes, until: now + FIRST_LINE_WAIT, read_at: now }
    }

    /// Does what can be done without waiting, and discards at most `share` bytes; returns whether the client stays.
    fn visit(&mut self, now: Instant, share: usize) -> bool {
        let Some(first_bytes) = &mut self.first_bytes else {
            return now < self.until && (now < self.read_at || self.discard(now, share));
        };
        let more = read_first_bytes(&self.handle, first_bytes);
        match busy::reply(first_bytes) {
            Some(reply) => self.send(&reply, now),
            None if more && now < self.until => true,
            None => self.tell(now),
        }
    }

    /// Tells the client by what has come so far, unless it is told; returns whether it stays.
    fn tell(&mut self, now: Instant) -> bool {
        let Some(first_bytes) = &mut self.first_bytes else { return true };
        read_first_bytes(&self.handle, first_bytes);
        let reply = busy::reply_so_far(first_bytes);
        self.send(&reply, now)
    }

    fn send(&mut self, reply: &[u8], now: Instant) -> bool {
        self.first_bytes = None;
        self.until = now + REFUSAL_LINGER;
        send_last(&self.handle, reply) && self.discard(now, DISCARD_CHUNK)
    }

    /// Discards what the client has sent; returns whether it is still there.
    fn discard(&mut self, now: Instant, share: usize) -> bool {
        let discarded = discard(&self.handle, share);
        if discarded.is_some_and(|bytes| bytes > 0) {
            self.read_at = now + DISCARD_TICK;
        }
        discarded.is_some()
    }

    /// When a loop that does not watch this client visits it next.
    fn next_visit(&self, now: Instant) -> Instant {
        match self.first_bytes {
            Some(_) => now + FIRST_LINE_TICK,
            None => self.read_at.max(now + DISCARD_TICK).min(self.until),
        }
    }
}

/// A client that was accepted. Dropped, it gives its permit back and then closes its socket, in this order:
/// a client that sees the close may connect again at once.
#[derive(Debug)]
pub struct Connection {
    permit: ConnectionPermit,
    handle: Arc<ConnectionHandle>,
}

impl Connection {
    /// Returns a session at the beginning of its conversation with this client.
    pub fn session(&self, service: &Service) -> Session {
        self.handle.session(service)
    }

    /// The connection as other threads and the shutdown see it.
    pub fn handle(&self) -> &Arc<ConnectionHandle> {
        &self.handle
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        self.handle.socket()
    }

    /// Closes this process's copy of the socket and keeps the permit, for a parent whose child serves.
    pub fn into_permit(self) -> ConnectionPermit {
        self.permit.forget_handle();
        self.permit
    }
}

fn spare_descriptor() -> Option<OwnedFd> {
    File::open("/dev/null").ok().map(OwnedFd::from)
}

fn peer_of(addr: Option<SocketAddrAny>) -> SocketAddr {
    let unknown = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    addr.and_then(|addr| SocketAddr::try_from(addr).ok()).unwrap_or(unknown)
}

/// Appends what a client has sent so far, or enough to decide by; returns whether more may come.
fn read_first_bytes(socket: impl AsFd, first_bytes: &mut Vec<u8>) -> bool {
    let mut chunk = [0; FIRST_LINE_CHUNK];
    for _ in 0..FIRST_LINE_READS {
        match recv(&socket, &mut chunk[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return false,
            Ok((length, _)) => first_bytes.extend_from_slice(&chunk[..length]),
            Err(Errno::INTR) => {}
            Err(errno) => return errno == Errno::AGAIN,
        }
    }
    true
}

/// Sends the refusal and ends our side, without waiting; returns whether the client can read it.
fn send_last(socket: impl AsFd, reply: &[u8]) -> bool {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    send(&socket, reply, flags).is_ok()
        && rustix::net::shutdown(&socket, rustix::net::Shutdown::Write).is_ok()
}

/// Discards at most `most` bytes of what a refused client has sent, and one chunk at least. Returns how many; `None` if
/// the client is gone.
fn discard(socket: impl AsFd, most: usize) -> Option<usize> {
    let mut scratch = [0; DISCARD_CHUNK];
    let mut discarded = 0;
    loop {
        // TRUNC: the kernel does not copy the bytes (tcp(7)).
        match recv(&socket, &mut scratch[..], RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
            Ok((_, 0)) => return None,
            Ok((_, length)) => discarded += length,
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Some(discarded),
            Err(_) => return None,
        }
        if discarded >= most {
            return Some(discarded);
        }
    }
}

#[cfg(test)]
mod tests;
