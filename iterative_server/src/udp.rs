//! The same service by datagram: receive, answer, send, and all is forgotten.
//!
//! Most servers over UDP are iterative, and well off with it: a request comes whole or not at all, so there
//! is nobody to wait for. The server is a function from datagram to datagram in a loop. It
//! keeps nothing for a client, and a silent one is not there at all. Try what stops every client of the iterative server over TCP:
//! `nc -u 127.0.0.1 9000`, and `cargo run -p file_client -- --udp list` beside it.
//!
//! - **Right** for small questions with small answers that may be asked twice: DNS, NTP, DHCP, counters. It
//!   is one packet each way, where a connection costs three more before and as many after.
//! - **Lost with the connection**: delivery, order, once and only once, a stream of any length, and the
//!   pace, for nothing holds back a fast sender. The client has to number its requests, wait, and ask again;
//!   the server has to bear being asked again, so there is no `PUT`. Nor does anybody know who a client is:
//!   a source address is what the sender wrote there, and 8 KiB of reply to ten bytes of request are what
//!   those look for who flood others. That is one reason to listen on the loopback address unless told
//!   otherwise.
//! - **A blocking call stops**: every other client. But the longest wait is now for one request, and the
//!   work for one is bounded: no file above 1 MiB is hashed, and a listing is given up when it has become
//!   too long for a reply.
//! - **One client can do to another**: fill the receive buffer. What comes while it is full is dropped, and
//!   neither side is told. It has some 200 KiB by default (`net.core.rmem_default`), and a datagram of ten
//!   bytes is counted as 832 with the kernel's own part: the 257th that waits is one too many.
//! - **Breaks**: when datagrams come faster than the loop goes round. The kernel counts them: `RcvbufErrors`
//!   in `/proc/net/snmp`, the `d` in `ss -u -a -m`, the last column of `/proc/net/udp`. To see it, halt the
//!   server by `kill -STOP`, send it a thousand datagrams, and look; `kill -CONT` lets it go on.
//!
//! The course has this as its chapter on UDP. Stevens has the server in chapter 8 of Unix Network
//! Programming, and what its client must add in section 22.5.
//!
//! What can go wrong here goes wrong for one datagram, and the client, who must reckon with losses anyway, asks
//! again. So nothing but the shutdown request ends the loop.

use file_service::Service;
use file_service::datagram::{MAX_REQUEST, answer};
use server_core::{Endpoint, ShutdownSignals};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

/// The options of this model.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Serve datagrams instead of connections: LIST, HASH and GET with replies of at most 8 KiB. The limits
    /// on connections and the timeouts then mean nothing
    #[arg(long)]
    pub udp: bool,
}

/// Where clients come: a listening socket, or one for datagrams.
#[derive(Debug)]
pub enum Port {
    /// A client is a connection.
    Connections(TcpListener),
    /// A client is a datagram.
    Datagrams(UdpSocket),
}

impl Endpoint<Options> for Port {
    fn open(addr: &str, service: &Service, options: &Options) -> io::Result<Port> {
        if options.udp {
            // Without SO_REUSEADDR: two servers of datagrams would share the port, and one get nothing.
            UdpSocket::bind(addr).map(Port::Datagrams)
        } else {
            Endpoint::<Options>::open(addr, service, options).map(Port::Connections)
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Port::Connections(listener) => listener.local_addr(),
            Port::Datagrams(socket) => socket.local_addr(),
        }
    }

    fn remark(&self) -> &'static str {
        match self {
            Port::Connections(_) => "",
            Port::Datagrams(_) => " (UDP)",
        }
    }
}

/// The pause after an error of the socket that is nobody's in particular, so that one that stays does not make
/// the loop spin.
const PAUSE: Duration = Duration::from_millis(5);

/// Serves until shutdown is requested. Datagrams that wait then are lost, like any others.
///
/// # Errors
///
/// The system refuses the signalfd, or to make the socket non-blocking.
pub(crate) fn serve(socket: &UdpSocket, service: &Service) -> io::Result<()> {
    let signals = ShutdownSignals::new()?;
    // To be readable is a promise that Linux may break: a datagram with a wrong checksum is found out by the
    // read, which would then wait for the next and notice no shutdown request. And a full send buffer is no
    // reason to keep everybody waiting.
    socket.set_nonblocking(true)?;
    let mut datagram = [0; MAX_REQUEST + 1];
    while !signals.arrive_before(Some(socket.as_fd()), None) {
        let (length, peer) = match socket.recv_from(&mut datagram) {
            Ok(received) => received,
            Err(error) => {
                if !is_ones_own(&error) {
                    tracing::warn!("receiving: {error}");
                    if signals.arrive_before(None, Some(PAUSE)) {
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
