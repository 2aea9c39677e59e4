//! Three ways in which children come by their clients, side by side.

use crate::child;
use file_service::{Accepted, Connection, Incoming, Moment, Service};
use ipc::lock::{Guard, Mutex};
use ipc::socket::Packets;
use nix::errno::Errno;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::time::Instant;

/// How the children of a prefork server come by their clients.
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
pub(crate) struct Door<'a> {
    incoming: Incoming,
    way: Way<'a>,
}

enum Way<'a> {
    Shared,
    Lock(&'a Mutex<u32>),
    Pass(Packets),
}

impl Door<'_> {
    /// A door at the listening socket, whose accept waits; with a lock, for one child at a time.
    pub(crate) fn open<'a>(
        listener: TcpListener,
        service: &Service,
        lock: Option<&'a Mutex<u32>>,
    ) -> io::Result<Door<'a>> {
        let incoming = Incoming::preforked(listener, service)?;
        Ok(Door { incoming, way: lock.map_or(Way::Shared, Way::Lock) })
    }

    /// A door to which the parent brings the clients.
    pub(crate) fn passed(channel: Packets, service: &Service) -> Door<'static> {
        Door { incoming: Incoming::given(service), way: Way::Pass(channel) }
    }

    /// Waits for a client; gives since when the client waits for this child. Nothing after the order to stop.
    pub(crate) fn next(&mut self) -> io::Result<Option<(Connection, Moment)>> {
        while !child::told_to_stop() {
            // The models: what a child without a client waits for.
            let accepted = match &self.way {
                Way::Shared => self.incoming.try_next(), // a connection: the kernel wakes one who waits
                Way::Lock(lock) => {
                    let _turn = turn(lock)?; // its turn to do so
                    match child::told_to_stop() {
                        false => self.incoming.try_next(),
                        true => break, // meanwhile
                    }
                }
                Way::Pass(channel) => return next_passed(channel, &mut self.incoming), // its parent
            };
            match accepted {
                Accepted::Connection(connection) => {
                    return Ok(Some((connection, self.incoming.service().moment())));
                }
                Accepted::Pause(until) => pause(&self.incoming, until),
                Accepted::Again | Accepted::Nobody(_) => {}
                Accepted::Stop => break,
            }
        }
        Ok(None)
    }
}

/// Waits for the lock. A child that was killed while it had it has left nothing half done, since the lock protects
/// no data.
fn turn(lock: &Mutex<u32>) -> io::Result<Guard<'_, u32>> {
    let mut guard = lock.lock()?;
    if guard.recovered() {
        tracing::info!("the child that held the lock has died: the lock passes on");
        guard.mark_consistent();
    }
    Ok(guard)
}

/// Lets `until` pass, unless the listening socket is shut down before.
fn pause(incoming: &Incoming, until: Instant) {
    if let Some(listener) = incoming.listener() {
        let left = until.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        // No flags: only a hang-up is reported.
        let _ = poll(&mut [PollFd::from_borrowed_fd(listener, PollFlags::empty())], Some(&left));
    }
}

// ---- Passing ----

/// What goes along with a descriptor: the connection's number in the trace, and since when it waits.
type Slip = [u8; 12];

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
    let mut slip: Slip = [0; 12];
    slip[..4].copy_from_slice(&connection.number().to_ne_bytes());
    slip[4..].copy_from_slice(&dispatched.to_bits().to_ne_bytes());
    channel.send_descriptors(&slip, &[connection.socket().as_fd()])
}

/// The child's part: says that it is free, and waits.
fn next_passed(
    channel: &Packets,
    incoming: &mut Incoming,
) -> io::Result<Option<(Connection, Moment)>> {
    loop {
        let mut slip: Slip = [0; 12];
        let asked = channel.send(b".");
        let received = asked.and_then(|()| channel.receive_descriptors(&mut slip, 1));
        let (length, mut descriptors) = match received {
            Ok(received) => received,
            Err(ipc::Error::System { errno: Errno::EMFILE, .. }) => {
                tracing::warn!("no descriptor for a client that was passed");
                continue;
            }
            Err(ipc::Error::Closed { .. }) => return Ok(None), // the parent is dead
            Err(error) => return Err(error.into()),
        };
        let Some(socket) = descriptors.pop().filter(|_| length == slip.len()) else {
            return Ok(None); // the end of the channel: the order to stop
        };
        let (number, dispatched) = slip.split_at(4);
        let number = u32::from_ne_bytes(number.try_into().expect("four bytes"));
        let dispatched = u64::from_ne_bytes(dispatched.try_into().expect("eight bytes"));
        if let Some(connection) = incoming.adopt(socket, number) {
            return Ok(Some((connection, Moment::from_bits(dispatched))));
        }
    }
}
