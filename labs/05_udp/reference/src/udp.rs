//! What all three programs need of UDP.

// lab:canary bittern-05-receive
// Each of the three programs needs a part of it.
#![allow(dead_code)]

use crate::wire::MAX;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::time::Instant;

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The address of its sender.
    pub from: SocketAddrV4,
    /// Its bytes, but no more than [`MAX`].
    pub bytes: Vec<u8>,
    /// Whether there were more, which are lost.
    pub truncated: bool,
}

/// Receives one datagram, and waits for it as long as the socket does.
pub fn receive(socket: &UdpSocket) -> io::Result<Datagram> {
    // lab:hole receive
    use nix::sys::socket::{MsgFlags, SockaddrIn, recvmsg};
    use std::os::fd::AsRawFd;
    let mut buffer = [0; MAX];
    let (bytes, from, truncated) = {
        let mut pieces = [io::IoSliceMut::new(&mut buffer)];
        let no_flags = MsgFlags::empty();
        let got = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut pieces, None, no_flags)?;
        (got.bytes, got.address, got.flags.contains(MsgFlags::MSG_TRUNC))
    };
    let from = from.ok_or(io::ErrorKind::InvalidData)?;
    Ok(Datagram { from: from.into(), bytes: buffer[..bytes].to_vec(), truncated })
    // lab:stub // What does the kernel do with the rest of a datagram that is longer than your buffer, and how do you
    // lab:stub // get to know of it? (`recv_from` of the standard library does not tell.)
    // lab:stub todo!("receive a datagram, and report whether it was truncated")
    // lab:end
}

/// Receives one datagram, or nothing if none comes before `deadline`. Sleeps meanwhile.
pub fn receive_until(socket: &UdpSocket, deadline: Instant) -> io::Result<Option<Datagram>> {
    // lab:hole receive-until
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            // To the kernel a timeout of zero is none at all.
            return Ok(None);
        }
        socket.set_read_timeout(Some(left))?;
        match receive(socket) {
            Ok(datagram) => return Ok(Some(datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            // Stopped and continued (Ctrl-Z, fg), for instance: what is left of the time is left.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    // lab:stub // A socket has a timeout for reading, and there is poll. What comes back when the time is up? What is
    // lab:stub // left to do when somebody presses Ctrl-Z, then fg?
    // lab:stub todo!("receive a datagram before the deadline")
    // lab:end
}

/// A socket that may send to everybody at once.
pub fn broadcaster() -> io::Result<UdpSocket> {
    // lab:hole broadcaster
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_broadcast(true)?;
    Ok(socket)
    // lab:stub // The kernel lets nobody send to a broadcast address by mistake: what must be said first?
    // lab:stub todo!("a socket for broadcasts")
    // lab:end
}
