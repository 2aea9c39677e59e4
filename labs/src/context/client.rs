//! One connection of the check's own, to a student's server or from a student's client.

use super::describe::quote;
use super::program::OUTPUT_MAX;
use super::verdict::{Stop, TIMEOUT, Verdict, fail};
use harness::{oracles, wait};
use rustix::net::sockopt::set_socket_linger;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

/// A connection, and what was read from it and not taken yet.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub(super) fn over(stream: TcpStream) -> Verdict<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Client { stream, buffer: Vec::new() })
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The address of this end of the connection.
    pub fn local_address(&self) -> Verdict<SocketAddrV4> {
        match self.stream.local_addr()? {
            SocketAddr::V4(address) => Ok(address),
            SocketAddr::V6(_) => Err(Stop::GraderError("a client has no IPv4 address".into())),
        }
    }

    /// Resets the connection: the other end receives RST.
    pub fn reset(self) -> Verdict {
        let linger = set_socket_linger(&self.stream, Some(Duration::ZERO));
        Ok(linger.map_err(io::Error::from)?)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Verdict {
        match self.stream.write_all(bytes.as_ref()) {
            Ok(()) => Ok(()),
            Err(error) => fail("the server to read what a client sends", error),
        }
    }

    /// Ends what this client sends.
    pub fn shutdown_write(&self) -> Verdict {
        match self.stream.shutdown(Shutdown::Write) {
            // The other side has reset the connection: what comes of that is seen by whoever reads.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => Ok(done?),
        }
    }

    /// The next `n` bytes; `what` says what they are.
    pub fn read_exactly(&mut self, n: usize, what: &str) -> Verdict<Vec<u8>> {
        while self.buffer.len() < n {
            if !self.read_some(what)? {
                return self.closed(what);
            }
        }
        Ok(self.buffer.drain(..n).collect())
    }

    /// The next line without its LF; `what` says what it is.
    pub fn read_line(&mut self, what: &str) -> Verdict<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.buffer.len() > OUTPUT_MAX {
                return fail(
                    what,
                    format!("{} bytes without the end of a line", self.buffer.len()),
                );
            }
            if !self.read_some(what)? {
                return self.closed(what);
            }
        }
    }

    /// The end of what the server sends.
    pub fn read_end(&mut self, what: &str) -> Verdict {
        loop {
            if !self.buffer.is_empty() {
                return fail(what, quote(&String::from_utf8_lossy(&self.buffer)));
            }
            if !self.read_some(what)? {
                return Ok(());
            }
        }
    }

    fn closed<T>(&self, what: &str) -> Verdict<T> {
        let got = quote(&String::from_utf8_lossy(&self.buffer));
        fail(what, format!("the connection was closed after {got}"))
    }

    /// Reads once; gives whether anything came before the end.
    fn read_some(&mut self, what: &str) -> Verdict<bool> {
        let mut chunk = [0; 16 * 1024];
        loop {
            return match self.stream.read(&mut chunk) {
                Ok(0) => Ok(false),
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let got = quote(&String::from_utf8_lossy(&self.buffer));
                    fail(what, format!("nothing more for {TIMEOUT:?} after {got}"))
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
                Err(error) => fail(what, error),
            };
        }
    }

    /// The next `n` bytes, or those that come before the end or before a long silence.
    pub fn read_up_to(&mut self, n: usize) -> Verdict<Vec<u8>> {
        while self.buffer.len() < n {
            match self.read_some("bytes") {
                Ok(true) => {}
                Ok(false) | Err(Stop::Fail(_)) => break,
                Err(stop) => return Err(stop),
            }
        }
        Ok(self.buffer.drain(..n.min(self.buffer.len())).collect())
    }

    /// How many bytes were read with earlier ones and not taken yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Sends bytes in pieces of `size`, and waits after each until the other end has read it: so every piece is a read
    /// of its own there, which no number of small sends would make sure. Whoever closes meanwhile gets no more.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize) -> Verdict {
        let (Ok(SocketAddr::V4(peer)), Ok(SocketAddr::V4(own))) =
            (self.stream.peer_addr(), self.stream.local_addr())
        else {
            // It was reset already, which a send says in the words of a finding.
            return self.send(bytes);
        };
        for (at, piece) in bytes.chunks(size).enumerate() {
            self.send(piece)?;
            if !wait::within(TIMEOUT, || oracles::unread(peer, own).unwrap_or(0) == 0) {
                let what = format!("{size} bytes at a time to be read as they come");
                let sent = (at * size + piece.len()).min(bytes.len());
                return fail(
                    what,
                    format!("nobody read the last of the first {sent} bytes for {TIMEOUT:?}"),
                );
            }
        }
        Ok(())
    }
}
