//! The server on one core, its client on another: what either costs the other is then in the figures of
//! neither.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fmt;

/// Where a server and its client run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Each on a core of its own.
    Apart {
        /// The core of the server and all its threads and processes.
        server: usize,
        /// The core of the client.
        client: usize,
        /// All cores that this process may use, for whatever is not measured.
        all: CpuSet,
    },
    /// Wherever the system puts them, since there is one core or pinning is not allowed.
    Together,
}

impl Placement {
    /// The first two cores that the calling thread may use, if there are two.
    pub fn choose() -> Placement {
        let Ok(all) = sched_getaffinity(None) else {
            return Placement::Together;
        };
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core));
        let (Some(server), Some(client)) = (cores.next(), cores.next()) else {
            return Placement::Together;
        };
        let allowed = sched_setaffinity(None, &only(server)).and(sched_setaffinity(None, &all));
        match allowed {
            Ok(()) => Placement::Apart { server, client, all },
            Err(_) => Placement::Together,
        }
    }

    /// Calls `start` in the server's place: the processes that it starts stay there.
    pub fn at_server<T>(self, start: impl FnOnce() -> T) -> T {
        match self {
            Placement::Apart { server, all, .. } => pinned(server, &all, start),
            Placement::Together => start(),
        }
    }

    /// Calls `load` in the client's place; the processes that it starts stay there.
    pub fn at_client<T>(self, load: impl FnOnce() -> T) -> T {
        match self {
            Placement::Apart { client, all, .. } => pinned(client, &all, load),
            Placement::Together => load(),
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placement::Apart { server, client, .. } => {
                write!(f, "server pinned to core {server}, client to core {client}")
            }
            Placement::Together => f.write_str(
                "server and client not pinned, so they compete: trust the order, not the figures",
            ),
        }
    }
}

/// Runs `work` on `core`, then goes back to `all`.
///
/// What [`Placement::choose`] has tried can fail only when the cores are taken away meanwhile, and then
/// the system has placed the thread already.
fn pinned<T>(core: usize, all: &CpuSet, work: impl FnOnce() -> T) -> T {
    let _ = sched_setaffinity(None, &only(core));
    let result = work();
    let _ = sched_setaffinity(None, all);
    result
}

fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}
