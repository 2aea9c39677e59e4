//! The pair of sockets between a parent and the process that serves a client.
//!
//! The child never writes to its end, so the parent's becomes readable exactly when the child is gone,
//! however it went and whoever is its parent by then: the permit of its client is free. The parent writes
//! one byte as the shutdown request, and when it dies itself, its end closes: both reach the child as the
//! signal SIGTERM, for which its end is set (`F_SETSIG`), so that no waiting call has to watch it.

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use rustix::event::epoll;
use server_core::ConnectionPermit;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Which signal a descriptor sends, as Linux numbers it; the libc crate has no name for it.
const F_SETSIG: libc::c_int = 10;

/// A tether's two ends, the parent's first.
pub(crate) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let kind = SockType::Stream;
    Ok(socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Has SIGTERM come when the parent requests a shutdown or dies; returns whether it has by now.
pub(crate) fn arm(childs: &OwnedFd) -> io::Result<bool> {
    // SAFETY: these two commands take an integer and touch no memory; the descriptor is open.
    unsafe {
        if libc::fcntl(childs.as_raw_fd(), libc::F_SETOWN, libc::getpid()) == -1
            || libc::fcntl(childs.as_raw_fd(), F_SETSIG, libc::SIGTERM) == -1
        {
            return Err(io::Error::last_os_error());
        }
    }
    fcntl(childs, FcntlArg::F_SETFL(OFlag::O_ASYNC | OFlag::O_NONBLOCK))?;
    // What happened before this moment has sent no signal.
    let mut byte = [0];
    Ok(recv(childs.as_raw_fd(), &mut byte, MsgFlags::MSG_PEEK) != Err(nix::Error::EAGAIN))
}

/// The parent's ends, each with the permit of its client.
#[derive(Debug)]
pub(crate) struct Tethers {
    epoll: OwnedFd,
    ends: HashMap<RawFd, (OwnedFd, ConnectionPermit)>,
}

impl Tethers {
    pub(crate) fn new() -> io::Result<Tethers> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Tethers { epoll, ends: HashMap::new() })
    }

    /// Watches `fd` together with the tethers.
    pub(crate) fn watch(&self, fd: &impl AsFd) -> io::Result<()> {
        let data = epoll::EventData::new_u64(fd.as_fd().as_raw_fd() as u64);
        Ok(epoll::add(&self.epoll, fd, data, epoll::EventFlags::IN)?)
    }

    /// Keeps a tether that is watched already, until its child ends.
    pub(crate) fn keep(&mut self, ours: OwnedFd, permit: ConnectionPermit) {
        self.ends.insert(ours.as_raw_fd(), (ours, permit));
    }

    /// Frees the permits of the children that have ended.
    pub(crate) fn remove_ended(&mut self) {
        let mut events = Vec::with_capacity(64);
        let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
        let spare = rustix::buffer::spare_capacity(&mut events);
        if epoll::wait(&self.epoll, spare, Some(&now)).is_ok() {
            for event in &events {
                let fd = event.data.u64() as RawFd;
                if let Some((end, _permit)) = self.ends.remove(&fd) {
                    // Closing it would not do: a child that was forked just now still has a copy, and
                    // until it has closed that, the epoll set would report the end again and again.
                    let _ = epoll::delete(&self.epoll, &end);
                }
            }
        }
    }

    pub(crate) fn request_shutdown(&self) {
        for end in self.ends.keys() {
            // A child that has just ended needs no request.
            let _ = send(*end, b".", MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }
}

/// A descriptor that is readable when a child has ended, or anything else that is watched is readable.
impl AsFd for Tethers {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
