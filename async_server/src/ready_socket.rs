//! The transport of a session: a socket whose readiness the runtime remembers, which saves the read that would
//! only find out that nothing more has come.

use file_service::{Peer, Transport};
use server_core::{ConnectionHandle, Socket};
use std::fs::File;
use std::io;
use std::sync::Arc;
use tokio::io::Interest as Direction;
use tokio::io::unix::AsyncFd;

/// A socket that is only called when it is ready, as far as the runtime knows.
pub(crate) struct ReadySocket<'a> {
    pub(crate) io: &'a AsyncFd<Arc<ConnectionHandle>>,
    /// The session's deadline has passed. After a pause of the process, timers may expire before the runtime knows
    /// what has arrived: so it is read, whatever the runtime knows.
    pub(crate) is_overdue: bool,
}

impl ReadySocket<'_> {
    fn socket(&self) -> Socket<'_> {
        Socket(self.io.get_ref().socket())
    }

    fn attempt<R>(
        &self,
        direction: Direction,
        call: impl FnOnce(&mut Socket<'_>) -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.try_io(direction, |handle| call(&mut Socket(handle.socket())))
    }
}

impl Transport for ReadySocket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.is_overdue {
            return self.socket().read(buffer);
        }
        let mut n = 0;
        let outcome = self.attempt(Direction::READABLE, |socket| {
            n = socket.read(buffer)?;
            // What did not fill the buffer was all there was. To say so now, in the word that `try_io`
            // understands, saves the call that would find it out. An edge that has come since `try_io`
            // began is not forgotten, and neither is the end of the stream.
            if 0 < n && n < buffer.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        });
        if n > 0 { Ok(n) } else { outcome.map(|()| 0) }
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        self.attempt(Direction::WRITABLE, |socket| socket.write(bytes, more))
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        self.attempt(Direction::WRITABLE, |socket| socket.send_file(file, offset, length))
    }

    fn unacknowledged(&mut self) -> Option<u64> {
        self.socket().unacknowledged()
    }

    fn peer(&mut self) -> Peer {
        self.socket().peer()
    }

    fn finish(&mut self) -> io::Result<()> {
        self.socket().finish()
    }

    fn reset(&mut self) {
        self.socket().reset();
    }
}
