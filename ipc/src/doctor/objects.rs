//! The objects of this user that have a name, and whether a living process uses them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use ipc::queue::{PosixQueue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, SysvSemaphore};
use ipc::shared::Creator;
use nix::errno::Errno;
use nix::unistd::geteuid;

use crate::Outcome;

/// An object of this user that has a name.
pub(crate) struct Entry {
    pub kind: &'static str,
    pub name: String,
    pub detail: String,
    /// Why it is not to be removed.
    pub in_use: Option<String>,
    /// Nobody has ever used it, so it may be about to be.
    pub never_used: bool,
    pub remove: Box<dyn FnOnce() -> Outcome<()>>,
}

/// Prints the objects of this user; returns those that no living process uses.
pub(crate) fn print(out: &mut impl Write) -> io::Result<Vec<Entry>> {
    let user = geteuid();
    let user_name = nix::unistd::User::from_uid(user).ok().flatten().map(|user| user.name);
    writeln!(out, "\nOBJECTS OF {}", user_name.unwrap_or_else(|| format!("USER {user}")))?;
    let mut all = Vec::new();
    let mut unlisted = Vec::new();
    for (kind, listed) in [
        ("POSIX queues", PosixQueue::list()),
        ("System V queues", SysvQueue::list()),
        ("POSIX semaphores", NamedSemaphore::list()),
        ("System V semaphores", SysvSemaphore::list()),
    ] {
        match listed {
            Ok(found) => all.extend(found.into_iter().map(object_entry)),
            Err(error) => unlisted.push((kind, error.to_string())),
        }
    }
    match ipc::shared::list() {
        Ok(found) => all.extend(found.into_iter().map(segment_entry)),
        Err(error) => unlisted.push(("shared memory", error.to_string())),
    }
    all.extend(stale_sockets().into_iter().map(socket_entry));
    for found in &all {
        let state = match &found.in_use {
            Some(reason) => reason,
            None if found.never_used => "nobody ever used it",
            None => "left behind",
        };
        writeln!(out, "  {:<20}{:<40} {}; {state}", found.kind, found.name, found.detail)?;
    }
    if all.is_empty() {
        writeln!(out, "  none")?;
    }
    for (kind, error) in unlisted {
        writeln!(out, "  {kind} could not be listed: {error}")?;
    }
    all.retain(|found| found.in_use.is_none());
    Ok(all)
}

fn pids<'a>(pids: impl IntoIterator<Item = &'a i32>) -> String {
    pids.into_iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// A queue or a semaphore.
fn object_entry(found: ipc::Object) -> Entry {
    let system_v = found.id.is_some();
    let in_use = (!found.is_abandoned()).then(|| match system_v {
        true => format!("used last by {}, which is alive", pids(&found.last_users)),
        false => format!("open in {}", pids(&found.open_in)),
    });
    let mut name = found.name.clone();
    let mut detail = format!("{} bytes", found.bytes);
    if let Some(id) = found.id {
        // Keys are not unique: all private objects have the same.
        let prefix = found.mechanism.rsplit(' ').next().unwrap_or_default();
        name = format!("{prefix}:{id}");
        detail += &format!(", key {}", found.name);
        if !found.last_users.is_empty() {
            detail += &format!(", last used by {}", pids(&found.last_users));
        }
    }
    Entry {
        kind: found.mechanism,
        name,
        detail,
        in_use,
        never_used: system_v && found.last_users.is_empty(),
        remove: Box::new(move || Ok(found.remove()?)),
    }
}

fn segment_entry(found: ipc::shared::Segment) -> Entry {
    let mut detail = format!("{} bytes", found.size);
    if !found.holds.is_empty() {
        detail += &format!(", {}", found.holds);
    }
    match found.creator {
        Creator::Alive(pid) => detail += &format!(", made by {pid} (alive)"),
        Creator::Gone(pid) => detail += &format!(", made by {pid} (gone)"),
        Creator::OtherNamespace => detail += ", made in another pid namespace",
        _ => {}
    }
    let system_v = found.attached.is_some();
    let mapped = if system_v { BTreeSet::new() } else { processes_mapping(&found.name) };
    let in_use = match found.attached {
        Some(attached @ 1..) => Some(format!("attached {attached} times")),
        _ if !mapped.is_empty() => Some(format!("mapped in {}", pids(&mapped))),
        _ if !found.stale => Some("its creator is alive".to_owned()),
        _ => None,
    };
    Entry {
        kind: if system_v { "System V segment" } else { "POSIX shared memory" },
        name: found.name.clone(),
        detail,
        in_use,
        never_used: false,
        remove: Box::new(move || Ok(found.remove()?)),
    }
}

/// The processes that have a POSIX object mapped, as far as this user may look at them.
fn processes_mapping(name: &str) -> BTreeSet<i32> {
    let path = format!("/dev/shm{name}");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.lines().any(|map| map.ends_with(&path))
    })
    .collect()
}

/// The socket files of this user that have no socket, in the temporary directories and one level below.
fn stale_sockets() -> Vec<PathBuf> {
    let user = geteuid().as_raw();
    let mut directories: BTreeSet<PathBuf> = [std::env::temp_dir()].into();
    directories.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
    let mut found = BTreeSet::new();
    let owned_entries = |directory: &Path| -> Vec<(PathBuf, fs::FileType)> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let entries = entries.filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(|metadata| metadata.uid() == user)?;
            Some((entry.path(), metadata.file_type()))
        });
        entries.collect()
    };
    for directory in directories {
        for (path, kind) in owned_entries(&directory) {
            if kind.is_dir() {
                let below = owned_entries(&path).into_iter().filter(|(_, kind)| kind.is_socket());
                found.extend(below.map(|(path, _)| path));
            } else if kind.is_socket() {
                found.insert(path);
            }
        }
    }
    found.retain(|path| is_stale(path));
    found.into_iter().collect()
}

/// Whether no socket belongs to the file. Whoever does listen there notices nothing: a datagram socket
/// cannot be connected to a stream socket, which the kernel says without asking it.
fn is_stale(path: &Path) -> bool {
    let refused = UnixDatagram::unbound().and_then(|socket| socket.connect(path)).err();
    refused.and_then(|error| error.raw_os_error()) == Some(Errno::ECONNREFUSED as i32)
}

fn socket_entry(path: PathBuf) -> Entry {
    let identity =
        |path: &Path| fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    let before = identity(&path).ok();
    Entry {
        kind: "socket file",
        name: path.display().to_string(),
        detail: "nobody listens".to_owned(),
        in_use: None,
        never_used: false,
        remove: Box::new(move || {
            if identity(&path).ok() != before || !is_stale(&path) {
                return Err("it is not what was found any more".into());
            }
            Ok(fs::remove_file(&path)?)
        }),
    }
}
