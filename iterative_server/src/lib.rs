//! One client at a time: the baseline.
//!
//! The simplest server there is (Stevens' serv00 and TLPI's `iterative` kind): accept a client, serve it
//! to the end, accept the next. There is nothing to share, to lock or to reap, and no other model answers
//! a lone client sooner. It is also the demonstration of why the others exist.
//!
//! - **Unit of concurrency**: none.
//! - **A blocking call stops**: everybody. While one client thinks, the rest wait in the listen queue.
//! - **One client can do to another**: keep it waiting for the length of every time-out there is: the
//!   idle time-out between its requests, and a second more while a closing connection drains.
//! - **Breaks**: with the second client. Try it: hold a connection open with `nc 127.0.0.1 9000`, and run
//!   `cargo run -p file_client -- list` beside it.
//!
//! # By datagram, `--udp`
//!
//! Most servers over UDP are iterative, and well off with it: a request comes whole or not at all, so there
//! is nobody to wait for. The server is a function from datagram to datagram in a loop ([`mod@udp`]). It
//! keeps nothing for a client, and a silent one is not there at all. Try what stopped everybody above:
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
//! - **A blocking call stops**: everybody, as above. But the longest wait is now for one request, and the
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

#![forbid(unsafe_code)]

pub mod udp;

use file_service::{Endpoint, Incoming, Model, Service, converse};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

/// What this model says of itself.
pub const MODEL: Model = Model {
    name: "iterative_server",
    unit: "one client at a time",
    strength: "nothing is shared, nothing can race; the least work per request",
    weakness: "one silent client stops all others",
};

/// The options of this model.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Options {
    /// Serve datagrams instead of connections: LIST, HASH and GET with replies of at most 8 KiB. The limits
    /// on connections and the time-outs then mean nothing
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

/// Serves until the process is told to stop.
///
/// # Errors
///
/// The system refuses the signalfd, the keeper thread or an option of the listening socket.
pub fn run(port: Port, service: Service, _: Options) -> io::Result<()> {
    let listener = match port {
        Port::Connections(listener) => listener,
        Port::Datagrams(socket) => return udp::run(&socket, &service),
    };
    for connection in Incoming::blocking(listener, &service)? {
        converse(connection.session(&service), connection.socket()); // everybody else waits
    }
    Ok(())
}
