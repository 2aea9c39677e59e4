//! An Ethernet frame, layer by layer.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddrV4};

/// How many bytes of a frame belong to each layer: its header's, and last what they carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    pub ethernet: usize,
    pub ip: usize,
    pub transport: usize,
    pub payload: usize,
}

/// A transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// Who talks to whom, and how: the 5-tuple that tells one connection from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Association {
    pub protocol: Protocol,
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
}

/// Why a frame cannot be taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// It ends before a header, or before what a header announces.
    Short,
    /// It carries something else than IPv4.
    NotIpv4,
    /// Its IPv4 packet carries something else than TCP or UDP.
    NotTcpOrUdp,
    /// A header says that it is shorter than a header can be.
    BadHeader,
}

/// The header of Ethernet: two addresses of 6 bytes, and the type of what follows, in 2.
const ETHERNET: usize = 14;

/// The type of IPv4.
const TYPE_IPV4: u16 = 0x0800;

/// Takes a frame apart.
pub fn take_apart(frame: &[u8]) -> Result<(Layers, Association), Error> {
    let kind = number(frame, 12)?;
    if kind != TYPE_IPV4 {
        return Err(Error::NotIpv4);
    }
    let packet = &frame[ETHERNET..];
    let (header, total) = ip_lengths(packet)?;
    let protocol = match *packet.get(9).ok_or(Error::Short)? {
        6 => Protocol::Tcp,
        17 => Protocol::Udp,
        _ => return Err(Error::NotTcpOrUdp),
    };
    let segment = packet.get(header..total).ok_or(Error::Short)?;
    let transport = transport_length(protocol, segment)?;
    let payload = segment.len().checked_sub(transport).ok_or(Error::Short)?;
    let layers = Layers { ethernet: ETHERNET, ip: header, transport, payload };
    Ok((layers, association(protocol, packet, segment)?))
}

/// The length of the header of an IPv4 packet, and of the whole packet, in bytes.
fn ip_lengths(packet: &[u8]) -> Result<(usize, usize), Error> {
    // hole: ip-lengths
    // Where does the header say how long it is, and in which unit? Where, how long all is?
    todo!("the lengths of the header and of the packet")
}

/// The length of the header of a TCP segment or a UDP datagram, in bytes.
fn transport_length(protocol: Protocol, segment: &[u8]) -> Result<usize, Error> {
    // hole: transport-length
    // One of the two has a header of fixed length.
    todo!("the length of the transport header")
}

/// Who talks to whom. `segment` is what `packet` carries.
fn association(protocol: Protocol, packet: &[u8], segment: &[u8]) -> Result<Association, Error> {
    // hole: association
    // Addresses are the packet's, ports the segment's. Who comes first?
    todo!("addresses and ports")
}

/// The number of two bytes at `at`, in the order of the network.
fn number(bytes: &[u8], at: usize) -> Result<u16, Error> {
    // hole: number
    // Mind frames that end too early: they are an error, not a panic.
    todo!("a number of two bytes")
}

impl fmt::Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Layers { ethernet, ip, transport, payload } = self;
        write!(f, "ethernet {ethernet} ip {ip} transport {transport} payload {payload}")
    }
}

impl fmt::Display for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{protocol} {} > {}", self.source, self.destination)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::Short => "short",
            Error::NotIpv4 => "not-ipv4",
            Error::NotTcpOrUdp => "not-tcp-or-udp",
            Error::BadHeader => "bad-header",
        })
    }
}
