//! The server on one core, its client on another: what either costs the other is then in the figures of
//! neither.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fmt;
use std::fs;

/// Where a server and its client run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Each on a core of its own.
    Pinned {
        /// The core of the server and all its threads and processes.
        server: usize,
        /// The core of the client.
        client: usize,
        /// All cores that this process may use, for whatever is not measured.
        all: CpuSet,
    },
    /// Wherever the system puts them, since there is one core or pinning is not allowed.
    Unpinned,
}

impl Placement {
    /// The first two cores that the calling thread may use, if there are two.
    pub fn choose() -> Placement {
        let Ok(all) = sched_getaffinity(None) else {
            return Placement::Unpinned;
        };
        let mut cores = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core));
        let (Some(server), Some(client)) = (cores.next(), cores.next()) else {
            return Placement::Unpinned;
        };
        let allowed = sched_setaffinity(None, &only(server)).and(sched_setaffinity(None, &all));
        match allowed {
            Ok(()) => Placement::Pinned { server, client, all },
            Err(_) => Placement::Unpinned,
        }
    }

    /// Calls `start` in the server's place: the processes that it starts stay there.
    pub fn on_server_core<T>(self, start: impl FnOnce() -> T) -> T {
        match self {
            Placement::Pinned { server, all, .. } => pinned(server, &all, start),
            Placement::Unpinned => start(),
        }
    }

    /// Calls `load` in the client's place; the processes that it starts stay there.
    pub fn on_client_core<T>(self, load: impl FnOnce() -> T) -> T {
        match self {
            Placement::Pinned { client, all, .. } => pinned(client, &all, load),
            Placement::Unpinned => load(),
        }
    }
}

impl Placement {
    /// Where the client runs, of a server that was not started here: nobody has pinned that, and only the
    /// system can say where it is, if it is known which process it is.
    pub fn with_external_server(self, server: Option<i32>) -> String {
        let client = match self {
            Placement::Pinned { client, .. } => format!("client pinned to core {client}"),
            Placement::Unpinned => "client not pinned".to_owned(),
        };
        let cores = server
            .and_then(|pid| allowed(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?));
        let Some(cores) = cores else {
            return format!(
                "{client}; the server was not started here, and its cores are not known"
            );
        };
        let shared = match self {
            Placement::Pinned { client, .. } if holds(&cores, client) => {
                ", the client's among them"
            }
            _ => "",
        };
        format!(
            "{client}; the server was not started here, and may use these cores: {cores}{shared}"
        )
    }
}

/// The cores that a process may use, as the system lists them: `0-1,4`.
fn allowed(status: &str) -> Option<String> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    Some(list.trim().to_owned())
}

/// Whether a list of cores holds this one.
fn holds(list: &str, core: usize) -> bool {
    list.split(',').any(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let (from, to) = (from.trim().parse(), to.trim().parse());
        matches!((from, to), (Ok(from), Ok(to)) if (from..=to).contains(&core))
    })
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Placement::Pinned { server, client, .. } => {
                write!(f, "server pinned to core {server}, client to core {client}")
            }
            Placement::Unpinned => f.write_str(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_server_is_not_called_pinned() {
        let mut all = CpuSet::new();
        [0, 1].into_iter().for_each(|core| all.set(core));
        let pinned = Placement::Pinned { server: 0, client: 1, all };
        let words = pinned.with_external_server(None);
        assert!(
            words.contains("client pinned to core 1") && words.contains("not known"),
            "{words}"
        );
        assert!(!words.contains("core 0"), "{words}");
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(pinned.with_external_server(Some(own)).contains("may use these cores: "));
        assert!(Placement::Unpinned.with_external_server(None).contains("not pinned"));
        assert_eq!(allowed("Name:\tx\nCpus_allowed_list:\t0-1,4\n").as_deref(), Some("0-1,4"));
        assert!(holds("0-1,4", 4) && holds("0-1,4", 1) && !holds("0-1,4", 3));
    }
}
