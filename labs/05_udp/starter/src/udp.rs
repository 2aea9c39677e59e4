//! What all three programs need of UDP.

// Each of the three programs needs a part of it.
#![allow(dead_code)]

use crate::wire::MAX;
use std::io;
use std::net::{SocketAddrV4, UdpSocket};
use std::time::Instant;

/// What has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// Its bytes, but no more than [`MAX`].
    pub bytes: Vec<u8>,
    /// Whether there were more, which are lost.
    pub cut: bool,
}

/// Receives one datagram, and waits for it as long as the socket does.
pub fn receive(socket: &UdpSocket) -> io::Result<Datagram> {
    // hole: receive
    // What does the kernel do with the rest of a datagram that is longer than your buffer, and how do you
    // get to know of it? (`recv_from` of the standard library does not tell.)
    todo!("receive a datagram, and say whether it was cut")
}

/// Receives one datagram, or nothing if none comes before `deadline`. Sleeps meanwhile.
pub fn receive_until(socket: &UdpSocket, deadline: Instant) -> io::Result<Option<Datagram>> {
    // hole: receive-until
    // A socket has a time-out for reading, and there is poll. What comes back when the time is up? What is
    // left to do when somebody presses Ctrl-Z, then fg?
    todo!("receive a datagram before the deadline")
}

/// A socket that may send to everybody at once.
pub fn broadcaster() -> io::Result<UdpSocket> {
    // hole: broadcaster
    // The kernel lets nobody send to a broadcast address by mistake: what must be said first?
    todo!("a socket for broadcasts")
}
