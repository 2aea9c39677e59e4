//! The stream of accepted connections, for a server that has nothing else to wait for.

use crate::acceptor::{Accepted, Acceptor, Connection};
use crate::handle::ConnectionHandle;
use crate::limit::SharedLimit;
use crate::shutdown::Watchdog;
use crate::timeout::timeout_until;
use file_service::Service;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use std::cell::OnceCell;
use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

/// Waits for connections, until shutdown is requested and the last of them has ended.
#[derive(Debug)]
pub struct Incoming {
    acceptor: Acceptor,
    /// Watches the listening socket alone, where several processes accept from it: a new client wakes one.
    /// Created when it is first needed, since a loop that watches the socket itself never needs it.
    exclusive: OnceCell<Option<OwnedFd>>,
}

impl Incoming {
    /// Accepts blocking sockets: a session has a thread to itself and waits in the kernel.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd, the watchdog's thread or an option of the socket.
    pub fn blocking(listener: TcpListener, service: &Service) -> io::Result<Incoming> {
        Incoming::over(Acceptor::new(listener, service)?)
    }

    /// Accepts non-blocking sockets: a session returns instead of waiting. The model calls it again at its deadline.
    ///
    /// # Errors
    ///
    /// The system refuses the signalfd, the watchdog's thread or an option of the socket.
    pub fn non_blocking(listener: TcpListener, service: &Service) -> io::Result<Incoming> {
        Incoming::over(Acceptor::new(listener, service)?.with_non_blocking_sockets())
    }

    fn over(acceptor: Acceptor) -> io::Result<Incoming> {
        if let Some(listener) = acceptor.listener() {
            listener.set_nonblocking(true)?;
            Watchdog::start(listener.try_clone()?, &acceptor)?;
        }
        Ok(Incoming { acceptor, exclusive: OnceCell::new() })
    }

    /// Counts connections by `limit` too, for one of several processes that share it.
    pub fn with_limit(self, limit: Arc<dyn SharedLimit>) -> Incoming {
        self.acceptor.registry().share_limit(limit);
        self
    }

    /// Returns the acceptor, for a loop that watches the listening socket among others.
    pub fn into_acceptor(self) -> Acceptor {
        self.acceptor
    }

    /// Tells a client that there is no room for it; see [`Acceptor::refuse`].
    pub fn refuse(&mut self, handle: Arc<ConnectionHandle>) {
        self.acceptor.refuse(handle);
    }

    /// Attends to refused clients, for a loop that waits for something else than the next client; see
    /// [`Acceptor::visit_refused`].
    pub fn visit_refused(&mut self) -> Option<Instant> {
        self.acceptor.visit_refused()
    }

    /// Waits for a client or for the shutdown, and meanwhile for refused clients to send or to leave.
    fn wait(&self) {
        let Some(listener) = self.acceptor.listener() else { return };
        let timeout = timeout_until(self.acceptor.retry_at());
        let mut fds: Vec<_> = self.acceptor.refused().map(watch).collect();
        if let (true, Some(exclusive)) = (fds.is_empty(), self.exclusive(listener)) {
            let _ = epoll::wait(exclusive, &mut [NO_EVENT], timeout.as_ref());
        } else {
            fds.push(PollFd::new(listener, PollFlags::IN));
            let _ = poll(&mut fds, timeout.as_ref()); // interrupted, it is called again
        }
    }

    /// An epoll set of which the kernel wakes one waiter for a client. Without it the loop falls back to
    /// poll, which wakes every process that waits.
    fn exclusive(&self, listener: &TcpListener) -> Option<&OwnedFd> {
        self.exclusive.get_or_init(|| watch_exclusively(listener).ok()).as_ref()
    }

    /// Waits until `until`, or until the shutdown.
    fn pause(&self, until: Instant) {
        let Some(listener) = self.acceptor.listener() else { return };
        // No flags: only the end of the listening socket is reported, as a hang-up.
        let timeout = timeout_until(until);
        let _ = poll(&mut [PollFd::new(listener, PollFlags::empty())], timeout.as_ref());
    }
}

impl Iterator for Incoming {
    type Item = Connection;

    fn next(&mut self) -> Option<Connection> {
        loop {
            // Under load the next client is already there, and one system call accepts it.
            match self.acceptor.try_accept() {
                Accepted::Connection(connection) => return Some(connection),
                Accepted::Retry => {}
                Accepted::Empty(_) => self.wait(),
                Accepted::Pause(until) => self.pause(until),
                Accepted::Shutdown => break,
            }
        }
        self.acceptor.wait_until_empty();
        None
    }
}

fn watch(fd: std::os::fd::BorrowedFd<'_>) -> PollFd<'_> {
    PollFd::from_borrowed_fd(fd, PollFlags::IN)
}

fn watch_exclusively(listener: &TcpListener) -> io::Result<OwnedFd> {
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let events = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
    epoll::add(&set, listener, epoll::EventData::new_u64(0), events)?;
    Ok(set)
}

const NO_EVENT: epoll::Event =
    epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) };
