//! An Ethernet frame, layer by layer.

// lab:canary heron-00-layers
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

/// The 5-tuple that tells one connection from all others: the protocol, and address and port of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Association {
    pub protocol: Protocol,
    pub source: SocketAddrV4,
    pub destination: SocketAddrV4,
}

/// Why a frame cannot be parsed.
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

/// Parses a frame.
pub fn parse(frame: &[u8]) -> Result<(Layers, Association), Error> {
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
    // lab:hole ip-lengths
    let first = *packet.first().ok_or(Error::Short)?;
    let header = usize::from(first & 0x0f) * 4;
    let total = usize::from(number(packet, 2)?);
    if first >> 4 != 4 || header < 20 || total < header {
        return Err(Error::BadHeader);
    }
    if packet.len() < total {
        return Err(Error::Short);
    }
    Ok((header, total))
    // lab:stub // Where does the header say how long it is, and in which unit? Where, how long all is?
    // lab:stub todo!("the lengths of the header and of the packet")
    // lab:end
}

/// The length of the header of a TCP segment or a UDP datagram, in bytes.
fn transport_length(protocol: Protocol, segment: &[u8]) -> Result<usize, Error> {
    // lab:hole transport-length
    match protocol {
        Protocol::Udp if segment.len() < 8 => Err(Error::Short),
        Protocol::Udp => Ok(8),
        Protocol::Tcp => {
            let length = usize::from(segment.get(12).ok_or(Error::Short)? >> 4) * 4;
            if length < 20 { Err(Error::BadHeader) } else { Ok(length) }
        }
    }
    // lab:stub // One of the two has a header of fixed length.
    // lab:stub todo!("the length of the transport header")
    // lab:end
}

/// The addresses and ports of `packet`, whose payload is `segment`.
fn association(protocol: Protocol, packet: &[u8], segment: &[u8]) -> Result<Association, Error> {
    // lab:hole association
    let address = |at: usize| {
        let bytes: [u8; 4] =
            packet.get(at..at + 4).ok_or(Error::Short)?.try_into().map_err(|_| Error::Short)?;
        Ok(Ipv4Addr::from(bytes))
    };
    Ok(Association {
        protocol,
        source: SocketAddrV4::new(address(12)?, number(segment, 0)?),
        destination: SocketAddrV4::new(address(16)?, number(segment, 2)?),
    })
    // lab:stub // Addresses are the packet's, ports the segment's. Who comes first?
    // lab:stub todo!("addresses and ports")
    // lab:end
}

/// The number of two bytes at `at`, in the order of the network.
fn number(bytes: &[u8], at: usize) -> Result<u16, Error> {
    // lab:hole number
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Error::Short),
    }
    // lab:stub // Mind frames that end too early: they are an error, not a panic.
    // lab:stub todo!("a number of two bytes")
    // lab:end
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
