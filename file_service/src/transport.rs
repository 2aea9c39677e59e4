//! What a session needs of a connected byte stream.

use std::fs::File;
use std::io;
use std::time::Instant;

/// A connected byte stream.
///
/// Every method either moves bytes or says [`io::ErrorKind::WouldBlock`]; whether it waits in between is
/// the transport's own business, and is all that sets a blocking stream apart.
pub trait Transport {
    /// Reads what has arrived; 0 is the end of what the client sends.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;

    /// Reads like [`read`](Transport::read), but does not wait beyond `deadline`.
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

    /// Returns how many of the bytes that were written the client has not acknowledged yet. `None` means that the
    /// stream does not know; then every write counts as progress of the client.
    fn unacknowledged(&mut self) -> Option<u64> {
        None
    }

    /// Returns whether the client is still there.
    fn peer(&mut self) -> Peer {
        Peer::Present
    }

    /// Ends what is written; reading goes on. A transport that has taken bytes over and not sent them yet
    /// would block.
    fn finish(&mut self) -> io::Result<()>;

    /// Ends both directions at once, so that the client sees an error and not an orderly end. What has been
    /// written and not delivered may be lost. A stream that has no such end ends short.
    fn reset(&mut self);
}

/// The client at the other end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It may still send.
    Present,
    /// It has ended its side, and may still read.
    HalfClosed,
    /// It has ended both sides, or has reset the connection: nothing that is written reaches it.
    Gone,
}

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes to read, or the end of stream.
    Read,
    /// Room to write.
    Write,
    /// The outcome of the job that is out, whatever happens to the stream. If none is out: only the deadline.
    Job,
}
