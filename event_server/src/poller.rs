//! What the loop needs of the kernel: to wait for many descriptors at once.

use file_service::Interest;
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
    fn watch(&mut self, fd: BorrowedFd<'_>, token: Token, from: Watch, to: Watch)
    -> io::Result<()>;

    /// Forgets `fd`, which is about to be closed.
    fn forget(&mut self, fd: BorrowedFd<'_>, token: Token);

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
        }
    }
}

/// Who a descriptor belongs to: a place in the worker's table, and which of the clients that stood there, one
/// after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) place: u32,
    pub(crate) number: u32,
}

impl Token {
    /// The listening socket.
    pub(crate) const DOOR: Token = Token { place: 0, number: 0 };
    /// The worker's bell.
    pub(crate) const BELL: Token = Token { place: 1, number: 0 };
    /// The first place of a client.
    pub(crate) const FIRST: u32 = 2;

    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.number) << 32 | u64::from(self.place)
    }

    pub(crate) fn from_bits(bits: u64) -> Token {
        Token { place: bits as u32, number: (bits >> 32) as u32 }
    }
}

/// A descriptor is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) token: Token,
    /// The peer has ended its side. Only told by edges, where there may be no second one for it.
    pub(crate) hung_up: bool,
}
