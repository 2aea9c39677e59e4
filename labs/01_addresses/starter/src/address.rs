//! Addresses as text and as bytes in network order.

/// A network, and how many addresses are in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    pub mask: [u8; 4],
    /// The address of the network itself.
    pub first: [u8; 4],
    /// The broadcast address.
    pub last: [u8; 4],
    pub addresses: u64,
}

/// `10.0.0.1` as bytes. Four decimal numbers from 0 to 255 and nothing else; no leading zeros, which some
/// programs take for octal.
pub fn aton(text: &str) -> Option<[u8; 4]> {
    // hole: aton
    // What may stand between the dots, and what may not? How many parts are there?
    todo!("the bytes of an IPv4 address")
}

/// Bytes as `10.0.0.1`.
pub fn ntoa(bytes: [u8; 4]) -> String {
    // hole: ntoa
    todo!("the text of an IPv4 address")
}

/// An IPv6 address as bytes: eight groups of up to four hexadecimal digits, and once `::` for groups of zeros.
/// (The forms with an IPv4 address at the end are left out.)
pub fn pton6(text: &str) -> Option<[u8; 16]> {
    // hole: pton6
    // How many groups does `::` stand for, and how often may it come?
    todo!("the bytes of an IPv6 address")
}

/// Bytes as the shortest text: lower case, no leading zeros, and `::` for the longest run of two or more groups
/// of zeros, the first of them if there are several (RFC 5952).
pub fn ntop6(bytes: [u8; 16]) -> String {
    // hole: ntop6
    // Which run of zeros is the longest? One group of zeros alone is written as 0.
    todo!("the text of an IPv6 address")
}

/// The network that an address is in, by the length of its prefix in bits, 0 to 32.
pub fn network(address: [u8; 4], length: u32) -> Network {
    // hole: network
    // A mask has `length` ones and then zeros. What of /0, and of /32?
    todo!("mask, first and last address of a network")
}
