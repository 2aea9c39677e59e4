//! One TCP socket as the kernel sees it, found by its two addresses.
//!
//! Asked of the kernel directly (`NETLINK_SOCK_DIAG`), since `/proc/net/tcp` has a row for every
//! connection that was closed within the last minute and takes longer with each of them. Where the
//! kernel does not answer, the table is read after all.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::proc;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};

/// A socket as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSocket {
    /// The state: 1 established, 8 close-wait, 10 listening, and so on.
    pub state: u8,
    /// Bytes received that the process has not read; for a listener, connections not accepted.
    pub unread: u32,
    /// The inode that appears in the descriptors of its holders; 0 once nobody holds it, or while
    /// nobody has accepted it.
    pub inode: u64,
    /// Bytes that went through it so far. Only the kernel's direct answer has them, for a connection in full.
    pub traffic: Option<Traffic>,
}

/// What has gone through a socket in its life, without repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that its process has written, sent or not.
    pub written: u64,
    /// Bytes that have arrived, read or not; the end of the stream counts as one.
    pub received: u64,
}

/// The number of the established state in [`TcpSocket::state`].
pub const ESTABLISHED: u8 = 1;
/// The number of the state in [`TcpSocket::state`] of a connection whose handshake is not over at this end.
pub const SYN_RECEIVED: u8 = 3;
/// The number of the state in [`TcpSocket::state`] of an end whose other side has ended and that has not.
pub const CLOSE_WAIT: u8 = 8;
/// The number of the listening state in [`TcpSocket::state`].
pub const LISTENING: u8 = 10;
/// The number of the state in [`TcpSocket::state`] of an end that has closed first and lingers on for a minute.
pub const TIME_WAIT: u8 = 6;

/// The end `local` of the connection to `remote`, unless there is none any more.
pub fn connection(local: SocketAddrV4, remote: SocketAddrV4) -> Option<TcpSocket> {
    // Where there is no such connection, the kernel offers the listener that would take it.
    find(local, remote).filter(|socket| socket.state != LISTENING)
}

/// The socket that listens on `address`, if there is one.
pub fn listener(address: SocketAddrV4) -> Option<TcpSocket> {
    let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
    find(address, nobody).filter(|socket| socket.state == LISTENING)
}

/// The addresses of all sockets that listen on this port: the kernel has a list of them, by whatever address they would be
/// found.
pub fn listeners_on(port: u16) -> Vec<SocketAddrV4> {
    listeners().into_iter().map(|(own, _)| own).filter(|own| own.port() == port).collect()
}

/// The address of a listening socket that the process holds, if it holds one.
pub fn listener_of(pid: i32) -> Option<SocketAddrV4> {
    let held: Vec<String> = proc::descriptors(pid).into_values().collect();
    let mut listeners = listeners().into_iter();
    listeners.find(|(_, inode)| held.contains(&format!("socket:[{inode}]"))).map(|(own, _)| own)
}

/// All listening sockets, with their inodes.
fn listeners() -> Vec<(SocketAddrV4, u64)> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let listens = |line: &str| -> Option<(SocketAddrV4, u64)> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let own = address(fields.get(1)?)?;
        let state = u8::from_str_radix(fields.get(3)?, 16).ok()?;
        (state == LISTENING).then_some((own, fields.get(9)?.parse().ok()?))
    };
    table.lines().skip(1).filter_map(listens).collect()
}

fn find(local: SocketAddrV4, remote: SocketAddrV4) -> Option<TcpSocket> {
    ask_kernel(local, remote).unwrap_or_else(|_| read_table(local, remote))
}

/// `SOCK_DIAG_BY_FAMILY`, the type of request and answer.
const BY_FAMILY: u16 = 20;
/// `INET_DIAG_INFO`, the attribute that holds a `struct tcp_info`.
const TCP_INFO: u16 = 2;

fn ask_kernel(local: SocketAddrV4, remote: SocketAddrV4) -> io::Result<Option<TcpSocket>> {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::DGRAM);
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, protocol)?;
    rustix::net::send(&socket, &request(local, remote), SendFlags::empty())?;
    let mut answer = [0; 1024];
    let (got, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    parse(&answer[..got]).ok_or(io::ErrorKind::InvalidData.into())
}

