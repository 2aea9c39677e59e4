//! The listening socket.

// lab:canary sandpiper-17-listener
use crate::client::Client;
use std::fs::File;
use std::io::{self, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::path::PathBuf;

/// Accepts clients, and never waits for one.
pub struct Listener {
    socket: TcpListener,
    root: PathBuf,
    /// A spare descriptor, to accept and refuse a client with when there is none left.
    spare: Option<File>,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    /// Accepts from `listener`; clients are served from `root`.
    pub fn new(listener: TcpListener, root: PathBuf) -> io::Result<Listener> {
        // lab:hole listener
        listener.set_nonblocking(true)?;
        // lab:stub // Somebody may have gone again before you accept. How long does accept wait then?
        // lab:stub todo!("no call on this socket may wait");
        // lab:end
        Ok(Listener { socket: listener, root, spare: spare() })
    }

    /// Accepts the clients that wait in the backlog, as far as their sockets get numbers below `limit`; the others are
    /// refused. Returns whether a client came. No failure here ends the server.
    pub fn accept_all(&mut self, clients: &mut Vec<Client>, limit: RawFd) -> bool {
        // lab:hole accept
        let mut came = false;
        // Some at a time: the clients that are here already must not starve.
        for _ in 0..64 {
            match self.socket.accept() {
                Ok((stream, _)) if stream.as_raw_fd() >= limit => refuse(stream),
                Ok((stream, _)) => match Client::new(stream, &self.root) {
                    Ok(client) => clients.push(client),
                    Err(error) => eprintln!("a client was lost: {error}"),
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if is_of_one_client(&error) => {}
                Err(error) => {
                    // The client stays in the backlog, and as long as it does, the socket is ready. The spare
                    // descriptor, given up, is one to accept the client with and to refuse it.
                    let Some(given_up) = self.spare.take() else { break };
                    drop(given_up);
                    let waiting = self.socket.accept();
                    let refused = waiting.is_ok();
                    if let Ok((stream, _)) = waiting {
                        eprintln!("a client was refused: {error}");
                        refuse(stream);
                    }
                    self.spare = spare();
                    if !refused {
                        break;
                    }
                }
            }
            came = true;
        }
        came
        // lab:stub // One, or all who wait? What if there is no descriptor left for the next one (EMFILE)? `refuse` is
        // lab:stub // below, and self.spare is a descriptor that you may give up.
        // lab:stub let _ = (clients, limit, &self.socket, &self.root, &self.spare);
        // lab:stub todo!("let them in")
        // lab:end
    }
}

/// Whether accept has failed because of the client that it would have given.
fn is_of_one_client(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted)
}

/// Refuses a client. There is always room for a first line, so this does not wait.
fn refuse(stream: TcpStream) {
    let _ = (&stream).write(b"ERR busy there is no descriptor left for you\n");
    let _ = stream.shutdown(Shutdown::Write);
}

fn spare() -> Option<File> {
    File::open("/dev/null").ok()
}
