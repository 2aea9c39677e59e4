//! Addresses as text and as bytes in network order.

// lab:canary heron-01-address
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
    // lab:hole aton
    let mut bytes = [0; 4];
    let mut parts = text.split('.');
    for byte in &mut bytes {
        let part = parts.next()?;
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (part.len() > 1 && part.starts_with('0')) {
            return None;
        }
        *byte = part.parse().ok()?;
    }
    parts.next().is_none().then_some(bytes)
    // lab:stub // What may stand between the dots, and what may not? How many parts are there?
    // lab:stub todo!("the bytes of an IPv4 address")
    // lab:end
}

/// Bytes as `10.0.0.1`.
pub fn ntoa(bytes: [u8; 4]) -> String {
    // lab:hole ntoa
    bytes.map(|byte| byte.to_string()).join(".")
    // lab:stub todo!("the text of an IPv4 address")
    // lab:end
}

/// An IPv6 address as bytes: eight groups of up to four hexadecimal digits, and once `::` for groups of zeros.
/// (The forms with an IPv4 address at the end are left out.)
pub fn pton6(text: &str) -> Option<[u8; 16]> {
    // lab:hole pton6
    let groups = |text: &str| -> Option<Vec<u16>> {
        if text.is_empty() {
            return Some(Vec::new());
        }
        let group = |part: &str| {
            let digits =
                (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            digits.then(|| u16::from_str_radix(part, 16).ok()).flatten()
        };
        text.split(':').map(group).collect()
    };
    let all = match text.split_once("::") {
        None => groups(text)?,
        Some((before, after)) => {
            let (mut all, after) = (groups(before)?, groups(after)?);
            // It stands for one group at least.
            let zeros = 8usize.checked_sub(all.len() + after.len()).filter(|zeros| *zeros > 0)?;
            all.extend(std::iter::repeat_n(0, zeros));
            all.extend(after);
            all
        }
    };
    let all: [u16; 8] = all.try_into().ok()?;
    let mut bytes = [0; 16];
    for (pair, group) in bytes.chunks_exact_mut(2).zip(all) {
        pair.copy_from_slice(&group.to_be_bytes());
    }
    Some(bytes)
    // lab:stub // How many groups does `::` stand for, and how often may it come?
    // lab:stub todo!("the bytes of an IPv6 address")
    // lab:end
}

/// Bytes as the shortest text: lower case, no leading zeros, and `::` for the longest run of two or more groups
/// of zeros, the first of them if there are several (RFC 5952).
pub fn ntop6(bytes: [u8; 16]) -> String {
    // lab:hole ntop6
    let groups: Vec<u16> =
        bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let (mut best, mut at) = (0..0, 0);
    while at < 8 {
        let zeros = groups[at..].iter().take_while(|group| **group == 0).count();
        if zeros > best.len() && zeros > 1 {
            best = at..at + zeros;
        }
        at += zeros.max(1);
    }
    let text = |groups: &[u16]| {
        groups.iter().map(|group| format!("{group:x}")).collect::<Vec<_>>().join(":")
    };
    if best.is_empty() {
        return text(&groups);
    }
    format!("{}::{}", text(&groups[..best.start]), text(&groups[best.end..]))
    // lab:stub // Which run of zeros is the longest? One group of zeros alone is written as 0.
    // lab:stub todo!("the text of an IPv6 address")
    // lab:end
}

/// The network that an address is in, by the length of its prefix in bits, 0 to 32.
pub fn network(address: [u8; 4], length: u32) -> Network {
    // lab:hole network
    // A shift by 32 bits is no shift on most machines, and a panic in Rust.
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    let first = u32::from_be_bytes(address) & mask;
    Network {
        mask: mask.to_be_bytes(),
        first: first.to_be_bytes(),
        last: (first | !mask).to_be_bytes(),
        addresses: 1 << (32 - length),
    }
    // lab:stub // A mask has `length` ones and then zeros. What of /0, and of /32?
    // lab:stub todo!("mask, first and last address of a network")
    // lab:end
}
