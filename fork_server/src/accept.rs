//! Three ways in which the children of a prefork server accept their clients, side by side.

use crate::child;
use file_service::{Moment, Service};
use ipc::lock::{Guard, Mutex};
use ipc::socket::Packets;
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, poll};
use server_core::{Accepted, Acceptor, Connection, timeout_until};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Instant;

/// How the children of a prefork server accept their clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Accept {
    /// All wait in accept on the one listening socket, and the kernel wakes one
    #[default]
    Shared,
    /// The one that holds a lock waits in accept, the others wait for the lock
    Lock,
    /// The parent accepts, and passes the descriptor to a child that is free
    Pass,
}

/// Where a child waits for its clients.
pub(crate) struct ClientSource<'a> {
    acceptor: Acceptor,
    way: Way<'a>,
}

enum Way<'a> {
    Shared,
    Lock(&'a Mutex<u32>),
    Pass(Packets),
}

impl ClientSource<'_> {
    /// Accepts at the listening socket, which blocks; with a lock, one child at a time.
    pub(crate) fn accepting<'a>(
        listener: TcpListener,
        service: &Service,
        lock: Option<&'a Mutex<u32>>,
    ) -> io::Result<ClientSource<'a>> {
        listener.set_nonblocking(false)?;
        let acceptor = Acceptor::new(listener, service)?;
        Ok(ClientSource { acceptor, way: lock.map_or(Way::Shared, Way::Lock) })
    }

    /// Receives the clients that the parent passes.
    pub(crate) fn passed(channel: Packets, service: &Service) -> ClientSource<'static> {
        ClientSource { acceptor: Acceptor::without_listener(service), way: Way::Pass(channel) }
    }

    /// Waits for a client; returns it, and since when it waits for this child. Returns `None` after the shutdown
    /// request.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Connection, Moment)>> {
        while !child::shutdown_requested() {
            // The model: what a child without a client waits for, in each of the three.
            let accepted = match &self.way {
                Way::Shared => self.acceptor.try_accept(), // a client: the kernel wakes one waiter
                Way::Lock(lock) => {
                    let _guard = acquire(lock)?; // the lock, and then a client
                    match child::shutdown_requested() {
                        false => self.acceptor.try_accept(),
                        true => break, // meanwhile
                    }
                }
                Way::Pass(channel) => return next_passed(channel, &mut self.acceptor), // its parent
            };
            match accepted {
                Accepted::Connection(connection) => {
                    return Ok(Some((connection, self.acceptor.service().moment())));
                }
                Accepted::Pause(until) => pause(&self.acceptor, until),
                Accepted::Retry | Accepted::Empty(_) => {}
                Accepted::Shutdown => break,
            }
        }
        Ok(None)
    }
}

/// Waits for the lock. A child that was killed while it had it has left nothing half done, since the lock protects
/// no data.
fn acquire(lock: &Mutex<u32>) -> io::Result<Guard<'_, u32>> {
    let mut guard = lock.lock()?;
    if guard.recovered() {
        tracing::info!("the child that held the lock has died: the lock passes on");
        guard.mark_consistent();
    }
    Ok(guard)
}

/// Waits until `until`, unless the listening socket is shut down before.
fn pause(acceptor: &Acceptor, until: Instant) {
    if let Some(listener) = acceptor.listener() {
        // No flags: only a hang-up is reported.
        let _ =
            poll(&mut [PollFd::new(listener, PollFlags::empty())], timeout_until(until).as_ref());
    }
}

// ---- Passing ----

/// What goes along with a descriptor: the connection's number in the trace, and since when it waits.
type Header = [u8; 12];

/// The parent's part: gives a child that has asked for it a copy of the client's socket.
///
/// # Errors
///
/// The child is gone; the client is not.
pub(crate) fn pass(
    channel: &Packets,
    connection: &Connection,
    dispatched: Moment,
) -> ipc::Result<()> {
    let mut header: Header = [0; 12];
    header[..4].copy_from_slice(&connection.handle().number().to_ne_bytes());
    header[4..].copy_from_slice(&dispatched.to_bits().to_ne_bytes());
    channel.send_descriptors(&header, &[connection.socket().as_fd()])
}

/// The child's part: says that it is free, and waits.
fn next_passed(
    channel: &Packets,
    acceptor: &mut Acceptor,
) -> io::Result<Option<(Connection, Moment)>> {
    loop {
        let mut header: Header = [0; 12];
        let asked = channel.send(b".");
        let received = asked.and_then(|()| channel.receive_descriptors(&mut header, 1));
        let (length, mut descriptors) = match received {
            Ok(received) => received,
            Err(ipc::Error::System { errno: Errno::EMFILE, .. }) => {
                tracing::warn!("no descriptor for a client that was passed");
                continue;
            }
            Err(ipc::Error::Closed { .. }) => return Ok(None), // the parent is dead
            Err(error) => return Err(error.into()),
        };
        let Some(socket) = descriptors.pop().filter(|_| length == header.len()) else {
            return Ok(None); // the end of the channel: the shutdown request
        };
        let (number, dispatched) = header.split_at(4);
        let number = u32::from_ne_bytes(number.try_into().expect("four bytes"));
        let dispatched = u64::from_ne_bytes(dispatched.try_into().expect("eight bytes"));
        if let Some(connection) = acceptor.adopt(socket, number) {
            return Ok(Some((connection, Moment::from_bits(dispatched))));
        }
    }
}
