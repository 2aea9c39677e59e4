//! The server's side of one connection, on a socket that never makes it wait.

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

/// What came of a client's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There was nothing that could be done.
    Nothing,
    /// Bytes have come or gone.
    Something,
    /// The client is gone, or has to go: it is dropped, which closes its socket.
    Over,
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
        // hole: new-client
        // What has the new socket inherited from the listening one?
        todo!("no call on this socket may wait");
        // A reply leaves in pieces, head and file. Nagle's algorithm would hold back each until the one before is
        // acknowledged, and the client's kernel takes its time (40 ms) to do that.
        stream.set_nodelay(true)?;
        Ok(Client { stream, session: Session::new(root)? })
    }

    /// What this client's socket has to be ready for, for the next step of the conversation.
    pub fn wants(&self) -> Ready {
        // hole: wants
        // self.session.wants_input() tells one. When is the other to be watched?
        todo!("input, output, or both?")
    }

    /// Gives this client its turn: does what it `wants` and is `ready` for, a bounded amount of it. Whatever fails,
    /// fails for this client alone.
    pub fn turn(&mut self, ready: Ready) -> Turn {
        // hole: turn
        // receive and send below do the work. What becomes of their errors? When is the client over?
        let _ = ready;
        todo!("what this client is ready for, and no more than its share")
    }

    /// Reads once. Gives whether anything came: bytes, or the end.
    fn receive(&mut self) -> io::Result<bool> {
        // hole: read
        // Three things can come of a read that does not wait, and an error is a fourth.
        todo!("read once; tell the session")
    }

    /// Writes once. Gives whether anything went.
    fn send(&mut self) -> io::Result<bool> {
        // hole: write
        // How much of self.session.output() has gone, and how does the session learn of it?
        todo!("write once; tell the session")
    }
}

/// Whether this is no failure at all: not now, but perhaps later.
fn is_for_later(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
