//! The server of a run: its name, its addresses, and which of them is used.

use super::RunError;
use crate::load::codec::begins_tls;
use rustix::io::Errno;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long one of several addresses is tried at most.
const LONGEST_TRY: Duration = Duration::from_secs(3);

/// How long the server may take to reply to a greeting of TLS.
const TLS_TIMEOUT: Duration = Duration::from_secs(1);

/// The server of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where it listens: the addresses of its host, in the order in which they are tried.
    pub addrs: Vec<SocketAddr>,
    /// Its host and port as they were typed, an IPv6 address in brackets: where HTTP requests are directed to.
    pub authority: String,
    /// Its name in reports.
    pub name: String,
}

/// The address that a run uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) addr: SocketAddr,
    /// Which it is and why the ones before it are not, where there are several.
    pub(super) note: Option<String>,
}

impl Target {
    /// A server with one address.
    pub fn new(addr: SocketAddr, name: impl Into<String>) -> Target {
        Target { addrs: vec![addr], authority: addr.to_string(), name: name.into() }
    }

    /// Finds all addresses of `text`, which is HOST:PORT. The name in reports is the same text.
    ///
    /// # Errors
    ///
    /// The text is not HOST:PORT, or the host has no address. The error does not repeat the text.
    pub fn resolve(text: &str) -> Result<Target, String> {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let parts = parts.filter(|(_, port)| port.parse::<u16>().is_ok());
        let Some((host, port)) = parts else {
            return Err("not an address: HOST:PORT is needed, such as localhost:8080".into());
        };
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(host) => format!("[{host}]"),
            None if host.contains(':') => format!("[{host}]"),
            None => host.to_owned(),
        };
        let authority = format!("{host}:{port}");
        let found = authority.to_socket_addrs();
        let found = found.map_err(|error| format!("host {host} has no address: {error}"))?;
        let mut addrs = Vec::new();
        for addr in found {
            if !addrs.contains(&addr) {
                addrs.push(addr);
            }
        }
        if addrs.is_empty() {
            return Err(format!("host {host} has no address"));
        }
        Ok(Target { addrs, authority, name: text.to_owned() })
    }

    /// The value of the Host field of HTTP: without the port if that is 80, and without the zone of a link-local address.
    pub fn host_field(&self) -> String {
        let (host, port) = self.authority.rsplit_once(':').unwrap_or((&self.authority, "80"));
        let host = match host.split_once('%') {
            Some((host, _zone)) if host.starts_with('[') => format!("{host}]"),
            _ => host.to_owned(),
        };
        if port == "80" { host } else { format!("{host}:{port}") }
    }

    /// Chooses the address to use. Where there are several, each is tried in turn.
    pub(super) fn choose(&self, timeout: Duration) -> Result<Choice, RunError> {
        if let [addr] = self.addrs[..] {
            return Ok(Choice { addr, note: None });
        }
        let each =
            (timeout / self.addrs.len().max(1) as u32).clamp(Duration::from_millis(1), LONGEST_TRY);
        let mut failed = Vec::new();
        for addr in &self.addrs {
            match TcpStream::connect_timeout(addr, each) {
                Ok(_) if failed.is_empty() => {
                    let note = format!("of the addresses of {}, {addr} was used", self.authority);
                    return Ok(Choice { addr: *addr, note: Some(note) });
                }
                Ok(_) => {
                    let note = format!(
                        "of the addresses of {}, {addr} was used; tried before it: {}",
                        self.authority,
                        failed.join(", ")
                    );
                    return Ok(Choice { addr: *addr, note: Some(note) });
                }
                Err(error) => failed.push(format!("{addr} ({})", words(&error))),
            }
        }
        Err(RunError::Unreachable(format!(
            "{} cannot be reached; tried: {}",
            self.authority,
            failed.join(", ")
        )))
    }

    /// The error where no connection to `addr` could be made.
    pub(super) fn unreachable(&self, addr: SocketAddr, errno: Errno) -> RunError {
        let why = words(&errno.into());
        let via = match self.authority == addr.to_string() {
            true => String::new(),
            false => format!(" ({addr})"),
        };
        RunError::Unreachable(format!("{}{via} cannot be reached: {why}", self.authority))
    }
}

