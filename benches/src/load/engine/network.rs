//! Makes connections and waits for their events.

use crate::load::workload::{Lifetime, Workload};
use nix::sys::socket::{setsockopt, sockopt::IpBindAddressNoPort};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, SocketFlags, SocketType, sockopt};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Source addresses used against a server on this machine. Each has some 28,000 ports, and a port is not free
/// for a minute after its connection has ended.
const SOURCES: u32 = 250;

/// In nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// One epoll instance, and how connections to the server are made.
pub(super) struct Network {
    epoll: OwnedFd,
    addr: SocketAddr,
    /// The next source address, where they are rotated.
    source: Option<u32>,
    /// Connections are ended by a reset, which leaves no port waiting.
    resets: bool,
    no_delay: bool,
}

/// A connection that has been begun.
pub(super) struct Begun {
    pub(super) socket: OwnedFd,
    /// It is made already.
    pub(super) made: bool,
}

impl Network {
    pub(super) fn new(workload: &Workload, addr: SocketAddr) -> rustix::io::Result<Network> {
        // Connections end often, or there are so many that the ports of one address are not enough.
        let many = workload.lifetime != Lifetime::KeepAlive || workload.mix.quit > 0;
        let v4_loopback = matches!(addr.ip(), IpAddr::V4(ip) if ip.is_loopback());
        let rotates = v4_loopback && (many || workload.most_connections() > 1000);
        let pipelines = workload.pipelining > 1 && workload.lifetime != Lifetime::PerRequest;
        Ok(Network {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            addr,
            source: rotates.then_some(0),
            resets: many && !v4_loopback,
            no_delay: pipelines || workload.mix.put > 0,
        })
    }

    /// Begins a connection whose events have `tag`. One for a slow client has a small receive buffer.
    pub(super) fn connect(&mut self, tag: u64, slow: bool) -> rustix::io::Result<Begun> {
        let ipv4 = self.addr.is_ipv4();
        let family = if ipv4 { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = net::socket_with(family, SocketType::STREAM, flags, None)?;
        if slow {
            // Else the kernel would read quickly for it.
            let _ = sockopt::set_socket_recv_buffer_size(&socket, 4096);
        }
        if self.no_delay {
            sockopt::set_tcp_nodelay(&socket, true)?;
        }
        if let Some(source) = &mut self.source {
            let first = u32::from(Ipv4Addr::new(127, 0, 0, 2));
            let ip = Ipv4Addr::from(first + *source);
            *source = (*source + 1) % SOURCES;
            // The port is chosen when the other end is known, so that it need be unique for that end only.
            let _ = setsockopt(&socket, IpBindAddressNoPort, &true);
            net::bind(&socket, &SocketAddr::from((ip, 0)))?;
        }
        if self.resets {
            // There is one address to come from, with 28,000 ports, and the end that closes first keeps its
            // port for a minute. By then every byte of the reply has been read.
            sockopt::set_socket_linger(&socket, Some(Duration::ZERO))?;
        }
        let made = match net::connect(&socket, &self.addr) {
            Ok(()) => true,
            Err(Errno::INPROGRESS) => false,
            Err(errno) => return Err(errno),
        };
        use epoll::EventFlags;
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &socket, epoll::EventData::new_u64(tag), flags)?;
        Ok(Begun { socket, made })
    }

    /// Waits for events, `timeout` nanoseconds at most, and puts them into `events`.
    pub(super) fn wait(
        &self,
        timeout: u64,
        events: &mut Vec<epoll::Event>,
    ) -> rustix::io::Result<()> {
        let timeout =
            Timespec { tv_sec: (timeout / SECOND) as i64, tv_nsec: (timeout % SECOND) as i64 };
        events.clear();
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno),
        }
    }
}