/// `struct nlmsghdr` and `struct inet_diag_req_v2`.
fn request(local: SocketAddrV4, remote: SocketAddrV4) -> Vec<u8> {
    const REQUEST: u16 = 1;
    let mut bytes = Vec::with_capacity(72);
    bytes.extend(72u32.to_ne_bytes());
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    bytes.extend([0; 8]); // sequence, port
    bytes.extend([2, 6, 1 << (TCP_INFO - 1), 0]); // AF_INET, TCP, one extension, padding
    bytes.extend(u32::MAX.to_ne_bytes()); // every state
    bytes.extend(local.port().to_be_bytes());
    bytes.extend(remote.port().to_be_bytes());
    for address in [local, remote] {
        bytes.extend(address.ip().octets());
        bytes.extend([0; 12]); // room for IPv6
    }
    bytes.extend([0; 4]); // any interface
    bytes.extend([0xff; 8]); // no cookie
    bytes
}

/// Takes an answer apart: a socket, no such socket, or (`None`) nothing that makes sense.
fn parse(answer: &[u8]) -> Option<Option<TcpSocket>> {
    let number = |at: usize| Some(u32::from_ne_bytes(answer.get(at..at + 4)?.try_into().ok()?));
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    if kind != BY_FAMILY {
        // An error: the negated errno.
        let not_found = rustix::io::Errno::NOENT.raw_os_error();
        return (number(16)? as i32 == -not_found).then_some(None);
    }
    // `struct inet_diag_msg`: four bytes, an address of 48, timer, queues, user, inode.
    Some(Some(TcpSocket {
        state: *answer.get(17)?,
        unread: number(72)?,
        inode: u64::from(number(84)?),
        traffic: attribute(answer.get(88..)?, TCP_INFO).and_then(traffic),
    }))
}

/// Finds an attribute (`struct rtattr`: length with itself, type, value, padding to four bytes).
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let half =
            |at: usize| Some(u16::from_ne_bytes(attributes.get(at..at + 2)?.try_into().ok()?));
        let (length, kind) = (usize::from(half(0)?), half(2)?);
        if kind == wanted {
            return attributes.get(4..length);
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

/// Reads `struct tcp_info`; nothing where the kernel is older than these fields (Linux 4.19).
fn traffic(info: &[u8]) -> Option<Traffic> {
    let long = |at: usize| Some(u64::from_ne_bytes(info.get(at..at + 8)?.try_into().ok()?));
    let not_sent = u32::from_ne_bytes(info.get(144..148)?.try_into().ok()?);
    let (received, sent, again) = (long(128)?, long(200)?, long(208)?);
    Some(Traffic { written: sent.saturating_sub(again) + u64::from(not_sent), received })
}

/// Finds the socket in `/proc/net/tcp`, a listener by its own address alone.
fn read_table(local: SocketAddrV4, remote: SocketAddrV4) -> Option<TcpSocket> {
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if address(fields.get(1)?)? != local || address(fields.get(2)?)? != remote {
            return None;
        }
        Some(TcpSocket {
            state: u8::from_str_radix(fields.get(3)?, 16).ok()?,
            unread: u32::from_str_radix(fields.get(4)?.split_once(':')?.1, 16).ok()?,
            inode: fields.get(9)?.parse().ok()?,
            traffic: None,
        })
    })
}

/// `0100007F:1F90`: the address as this machine would print the number, the port as a number.
fn address(field: &str) -> Option<SocketAddrV4> {
    let (host, port) = field.split_once(':')?;
    let host = u32::from_str_radix(host, 16).ok()?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(SocketAddrV4::new(Ipv4Addr::from(host.to_ne_bytes()), port))
}

/// A datagram socket as the kernel sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpSocket {
    /// Whom it is connected to, and takes datagrams from alone; port 0 if to nobody.
    pub remote: SocketAddrV4,
    /// What waits in it unread, in bytes of the kernel's memory.
    pub unread: u32,
}

