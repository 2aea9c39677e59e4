//! The server on one core, its client on another: what either costs the other is then in the figures of
//! neither.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fmt;
use std::io;

/// Where a server and its client run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Each on a core of its own.
    Apart {
        /// The core of the server and all its threads and processes.
        server: usize,
        /// The core of the client.
        client: usize,
    },
    /// Wherever the system puts them, since there is one core or pinning is not allowed.
    Together,
}

impl Placement {
    /// Takes the client's place for the calling thread, and for what it starts from now on.
    pub fn take() -> Placement {
        let Ok(allowed) = sched_getaffinity(None) else {
            return Placement::Together;
        };
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| allowed.is_set(core));
        let (Some(server), Some(client)) = (cores.next(), cores.next()) else {
            return Placement::Together;
        };
        match pin(client) {
            Ok(()) => Placement::Apart { server, client },
            Err(_) => Placement::Together,
        }
    }

    /// Calls `start` in the server's place: the processes that it starts inherit it.
    ///
    /// # Errors
    ///
    /// What `start` says, or the system takes a core away.
    pub fn at_server<T>(self, start: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let Placement::Apart { server, client } = self else {
            return start();
        };
        pin(server)?;
        let started = start();
        pin(client)?;
        started
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placement::Apart { server, client } => {
                write!(f, "server pinned to core {server}, client to core {client}")
            }
            Placement::Together => {
                write!(
                    f,
                    "server and client not pinned, so they compete: trust the order, not the figures"
                )
            }
        }
    }
}

fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}
