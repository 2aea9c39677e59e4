//! A connection as the watchdog and the shutdown see it: the socket, the deadline, the shutdown state.

use file_service::session::ShutdownState;
use file_service::{Interest, Service, Session};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

/// A connection's socket, with the means to stop it and to wake it from another thread.
#[derive(Debug)]
pub struct ConnectionHandle {
    socket: TcpStream,
    peer: SocketAddr,
    /// In the trace; 0 without one.
    number: u32,
    shutdown: Arc<ShutdownState>,
    /// As [`nanos`] counts, to the next even number; 0 while the session waits for nothing. One more if it
    /// waits for room to write.
    deadline: AtomicU64,
}

impl ConnectionHandle {
    pub(crate) fn new(socket: TcpStream, peer: SocketAddr, number: u32) -> ConnectionHandle {
        ConnectionHandle {
            socket,
            peer,
            number,
            shutdown: Arc::default(),
            deadline: AtomicU64::new(0),
        }
    }

    /// Returns a session at the beginning of its conversation over this connection.
    pub(crate) fn session(&self, service: &Service) -> Session {
        Session::new(service, self.peer, Arc::clone(&self.shutdown)).numbered(self.number)
    }

    /// The socket.
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Its number in the trace; 0 without one.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Stores until when the session waits. Past the deadline the watchdog makes the connection ready for
    /// `interest`, and the driver calls [`end_wait`](ConnectionHandle::end_wait).
    ///
    /// Past the deadline of a read it becomes readable. That does not help a poller by level that waits for
    /// room to write: it cannot watch for bytes to read meanwhile, since a client that goes on sending would
    /// be reported in every round. So past the deadline of a write it becomes writable, too.
    pub fn begin_wait(&self, interest: Interest, deadline: Instant) {
        let to_write = u64::from(interest == Interest::Write);
        self.deadline.store(even_nanos(deadline) | to_write, Ordering::Release);
    }

    /// Ends a wait: clears the deadline, and expires the session if its deadline has passed by `now`.
    pub fn end_wait(&self, session: &mut Session, now: Instant) {
        self.deadline.store(0, Ordering::Release);
        if now >= session.deadline() {
            session.expire();
        }
    }

    /// Requests that the session ends after the request under way, and wakes it if it waits for a request.
    pub fn request_shutdown(&self) {
        if self.shutdown.request() {
            self.wake();
        }
    }

    /// Ends the connection in both directions, whatever is under way.
    pub fn cut(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Makes the connection readable for good: what has arrived can be read, then the end follows.
    fn wake(&self) {
        let _ = self.socket.shutdown(Shutdown::Read);
    }

    /// Wakes the session if its deadline has passed by `now`, which [`nanos`] has counted.
    pub(crate) fn wake_if_expired(&self, now: u64) {
        let word = self.deadline.load(Ordering::Acquire);
        if word == 0 || word & !1 > now {
            return;
        }
        if word & 1 == 0 {
            self.wake();
        } else {
            self.cut(); // a client whose reply is stuck beyond its deadline would be cut anyway
        }
    }
}

impl AsRawFd for ConnectionHandle {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl AsFd for ConnectionHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns the next even number of nanoseconds, never 0: a session that is woken then is not too early.
fn even_nanos(instant: Instant) -> u64 {
    nanos(instant).saturating_add(1).max(2) & !1
}

/// Returns nanoseconds since a moment before all others. Exact, so that a session whose deadline has passed
/// by this count has passed it by its own.
pub(crate) fn nanos(instant: Instant) -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = EPOCH.get_or_init(|| Instant::now() - std::time::Duration::from_nanos(1));
    instant.saturating_duration_since(*epoch).as_nanos().try_into().unwrap_or(u64::MAX)
}
