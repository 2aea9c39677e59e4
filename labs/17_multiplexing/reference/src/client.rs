//! The server's side of one connection, on a socket that never makes it wait.

// lab:canary sandpiper-17-client
use lab04::Session;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// What a socket is ready for, or what is waited for until it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Something has come, be it the end or an error.
    pub input: bool,
    /// There is room for something to be sent.
    pub output: bool,
}

/// What [`Client::advance`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No byte could be moved.
    None,
    /// Bytes were received or sent.
    Moved,
    /// The session is over, or the connection is broken: the client is to be dropped, which closes its socket.
    Finished,
}

/// One client.
pub struct Client {
    stream: TcpStream,
    session: Session,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Client {
    /// A client that has just connected, to be served from `root`.
    pub fn new(stream: TcpStream, root: &Path) -> io::Result<Client> {
        // lab:hole new-client
        // Unlike other systems, Linux does not pass this on from the listening socket.
        stream.set_nonblocking(true)?;
        // lab:stub // What has the new socket inherited from the listening one?
        // lab:stub todo!("no call on this socket may wait");
        // lab:end
        // A reply leaves in pieces, head and file. Nagle's algorithm would hold back each until the one before is
        // acknowledged, and the client's kernel takes its time (40 ms) to do that.
        stream.set_nodelay(true)?;
        Ok(Client { stream, session: Session::new(root)? })
    }

    /// What this client's socket has to be ready for, for the next step of the session.
    pub fn wants(&self) -> Ready {
        // lab:hole wants
        // One or the other: an idle socket has room nearly always, so who waits for room without need does not wait.
        let input = self.session.wants_input();
        Ready { input, output: !input }
        // lab:stub // self.session.wants_input() tells one. When is the other to be watched?
        // lab:stub todo!("input, output, or both?")
        // lab:end
    }

    /// Does what this client `wants` and is `ready` for, a bounded amount of it. Whatever fails,
    /// fails for this client alone.
    pub fn advance(&mut self, ready: Ready) -> Progress {
        // lab:hole advance
        let mut moved = Ok(false);
        if ready.input && self.wants().input {
            moved = self.receive();
        }
        // What was asked may have a reply at once, for which there is room most of the time.
        if (ready.output || matches!(moved, Ok(true))) && moved.is_ok() && self.wants().output {
            moved = self.send().map(|sent| sent || matches!(moved, Ok(true)));
        }
        match moved {
            _ if self.session.is_over() => Progress::Finished,
            Ok(true) => Progress::Moved,
            Ok(false) => Progress::None,
            Err(error) => {
                eprintln!("a client was lost: {error}");
                Progress::Finished
            }
        }
        // lab:stub // receive and send below do the work. What becomes of their errors? When is the client over?
        // lab:stub let _ = ready;
        // lab:stub todo!("what this client is ready for, and no more than its share")
        // lab:end
    }

    /// Reads once. Returns whether anything came: bytes, or the end.
    fn receive(&mut self) -> io::Result<bool> {
        // lab:hole read
        let mut bytes = [0; 16 * 1024];
        match self.stream.read(&mut bytes) {
            Ok(0) => self.session.ended(),
            Ok(count) => self.session.received(&bytes[..count]),
            Err(error) if would_block(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
        // lab:stub // Three things can come of a read that does not wait, and an error is a fourth.
        // lab:stub todo!("read once; tell the session")
        // lab:end
    }

    /// Writes once. Returns whether anything was sent.
    fn send(&mut self) -> io::Result<bool> {
        // lab:hole write
        let output = self.session.output()?;
        if output.is_empty() {
            return Ok(false);
        }
        match self.stream.write(output) {
            Ok(count) => self.session.sent(count),
            Err(error) if would_block(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
        Ok(true)
        // lab:stub // How much of self.session.output() has gone, and how does the session learn of it?
        // lab:stub todo!("write once; tell the session")
        // lab:end
    }
}

/// Whether the call can be repeated later: it would block, or a signal interrupted it.
fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
