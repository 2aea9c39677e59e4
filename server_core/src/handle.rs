//! A connection as other threads see it: the socket, the deadline, the shutdown state.

use file_service::session::ShutdownState;
use file_service::{Service, Session};
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
    /// As [`nanos`] counts; 0 while the session waits for nothing.
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

    /// Stores until when the session waits, for the thread that looks for overdue sessions.
    pub fn begin_wait(&self, deadline: Instant) {
        self.deadline.store(nanos(deadline).max(1), Ordering::Release);
    }

    /// Notes that the session waits no longer.
    pub fn end_wait(&self) {
        self.deadline.store(0, Ordering::Release);
    }

    /// Whether the session waits, and its deadline has passed by `now`.
    pub fn is_overdue(&self, now: Instant) -> bool {
        let deadline = self.deadline.load(Ordering::Acquire);
        deadline != 0 && deadline <= nanos(now)
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

/// Returns nanoseconds since a moment before all others. Exact, so that a session whose deadline has passed
/// by this count has passed it by its own.
fn nanos(instant: Instant) -> u64 {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    let epoch = EPOCH.get_or_init(|| Instant::now() - std::time::Duration::from_nanos(1));
    instant.saturating_duration_since(*epoch).as_nanos().try_into().unwrap_or(u64::MAX)
}
