//! Listening sockets, and the options that accepted sockets inherit from them.

use file_service::Service;
use rustix::event::{Timespec, poll};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::{AsFd, OwnedFd};
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

/// How long an address may still be taken by a server that was killed. The kernel tells its children after the process
/// has ended, and they hold the listening socket until they are told; and a ring is taken down after that, too.
const TAKEOVER: Duration = Duration::from_millis(500);

/// How often it is tried meanwhile.
const TAKEOVER_TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Opens a listening socket on `addr` with a long backlog.
///
/// # Errors
///
/// The address is taken, or is not an address of this machine.
pub fn listen(addr: impl ToSocketAddrs) -> io::Result<TcpListener> {
    listen_with(addr, |_| Ok(()))
}

/// Opens a listening socket like [`listen`], whose connections have the timeouts of `service` from the
/// first one on.
///
/// # Errors
///
/// The address is taken, or is not an address of this machine.
pub fn listen_for(addr: impl ToSocketAddrs, service: &Service) -> io::Result<TcpListener> {
    listen_with(addr, |socket| set_inherited_options(socket, service))
}

fn listen_with(
    addr: impl ToSocketAddrs,
    configure: impl Fn(&OwnedFd) -> io::Result<()>,
) -> io::Result<TcpListener> {
    let addrs: Vec<SocketAddr> = addr.to_socket_addrs()?.collect();
    let deadline = Instant::now() + TAKEOVER;
    loop {
        let mut outcome = Err(io::Error::new(io::ErrorKind::InvalidInput, "no such address"));
        for addr in &addrs {
            outcome = listen_on(*addr, &configure);
            if outcome.is_ok() {
                break;
            }
        }
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                let _ = poll(&mut [], Some(&TAKEOVER_TICK));
            }
            outcome => return outcome,
        }
    }
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
pub(crate) fn set_inherited_options(socket: impl AsFd, service: &Service) -> io::Result<()> {
    // A reply leaves in one piece or is corked, so there is nothing for Nagle's algorithm to gather.
    sockopt::set_tcp_nodelay(&socket, true)?;
    // A blocking call returns that often, and its driver looks at the session's deadline: for a call that writes,
    // often enough to see in time that the client takes nothing. Non-blocking sockets ignore it.
    let settings = service.settings();
    let send = (settings.transfer_timeout / 100).max(Duration::from_millis(1));
    sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(settings.least_timeout()))?;
    sockopt::set_socket_timeout(&socket, Timeout::Send, Some(send))?;
    socket2::SockRef::from(&socket).set_tcp_notsent_lowat(UNSENT_MAX)?;
    Ok(())
}
