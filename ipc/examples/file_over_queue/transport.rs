//! Two byte streams: the short header that both sides share.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use file_service::Transport;
use ipc::Wait;
use ipc::queue::{PosixQueue, Queue};

/// The longest message, in bytes. An empty one is the end of the stream.
pub const CHUNK: usize = 4096;

/// How many messages wait in a queue before its writer does.
pub const MESSAGES: usize = 8;

/// A stream over two queues.
pub struct Queues {
    to: PosixQueue,
    from: PosixQueue,
    timeout: Duration,
    /// The message that is being read, and how much of it was.
    message: Vec<u8>,
    read: usize,
    at_end: bool,
    pub sent: usize,
    pub received: usize,
}

impl Queues {
    pub fn new(to: PosixQueue, from: PosixQueue, timeout: Duration) -> Self {
        let (message, at_end) = (Vec::new(), false);
        Self { to, from, timeout, message, read: 0, at_end, sent: 0, received: 0 }
    }

    fn read_within(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        if self.read == self.message.len() && !self.at_end && !buffer.is_empty() {
            self.message.resize(CHUNK, 0);
            self.read = CHUNK; // so that nothing is there to read if the next line fails
            let received = self.from.receive(&mut self.message, Wait::AtMost(timeout));
            let length = received.map_err(would_block)?.length;
            self.message.truncate(length);
            self.read = 0;
            self.at_end = length == 0;
            self.received += 1;
        }
        let n = (&self.message[self.read..]).read(buffer)?;
        self.read += n;
        Ok(n)
    }
}

/// To a session, time that has run out is a stream that would block.
fn would_block(error: ipc::Error) -> io::Error {
    match error {
        ipc::Error::TimedOut { .. } => ErrorKind::WouldBlock.into(),
        other => other.into(),
    }
}

impl Read for Queues {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_within(buffer, self.timeout)
    }
}

impl Write for Queues {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = &bytes[..bytes.len().min(CHUNK)];
        if !chunk.is_empty() {
            self.to.send(chunk, 0, Wait::AtMost(self.timeout)).map_err(would_block)?;
            self.sent += 1;
        }
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Queues {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Read::read(self, buffer)
    }

    fn read_before(&mut self, buffer: &mut [u8], deadline: Instant) -> io::Result<usize> {
        self.read_within(buffer, deadline.saturating_duration_since(Instant::now()))
    }

    fn write(&mut self, bytes: &[u8], _more: bool) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        copy(self, file, offset, length)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.send(b"", 0, Wait::AtMost(self.timeout)).map_err(would_block)
    }

    fn reset(&mut self) {
        let _ = self.finish(); // a queue has no other end; the reply is short
    }
}

/// A stream over a connected socket.
pub struct Socket(UnixStream);

impl Socket {
    pub fn new(socket: UnixStream, timeout: Duration) -> io::Result<Self> {
        socket.set_read_timeout(Some(timeout))?;
        socket.set_write_timeout(Some(timeout))?;
        Ok(Self(socket))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    fn write(&mut self, bytes: &[u8], _more: bool) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        copy(self, file, offset, length)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn reset(&mut self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Sends a piece of a file through a buffer: neither kind of stream is known to sendfile here.
fn copy(to: &mut impl Write, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
    let mut chunk = [0; CHUNK];
    let wanted = chunk.len().min(usize::try_from(length).unwrap_or(usize::MAX));
    let n = file.read_at(&mut chunk[..wanted], *offset)?;
    let written = to.write(&chunk[..n])?;
    *offset += written as u64;
    Ok(written)
}
