//! A listening socket of the check's own, for a student's client.

use super::client::Client;
use super::program::Program;
use super::verdict::{TIMEOUT, Verdict, fail};
use crate::poll::poll_for;
use rustix::event::{PollFd, PollFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// A socket of the check's own, for programs that connect.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: SocketAddrV4,
}

impl Listener {
    /// One on a free port of 127.0.0.1.
    pub(super) fn bind() -> io::Result<Listener> {
        let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
        rustix::net::listen(&socket, 64)?;
        let address = rustix::net::getsockname(&socket)?.try_into()?;
        Ok(Listener { socket, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The next connection; `what` is the expectation if none comes.
    pub fn accept(&self, what: &str) -> Verdict<Client> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        if poll_for(&mut fds, TIMEOUT)? == 0 {
            return fail(what, format!("nobody connected for {TIMEOUT:?}"));
        }
        let socket = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC);
        Client::over(TcpStream::from(socket.map_err(io::Error::from)?))
    }

    /// A connection of this program; it fails at once where the program has ended instead.
    pub fn accept_from(&self, program: &mut Program, what: &str) -> Verdict<Client> {
        let until = Instant::now() + TIMEOUT;
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            if poll_for(&mut fds, Duration::from_millis(10))? > 0 {
                return self.accept(what);
            }
            if program.try_wait()?.is_some() || Instant::now() >= until {
                return fail(what, program.describe());
            }
        }
    }
}
