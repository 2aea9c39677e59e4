//! The limits of the kernel and of this user's session.

use std::fs;
use std::io::{self, Write};

use ipc::limits;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statvfs::statvfs;

/// Prints the limits.
pub(crate) fn print(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "LIMITS")?;
    for limit in limits::LIMITS {
        let value = limit.read().unwrap_or_else(|error| format!("unknown ({error})"));
        print_row(out, limit.mechanism, limit.meaning, &value)?;
    }
    for (mechanism, meaning, resource) in [
        ("POSIX queue", "bytes in all queues of this user", Resource::RLIMIT_MSGQUEUE),
        ("signal", "signals that wait for this user", Resource::RLIMIT_SIGPENDING),
        ("memory", "bytes that may be locked", Resource::RLIMIT_MEMLOCK),
        ("process", "descriptors of a process", Resource::RLIMIT_NOFILE),
        ("process", "processes of this user", Resource::RLIMIT_NPROC),
    ] {
        let value = match getrlimit(resource) {
            Ok((RLIM_INFINITY, _)) => "unlimited".to_owned(),
            Ok((soft, hard)) if soft < hard && hard != RLIM_INFINITY => {
                format!("{soft} (may be raised to {hard})")
            }
            Ok((soft, _)) => soft.to_string(),
            Err(errno) => format!("unknown ({errno})"),
        };
        print_row(out, mechanism, meaning, &value)?;
    }
    let space = match statvfs("/dev/shm") {
        Ok(space) => {
            let unit = space.fragment_size();
            format!("{} of {}", space.blocks_available() * unit, space.blocks() * unit)
        }
        Err(errno) => format!("unknown ({errno})"),
    };
    print_row(out, "shared memory", "bytes free in /dev/shm", &space)?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().find_map(|mount| {
        let mut fields = mount.split(' ').skip(1);
        let directory = fields.next()?;
        (fields.next()? == "mqueue").then(|| directory.to_owned())
    });
    let mounted = mounted.unwrap_or_else(|| "nowhere (they work all the same)".to_owned());
    print_row(out, "POSIX queue", "where the queues show as files", &mounted)
}

fn print_row(out: &mut impl Write, mechanism: &str, meaning: &str, value: &str) -> io::Result<()> {
    writeln!(out, "  {mechanism:<20}{meaning:<55}{value}")
}