/// Whether the server at `addr` replies to a greeting of TLS as TLS does.
pub(super) fn speaks_tls(addr: SocketAddr) -> bool {
    let hello = client_hello();
    let first = || -> io::Result<[u8; 2]> {
        let mut socket = TcpStream::connect_timeout(&addr, TLS_TIMEOUT)?;
        socket.set_read_timeout(Some(TLS_TIMEOUT))?;
        socket.write_all(&hello)?;
        let mut first = [0; 2];
        socket.read_exact(&mut first)?;
        Ok(first)
    };
    first().is_ok_and(|first| begins_tls(&first))
}

/// A ClientHello that servers of TLS 1.2 and 1.3 accept. Some servers close without an alert after one that they reject.
fn client_hello() -> Vec<u8> {
    // Suites of TLS 1.3, and of TLS 1.2 with ECDSA and RSA.
    const SUITES: &[u8] =
        &[0x13, 1, 0x13, 2, 0x13, 3, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x2c, 0xc0, 0x30, 0, 0x9c];
    // Each is its type and its value: groups, point formats, signatures, versions.
    const EXTENSIONS: [(u8, &[u8]); 4] = [
        (10, &[0, 4, 0, 0x1d, 0, 0x17]),
        (11, &[1, 0]),
        (13, &[0, 16, 4, 3, 5, 3, 8, 4, 8, 5, 8, 6, 4, 1, 5, 1, 6, 1]),
        (43, &[4, 3, 4, 3, 3]),
    ];
    let value = [0x5e; 32];
    // A share of X25519 may be any 32 bytes.
    let share = [&[0, 36, 0, 0x1d, 0, 32][..], &value].concat();
    let mut extensions = Vec::new();
    for (kind, value) in EXTENSIONS.into_iter().chain([(51, &share[..])]) {
        extensions.extend([0, kind]);
        extensions.extend(counted(value));
    }
    let mut body = vec![3, 3];
    body.extend(value);
    body.push(0); // no session
    body.extend(counted(SUITES));
    body.extend([1, 0]); // no compression
    body.extend(counted(&extensions));
    let handshake = [&[1, 0][..], &counted(&body)].concat();
    [&[0x16, 3, 1][..], &counted(&handshake)].concat()
}

/// `bytes` after their count in two bytes.
fn counted(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

/// The words of an error of the system, without its number.
fn words(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_field_is_what_was_typed() {
        for (text, host) in [
            ("localhost:8080", "localhost:8080"),
            ("localhost:80", "localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("127.0.0.1:81", "127.0.0.1:81"),
            ("[::1]:80", "[::1]"),
            ("[::1]:8080", "[::1]:8080"),
            ("::1:8080", "[::1]:8080"),
            ("[fe80::1%1]:8080", "[fe80::1]:8080"),
        ] {
            let target = Target::resolve(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!((target.host_field().as_str(), target.name.as_str()), (host, text));
        }
    }

    #[test]
    fn addresses_that_are_wrong_are_rejected() {
        for text in ["", "host", ":80", "host:", "host:x", "host:70000", "no port"] {
            assert!(Target::resolve(text).unwrap_err().contains("HOST:PORT"), "{text}");
        }
        assert!(Target::resolve("no.such.host.invalid:1").unwrap_err().contains("no.such.host"));
    }

    #[test]
    fn hello_has_right_lengths() {
        let hello = client_hello();
        let counted_at = |at: usize| usize::from(u16::from_be_bytes([hello[at], hello[at + 1]]));
        // The record, the handshake, and the extensions behind version, random, session, suites and compression.
        assert_eq!((counted_at(3), counted_at(7)), (hello.len() - 5, hello.len() - 9));
        let suites = 9 + 2 + 32 + 1;
        let extensions = suites + 2 + counted_at(suites) + 2;
        let mut at = extensions + 2;
        assert_eq!(at + counted_at(extensions), hello.len());
        while at < hello.len() {
            at += 4 + counted_at(at + 2);
        }
        assert_eq!(at, hello.len());
    }
}
