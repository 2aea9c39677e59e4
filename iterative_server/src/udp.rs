//! The same service by datagram: receive, answer, send, and all is forgotten.
//!
//! What can go wrong here goes wrong for one datagram, and the client, who must reckon with losses anyway, asks
//! again. So nothing but the order to stop ends the loop.

use file_service::datagram::{MAX_REQUEST, answer};
use file_service::{Service, StopSignal};
use std::io::{self, ErrorKind};
use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::time::Duration;

/// The pause after an error of the socket that is nobody's in particular, so that one that stays does not make
/// the loop spin.
const PAUSE: Duration = Duration::from_millis(5);

/// Serves until the process is told to stop. Datagrams that wait then are lost, like any others.
///
/// # Errors
///
/// The system refuses the signalfd, or to make the socket non-blocking.
pub fn run(socket: &UdpSocket, service: &Service) -> io::Result<()> {
    let stop = StopSignal::new()?;
    // To be readable is a promise that Linux may break: a datagram with a wrong checksum is found out by the
    // read, which would then wait for the next and hear no order to stop. And a full send buffer is no
    // reason to keep everybody waiting.
    socket.set_nonblocking(true)?;
    let mut datagram = [0; MAX_REQUEST + 1];
    while !stop.comes_before(Some(socket.as_fd()), None) {
        let (length, peer) = match socket.recv_from(&mut datagram) {
            Ok(received) => received,
            Err(error) => {
                if !is_ones_own(&error) {
                    tracing::warn!("receiving: {error}");
                    if stop.comes_before(None, Some(PAUSE)) {
                        break;
                    }
                }
                continue;
            }
        };
        // The model: the next datagram waits until this one is answered.
        if let Some(reply) = answer(service, peer, &datagram[..length])
            && let Err(error) = socket.send_to(&reply, peer)
        {
            tracing::debug!(%peer, "reply lost: {error}");
        }
    }
    Ok(())
}

/// Whether the error of a read concerns one datagram, perhaps a reply of the past to which an ICMP message came
/// back, or none at all.
fn is_ones_own(error: &io::Error) -> bool {
    use ErrorKind::{
        ConnectionRefused, HostUnreachable, Interrupted, NetworkUnreachable, WouldBlock,
    };
    matches!(
        error.kind(),
        WouldBlock | Interrupted | ConnectionRefused | HostUnreachable | NetworkUnreachable
    )
}
