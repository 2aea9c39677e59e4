//! What a session needs of a connected byte stream, and sockets as such a stream.

use rustix::fs::sendfile;
use rustix::net::{RecvFlags, SendFlags, connect_unspec, recv, send};
use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::Instant;

/// A connected byte stream.
///
/// Every method either moves bytes or says [`io::ErrorKind::WouldBlock`]; whether it waits in between is
/// the transport's own business, and is all that sets a blocking stream apart.
pub trait Transport {
    /// Reads what has arrived; 0 is the end of what the client sends.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Reads likewise, but does not wait beyond `deadline`.
    fn read_before(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        let _ = deadline; // a stream that never waits has nothing to do for it
        self.read(buffer)
    }

    /// Writes some of `bytes`; with `more`, the stream may hold them back until the rest comes.
    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize>;

    /// Writes some of the `length` bytes of `file` at `offset`, which moves on; 0 means that the file
    /// ends there.
    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize>;

    /// Would block while there is no room for a further write. A stream that waits within
    /// [`send_file`](Transport::send_file) holds pages of the file meanwhile, so it must look first; the
    /// others need not.
    fn ensure_room(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Ends what is written; reading goes on. A transport that has taken bytes over and not sent them yet
    /// would block.
    fn finish(&mut self) -> io::Result<()>;

    /// Ends both directions at once, so that the client sees an error and not an orderly end. What has been
    /// written and not delivered may be lost. A stream that has no such end ends short.
    fn reset(&mut self);
}

/// A direction of readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end of stream.
    Read,
    /// Room to write.
    Write,
}

/// The most that one call of sendfile is asked for, so that a deadline is looked at now and then.
const SEND_FILE_CHUNK: u64 = 4 << 20;

/// A TCP socket, in whichever mode it is.
#[derive(Debug)]
pub struct Socket<'a>(pub &'a TcpStream);

impl Transport for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (copied, _) = recv(self.0, buffer, RecvFlags::empty())?;
        Ok(copied)
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let more = if more { SendFlags::MORE } else { SendFlags::empty() };
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL | more)?)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        Ok(sendfile(self.0, file, Some(offset), length.min(SEND_FILE_CHUNK) as usize)?)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn reset(&mut self) {
        // The end of a TCP connection by `connect` (connect(2), AF_UNSPEC) is a reset, and happens now:
        // SO_LINGER would wait for the last descriptor of the socket, and for operations of a ring. Where it
        // fails, the connection is gone already or will end short.
        let _ = connect_unspec(self.0);
    }
}
