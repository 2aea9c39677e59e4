//! What the loop needs of the kernel: to wait for many descriptors at once.

use file_service::Interest;
use server_core::Key;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Waits for many descriptors. [`Select`](crate::select::Select), [`Poll`](crate::poll::Poll) and
/// [`Epoll`](crate::epoll::Epoll) differ in this and in nothing else.
pub(crate) trait Poller: Send {
    /// Of several workers that watch one listening socket, a new client wakes one.
    const WAKES_ONE: bool;

    /// Whether this descriptor can be watched at all.
    fn can_watch(&self, fd: BorrowedFd<'_>) -> bool {
        let _ = fd;
        true
    }

    /// Watches `fd`, which was watched for `from`, for `to` from now on.
    ///
    /// # Errors
    ///
    /// The system, or this way of waiting, has no room for the descriptor.
    fn watch(&mut self, fd: BorrowedFd<'_>, key: Key, from: Watch, to: Watch) -> io::Result<()>;

    /// Forgets `fd`, which is about to be closed.
    fn forget(&mut self, fd: BorrowedFd<'_>, key: Key);

    /// Waits until a descriptor is ready or the time is up, and appends what is ready to `events`: each
    /// descriptor at most once. A signal may end the wait early.
    ///
    /// # Errors
    ///
    /// None that a correct program meets.
    fn wait(&mut self, events: &mut Vec<Event>, timeout: Option<Duration>) -> io::Result<()>;
}

/// What a descriptor is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Watch {
    Nothing,
    /// New clients, at the listening socket.
    Accept,
    Read,
    Write,
}

impl From<Interest> for Watch {
    fn from(interest: Interest) -> Watch {
        match interest {
            Interest::Read => Watch::Read,
            Interest::Write => Watch::Write,
            Interest::Job => Watch::Nothing,
        }
    }
}

/// The key of the listening socket.
pub(crate) const LISTENER: Key = Key::reserved(0);
/// The key of the worker's waker.
pub(crate) const WAKER: Key = Key::reserved(1);
/// How many keys are not those of clients.
pub(crate) const RESERVED: u32 = 2;

/// A descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) key: Key,
    /// The peer has ended its side. Only reported by edges, where there may be no second one for it.
    pub(crate) hung_up: bool,
}
