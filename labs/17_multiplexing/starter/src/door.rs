//! The listening socket, where clients come in.

use crate::client::Client;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;

/// Where clients come in.
pub struct Door {
    listener: TcpListener,
    root: PathBuf,
    /// A descriptor for the hour when there is none left.
    spare: Option<File>,
}

impl AsFd for Door {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Door {
    /// Where this socket listens; clients are served from `root`.
    pub fn open(listener: TcpListener, root: PathBuf) -> io::Result<Door> {
        // hole: door
        // Somebody may have gone again before you accept. How long does accept wait then?
        todo!("no call on this socket may wait");
        Ok(Door { listener, root, spare: spare() })
    }

    /// Lets in the clients that wait at the door, so far as their sockets get numbers below `limit`; the others are
    /// refused. Gives whether anybody came. Nothing that fails here ends the server.
    pub fn admit(&mut self, clients: &mut Vec<Client>, limit: RawFd) -> bool {
        // hole: admit
        // One, or all who wait? What if there is no descriptor left for the next one (EMFILE)? `refuse` is
        // below, and self.spare is a descriptor that you may give up.
        let _ = (clients, limit, &self.listener, &self.root, &self.spare);
        todo!("let them in")
    }
}

/// Whether accept has failed because of the client that it would have given.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

/// Tells a client that there is no place for it. There is always room for a first line, so this does not wait.
fn refuse(stream: TcpStream) {
    let _ = (&stream).write(b"ERR busy there is no descriptor left for you\n");
    let _ = stream.shutdown(Shutdown::Write);
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}
