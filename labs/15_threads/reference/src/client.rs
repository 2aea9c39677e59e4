//! One client: its connection, and what is to be done for it. There is nothing to do in this file.

use crate::stats::{Stats, serve_and_count};
use lab04::serve_blocking;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A defect on purpose. Every program has an input that nobody has thought of; in this one it has this word in it.
const DEFECT: &[u8] = b"boom";

/// A client that was accepted. Dropped, its connection is closed.
pub struct Client {
    stream: TcpStream,
    root: PathBuf,
    stats: Arc<Stats>,
}

impl Client {
    /// The client at the other end of `stream`, which is served the files below `root`.
    pub fn new(stream: TcpStream, root: &Path, stats: &Arc<Stats>) -> Client {
        Client { stream, root: root.to_owned(), stats: stats.clone() }
    }

    /// Serves it to its end, which may take as long as the client likes. **It may panic.**
    pub fn serve(self) {
        serve_and_count(|| self.run_session(), &self.stats);
    }

    /// Refuses it: replies that there is no room.
    pub fn refuse(self) {
        let mut stream = &self.stream;
        let _ = stream.write_all(b"ERR busy no room for another client\n");
        let _ = stream.shutdown(Shutdown::Write);
        // What it has sent already is thrown away: a socket that is closed with unread bytes in it sends a reset, and
        // that may overtake the reply.
        let _ = stream.set_nonblocking(true);
        let _ = stream.read(&mut [0; 4096]);
    }

    /// Runs the session from the first byte to the last. Returns how many bytes were sent. **It may panic.**
    fn run_session(&self) -> u64 {
        let mut sent = 0;
        let stream = CountingStream { stream: &self.stream, sent: &mut sent };
        let served = self.stream.set_nodelay(true);
        if let Err(error) = served.and_then(|()| serve_blocking(stream, &self.root)) {
            eprintln!("a client was lost: {error}");
        }
        sent
    }
}

/// A connection that counts what is sent, and has the defect.
struct CountingStream<'a> {
    stream: &'a TcpStream,
    sent: &'a mut u64,
}

impl Read for CountingStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if buffer[..count].windows(DEFECT.len()).any(|word| word == DEFECT) {
            panic!("a defect on purpose");
        }
        Ok(count)
    }
}

impl Write for CountingStream<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(bytes)?;
        *self.sent += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}