/// The datagram socket that is bound to `local`, if there is one.
pub fn datagram_socket(local: SocketAddrV4) -> Option<UdpSocket> {
    let table = fs::read_to_string("/proc/net/udp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        if address(fields.get(1)?)? != local {
            return None;
        }
        let unread = u32::from_str_radix(fields.get(4)?.split_once(':')?.1, 16).ok()?;
        Some(UdpSocket { remote: address(fields.get(2)?)?, unread })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::eventually;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};

    fn v4(address: io::Result<SocketAddr>) -> SocketAddrV4 {
        match address {
            Ok(SocketAddr::V4(address)) => address,
            other => panic!("{other:?}"),
        }
    }

    /// A listener on a free port. One client will come, so any length of its queue will do.
    fn listen() -> TcpListener {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)).unwrap();
        rustix::net::listen(&socket, 8).unwrap();
        TcpListener::from(socket)
    }

    #[test]
    fn both_ways_see_what_waits() {
        let waiting = listen();
        let server = v4(waiting.local_addr());
        let mut client = TcpStream::connect(server).unwrap();
        let client_address = v4(client.local_addr());
        let (mut accepted, _) = waiting.accept().unwrap();
        client.write_all(b"hello").unwrap();
        let ask = || ask_kernel(server, client_address).unwrap().unwrap();
        eventually("the bytes arrive", || ask().unread == 5);
        assert_eq!(ask().state, ESTABLISHED);
        let in_table = |socket| Some(TcpSocket { traffic: None, ..socket });
        assert_eq!(read_table(server, client_address), in_table(ask()));
        accepted.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(connection(server, client_address).unwrap().unread, 0);
        let by_kernel = listener(server).unwrap();
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        assert_eq!(read_table(server, nobody), in_table(by_kernel));
    }

    #[test]
    fn what_went_through_is_counted_at_either_end() {
        let waiting = listen();
        let server = v4(waiting.local_addr());
        let mut client = TcpStream::connect(server).unwrap();
        let client_address = v4(client.local_addr());
        let (mut accepted, _) = waiting.accept().unwrap();
        let ends =
            || [(server, client_address), (client_address, server)].map(|(a, b)| connection(a, b));
        let traffic = || ends().map(|end| end.and_then(|end| end.traffic).unwrap());
        let wanted = |written, received| Traffic { written, received };
        assert_eq!(traffic(), [wanted(0, 0), wanted(0, 0)]);
        client.write_all(b"hello").unwrap();
        accepted.write_all(b"good bye").unwrap();
        eventually("all arrives", || traffic() == [wanted(8, 5), wanted(5, 8)]);
        // More than arrives before it is read: the rest counts as written all the same.
        client.set_nonblocking(true).unwrap();
        let mut more = 0;
        while let Ok(count) = client.write(&[0; 1 << 16]) {
            more += count as u64;
        }
        let [at_server, at_client] = traffic();
        assert_eq!(at_client.written, 5 + more);
        assert!(at_server.received < 5 + more, "everything arrived unread");
        let mut rest = vec![0; 5 + more as usize];
        accepted.read_exact(&mut rest).unwrap();
        client.shutdown(std::net::Shutdown::Write).unwrap();
        eventually("the end arrives", || traffic()[0].received == 5 + more + 1);
    }

    #[test]
    fn what_is_gone_is_not_found() {
        let waiting = listen();
        let address = v4(waiting.local_addr());
        let stranger = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 1);
        assert_eq!(connection(address, stranger), None);
        drop(waiting);
        assert_eq!(listener(address), None);
    }

    #[test]
    fn what_waits_at_a_datagram_socket_is_seen() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let here = v4(socket.local_addr());
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let idle = UdpSocket { remote: nobody, unread: 0 };
        assert_eq!(datagram_socket(here), Some(idle));
        let other = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        other.send_to(b"hello", here).unwrap();
        eventually("it arrives", || datagram_socket(here).unwrap().unread > 0);
        socket.recv_from(&mut [0; 8]).unwrap();
        assert_eq!(datagram_socket(here), Some(idle));
        socket.connect(other.local_addr().unwrap()).unwrap();
        assert_eq!(datagram_socket(here).unwrap().remote, v4(other.local_addr()));
        drop(socket);
        assert_eq!(datagram_socket(here), None);
    }
}
