//! A datagram socket of the check's own.

use super::verdict::Verdict;
use crate::poll::poll_for;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use nix::sys::time::TimeSpec;
use rustix::event::{PollFd, PollFlags};
use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime};

/// A datagram socket of the check's own: it plays the client, the server, a stranger, or the network between.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: UdpSocket,
    address: SocketAddrV4,
}

/// What has come to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// All of it.
    pub bytes: Vec<u8>,
    /// When it came, as the kernel has noted it: that may be long before it was seen here.
    pub at: Instant,
}

impl DatagramSocket {
    /// One on a free port of this host.
    pub(super) fn bind(host: Ipv4Addr) -> Verdict<DatagramSocket> {
        let socket = UdpSocket::bind(SocketAddrV4::new(host, 0))?;
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        match socket.local_addr()? {
            SocketAddr::V4(address) => Ok(DatagramSocket { socket, address }),
            SocketAddr::V6(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
    }

    /// Where it receives.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Sends a datagram. Whether anybody receives it is not known.
    pub fn send(&self, bytes: impl AsRef<[u8]>, to: SocketAddrV4) -> Verdict {
        match self.socket.send_to(bytes.as_ref(), to) {
            // What has become of an earlier one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            sent => Ok(sent.map(drop)?),
        }
    }

    /// What has come already, or comes within `timeout`.
    pub fn receive(&self, timeout: Duration) -> Verdict<Option<Datagram>> {
        let until = Instant::now() + timeout;
        loop {
            match self.take() {
                Ok(datagram) => return Ok(Some(datagram)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
                    poll_for(&mut fds, left)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next that has come already.
    fn take(&self) -> io::Result<Datagram> {
        let mut buffer = vec![0; 1 << 16];
        let mut notes = nix::cmsg_space!(TimeSpec);
        let mut places = [IoSliceMut::new(&mut buffer)];
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let got = recvmsg::<SockaddrIn>(socket, &mut places, Some(&mut notes), flags)?;
        let (now, clock) = (Instant::now(), SystemTime::now());
        let came = got.cmsgs()?.find_map(|note| match note {
            ControlMessageOwned::ScmTimestampns(time) => {
                Some(SystemTime::UNIX_EPOCH + Duration::from(time))
            }
            _ => None,
        });
        // The kernel's note is by the clock of the day.
        let age = came.and_then(|came| clock.duration_since(came).ok()).unwrap_or_default();
        let at = now.checked_sub(age).unwrap_or(now);
        let from = got.address.ok_or(io::ErrorKind::Unsupported)?.into();
        let length = got.bytes;
        buffer.truncate(length);
        Ok(Datagram { from, bytes: buffer, at })
    }

    /// Throws away what has come, and gives how many they were; in a flood no more than a thousand.
    pub fn drain(&self) -> Verdict<u32> {
        for number in 0..1000 {
            if self.receive(Duration::ZERO)?.is_none() {
                return Ok(number);
            }
        }
        Ok(1000)
    }

    /// Takes datagrams from `peer` alone from now on: who else sends is told that nobody is there (ICMP, port
    /// unreachable), while the port stays this socket's.
    pub fn receive_only_from(&self, peer: SocketAddrV4) -> Verdict {
        Ok(rustix::net::connect(&self.socket, &peer).map_err(io::Error::from)?)
    }
}
