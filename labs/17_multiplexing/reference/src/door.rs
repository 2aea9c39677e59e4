//! The listening socket, where clients come in.

// lab:canary sandpiper-17-door
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
        // lab:hole door
        listener.set_nonblocking(true)?;
        // lab:stub // Somebody may have gone again before you accept. How long does accept wait then?
        // lab:stub todo!("no call on this socket may wait");
        // lab:end
        Ok(Door { listener, root, spare: spare() })
    }

    /// Lets in the clients that wait at the door, so far as their sockets get numbers below `limit`; the others are
    /// refused. Gives whether anybody came. Nothing that fails here ends the server.
    pub fn admit(&mut self, clients: &mut Vec<Client>, limit: RawFd) -> bool {
        // lab:hole admit
        let mut came = false;
        // Some at a time: those who are here already have their turns, too.
        for _ in 0..64 {
            match self.listener.accept() {
                Ok((stream, _)) if stream.as_raw_fd() >= limit => refuse(stream),
                Ok((stream, _)) => match Client::new(stream, &self.root) {
                    Ok(client) => clients.push(client),
                    Err(error) => eprintln!("a client was lost: {error}"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => {
                    // The client stays at the door, and as long as it does, the door is ready. With the spare
                    // descriptor given up there is one for it: to be told that there is none.
                    let Some(given_up) = self.spare.take() else { break };
                    drop(given_up);
                    let waiting = self.listener.accept();
                    let somebody = waiting.is_ok();
                    if let Ok((stream, _)) = waiting {
                        eprintln!("a client was refused: {error}");
                        refuse(stream);
                    }
                    self.spare = spare();
                    if !somebody {
                        break;
                    }
                }
            }
            came = true;
        }
        came
        // lab:stub // One, or all who wait? What if there is no descriptor left for the next one (EMFILE)? `refuse` is
        // lab:stub // below, and self.spare is a descriptor that you may give up.
        // lab:stub let _ = (clients, limit, &self.listener, &self.root, &self.spare);
        // lab:stub todo!("let them in")
        // lab:end
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
