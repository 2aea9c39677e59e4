//! What `ipc doctor` does. Part of the command, not of the library.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::io::{self, BufRead, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipc::event::Event;
use ipc::lock::{FileLock, Mutex};
use ipc::pipe::{Fifo, Reader, Writer, pipe};
use ipc::process::{Pool, Process, Worker};
use ipc::queue::{PosixQueue, Queue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, OnDeath, Semaphore, SharedSemaphore, SysvSemaphore};
use ipc::shared::{Location, Value};
use ipc::signal::{Blocked, Signal, raise};
use ipc::socket::{Address, Datagram, Stream};
use ipc::{Key, limits};
use nix::errno::Errno;
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How long any step of a check may take.
const PATIENCE: Duration = Duration::from_secs(5);

// ---- Limits ----

/// Prints what the kernel and this user's session allow.
pub fn limits(out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "LIMITS")?;
    for limit in limits::LIMITS {
        let figure = limit.read().unwrap_or_else(|error| format!("unknown ({error})"));
        line(out, limit.mechanism, limit.meaning, &figure)?;
    }
    for (mechanism, meaning, resource) in [
        ("POSIX queue", "bytes in all queues of this user", Resource::RLIMIT_MSGQUEUE),
        ("signal", "signals that wait for this user", Resource::RLIMIT_SIGPENDING),
        ("memory", "bytes that may be locked", Resource::RLIMIT_MEMLOCK),
        ("process", "descriptors of a process", Resource::RLIMIT_NOFILE),
        ("process", "processes of this user", Resource::RLIMIT_NPROC),
    ] {
        let figure = match getrlimit(resource) {
            Ok((RLIM_INFINITY, _)) => "unlimited".to_owned(),
            Ok((soft, hard)) if soft < hard && hard != RLIM_INFINITY => {
                format!("{soft} (may be raised to {hard})")
            }
            Ok((soft, _)) => soft.to_string(),
            Err(errno) => format!("unknown ({errno})"),
        };
        line(out, mechanism, meaning, &figure)?;
    }
    let space = match statvfs("/dev/shm") {
        Ok(space) => {
            let unit = space.fragment_size();
            format!("{} of {}", space.blocks_available() * unit, space.blocks() * unit)
        }
        Err(errno) => format!("unknown ({errno})"),
    };
    line(out, "shared memory", "bytes free in /dev/shm", &space)?;
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mounted = mounts.lines().find_map(|mount| {
        let mut fields = mount.split(' ').skip(1);
        let folder = fields.next()?;
        (fields.next()? == "mqueue").then(|| folder.to_owned())
    });
    let mounted = mounted.unwrap_or_else(|| "nowhere (they work all the same)".to_owned());
    line(out, "POSIX queue", "where the queues show as files", &mounted)
}

fn line(out: &mut impl Write, what: &str, meaning: &str, figure: &str) -> io::Result<()> {
    writeln!(out, "  {what:<20}{meaning:<55}{figure}")
}

// ---- Mechanisms ----

/// One try of a mechanism.
type Check = fn() -> Outcome<()>;

/// Everything that is tried, in the order of the modules.
const CHECKS: &[(&str, Check)] = &[
    ("pipe", || {
        let (mut reader, mut writer) = pipe()?;
        bytes(&mut reader, &mut writer)
    }),
    ("FIFO", || {
        let path = std::env::temp_dir().join(name("fifo").trim_start_matches('/'));
        let fifo = Fifo::create(path, 0o600)?;
        let mut reader = Reader::try_open(fifo.path())?;
        bytes(&mut reader, &mut Writer::try_open(fifo.path())?)
    }),
    ("POSIX queue", || message(&PosixQueue::create(&name("queue"), 1, 16)?)),
    ("System V queue", || message(&SysvQueue::create(Key::PRIVATE, 1, 16)?)),
    ("POSIX shared memory", || number(Location::Posix(name("value")))),
    ("memfd", || number(Location::Memfd("doctor".to_owned()))),
    ("System V segment", || number(Location::SystemV(0))),
    ("POSIX semaphore", || unit(&NamedSemaphore::create(&name("semaphore"), 1)?)),
    ("unnamed semaphore", || unit(&SharedSemaphore::create(1)?)),
    ("System V semaphore", || unit(&SysvSemaphore::create(Key::PRIVATE, 1, OnDeath::Undo)?)),
    ("robust mutex", || {
        let mutex = Mutex::<u32>::create(Location::Memfd("doctor".to_owned()), 1)?;
        drop(mutex.lock_timeout(PATIENCE)?);
        Ok(())
    }),
    ("file lock", || {
        let path = std::env::temp_dir().join(name("lock").trim_start_matches('/'));
        let locked = FileLock::open(&path).map(|mut lock| lock.try_lock().map(drop));
        fs::remove_file(&path)?;
        Ok(locked??)
    }),
    ("event", || {
        let event = Event::create(Location::Memfd("doctor".to_owned()))?;
        event.set();
        Ok(event.wait_timeout(PATIENCE)?)
    }),
    ("signal", || {
        let blocked = Blocked::new([Signal::USR1])?;
        raise(Signal::USR1)?;
        same(blocked.wait_timeout(PATIENCE)?.signal, Signal::USR1)
    }),
    ("stream socket", || {
        let (mut one, mut other) = Stream::pair()?;
        bytes(&mut one, &mut other)
    }),
    ("datagram socket", || {
        let address = Address::abstract_name(name("datagram"))?;
        let receiver = Datagram::bind(&address)?;
        Datagram::unbound()?.send_to(b"doctor", &address)?;
        let mut buffer = [0; 16];
        receiver.receive(&mut buffer)?;
        same(&buffer[..6], b"doctor")
    }),
    ("process", || {
        same(Process::new("nothing").start()?.join_timeout(PATIENCE)?.to_string(), "exit code 0")
    }),
    ("pool", || {
        let pool = Pool::new("worker", 1)?;
        same(pool.apply_async::<_, u32>("double", &21)?.get_timeout(PATIENCE)?, 42)
    }),
];

/// What the check of the pool has done.
pub fn worker(_: &[String]) -> Outcome<()> {
    Ok(Worker::new().job("double", |n: u32| n * 2).serve()?)
}

/// Tries each mechanism; gives whether all work.
pub fn mechanisms(out: &mut impl Write) -> io::Result<bool> {
    writeln!(out, "\nMECHANISMS")?;
    let mut all = true;
    for (mechanism, check) in CHECKS {
        match check() {
            Ok(()) => writeln!(out, "  {mechanism:<20}works")?,
            Err(error) => {
                all = false;
                writeln!(out, "  {mechanism:<20}DOES NOT WORK: {error}")?;
            }
        }
    }
    Ok(all)
}

/// A name that nobody else uses.
fn name(what: &str) -> String {
    format!("/ipc-doctor-{}-{what}", std::process::id())
}

fn same<T: PartialEq<U> + std::fmt::Debug, U: std::fmt::Debug>(got: T, sent: U) -> Outcome<()> {
    if got == sent { Ok(()) } else { Err(format!("{got:?} came instead of {sent:?}").into()) }
}

fn bytes(reader: &mut impl Read, writer: &mut impl Write) -> Outcome<()> {
    writer.write_all(b"doctor")?;
    let mut buffer = [0; 6];
    reader.read_exact(&mut buffer)?;
    same(&buffer[..], b"doctor")
}

fn message(queue: &impl Queue) -> Outcome<()> {
    queue.put_timeout(b"doctor", PATIENCE)?;
    same(queue.get_timeout(PATIENCE)?, b"doctor")
}

fn number(place: Location) -> Outcome<()> {
    let value = Value::create(place, 41_u32)?;
    value.fetch_add(1);
    same(value.get(), 42)
}

fn unit(semaphore: &impl Semaphore) -> Outcome<()> {
    semaphore.acquire_timeout(PATIENCE)?;
    semaphore.release()?;
    same(semaphore.get_value()?, 1)
}

// ---- Left behind ----

/// An object of this user that has a name.
pub struct Found {
    what: &'static str,
    name: String,
    detail: String,
    /// Why it is not to be removed.
    in_use: Option<String>,
    /// Nobody has ever used it, so it may be about to be.
    fresh: bool,
    remove: Box<dyn FnOnce() -> Outcome<()>>,
}

/// Prints what this user has lying about; gives what no living process uses.
pub fn left_behind(out: &mut impl Write) -> io::Result<Vec<Found>> {
    let user = geteuid();
    let called = nix::unistd::User::from_uid(user).ok().flatten().map(|user| user.name);
    writeln!(out, "\nOBJECTS OF {}", called.unwrap_or_else(|| format!("USER {user}")))?;
    let mut all = Vec::new();
    let mut unseen = Vec::new();
    for (what, listed) in [
        ("POSIX queues", PosixQueue::list()),
        ("System V queues", SysvQueue::list()),
        ("POSIX semaphores", NamedSemaphore::list()),
        ("System V semaphores", SysvSemaphore::list()),
    ] {
        match listed {
            Ok(found) => all.extend(found.into_iter().map(object)),
            Err(error) => unseen.push((what, error.to_string())),
        }
    }
    match ipc::shared::list() {
        Ok(found) => all.extend(found.into_iter().map(segment)),
        Err(error) => unseen.push(("shared memory", error.to_string())),
    }
    all.extend(sockets().into_iter().map(socket));
    for found in &all {
        let state = match &found.in_use {
            Some(reason) => reason,
            None if found.fresh => "nobody ever used it",
            None => "left behind",
        };
        writeln!(out, "  {:<20}{:<40} {}; {state}", found.what, found.name, found.detail)?;
    }
    if all.is_empty() {
        writeln!(out, "  none")?;
    }
    for (what, error) in unseen {
        writeln!(out, "  {what} could not be listed: {error}")?;
    }
    all.retain(|found| found.in_use.is_none());
    Ok(all)
}

fn pids<'a>(pids: impl IntoIterator<Item = &'a i32>) -> String {
    pids.into_iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}

/// A queue or a semaphore.
fn object(found: ipc::queue::Found) -> Found {
    let system_v = found.id.is_some();
    let in_use = (!found.abandoned()).then(|| match system_v {
        true => format!("used last by {}, which is alive", pids(&found.last_users)),
        false => format!("open in {}", pids(&found.open_in)),
    });
    let mut name = found.name.clone();
    let mut detail = format!("{} bytes", found.bytes);
    if let Some(id) = found.id {
        // Keys are not unique: all private objects have the same.
        let kind = found.mechanism.rsplit(' ').next().unwrap_or_default();
        name = format!("{kind}:{id}");
        detail += &format!(", key {}", found.name);
        if !found.last_users.is_empty() {
            detail += &format!(", last used by {}", pids(&found.last_users));
        }
    }
    Found {
        what: found.mechanism,
        name,
        detail,
        in_use,
        fresh: system_v && found.last_users.is_empty(),
        remove: Box::new(move || Ok(found.remove()?)),
    }
}

fn segment(found: ipc::shared::Found) -> Found {
    let mut detail = format!("{} bytes", found.size);
    if !found.holds.is_empty() {
        detail += &format!(", {}", found.holds);
    }
    if found.creator != 0 {
        let creator = Path::new("/proc").join(found.creator.to_string());
        let state = if creator.exists() { "alive" } else { "gone" };
        detail += &format!(", made by {} ({state})", found.creator);
    }
    let system_v = found.attached.is_some();
    let mapped = if system_v { BTreeSet::new() } else { mapped(&found.name) };
    let in_use = match found.attached {
        Some(attached @ 1..) => Some(format!("attached {attached} times")),
        _ if !mapped.is_empty() => Some(format!("mapped in {}", pids(&mapped))),
        _ if !found.stale => Some("its creator is alive".to_owned()),
        _ => None,
    };
    Found {
        what: if system_v { "System V segment" } else { "POSIX shared memory" },
        name: found.name.clone(),
        detail,
        in_use,
        fresh: false,
        remove: Box::new(move || Ok(found.remove()?)),
    }
}

/// The processes that have a POSIX object mapped, as far as this user may look at them.
fn mapped(name: &str) -> BTreeSet<i32> {
    let path = format!("/dev/shm{name}");
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        maps.lines().any(|map| map.ends_with(&path))
    })
    .collect()
}

/// The socket files of this user that have no socket, in the temporary folders and one level below.
fn sockets() -> Vec<PathBuf> {
    let user = geteuid().as_raw();
    let mut folders: BTreeSet<PathBuf> = [std::env::temp_dir()].into();
    folders.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
    let mut found = BTreeSet::new();
    let own = |folder: &Path| -> Vec<(PathBuf, fs::FileType)> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let entries = entries.filter_map(|entry| {
            let facts = entry.metadata().ok().filter(|facts| facts.uid() == user)?;
            Some((entry.path(), facts.file_type()))
        });
        entries.collect()
    };
    for folder in folders {
        for (path, kind) in own(&folder) {
            if kind.is_dir() {
                let below = own(&path).into_iter().filter(|(_, kind)| kind.is_socket());
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

fn socket(path: PathBuf) -> Found {
    let identity = |path: &Path| fs::symlink_metadata(path).map(|facts| (facts.dev(), facts.ino()));
    let before = identity(&path).ok();
    Found {
        what: "socket file",
        name: path.display().to_string(),
        detail: "nobody listens".to_owned(),
        in_use: None,
        fresh: false,
        remove: Box::new(move || {
            if identity(&path).ok() != before || !is_stale(&path) {
                return Err("it is not what was found any more".into());
            }
            Ok(fs::remove_file(&path)?)
        }),
    }
}

// ---- Removal ----

/// What is to be removed of what was found.
pub struct Removal<'a> {
    /// If there are any, only these.
    pub names: &'a [String],
    /// Whether to ask about each.
    pub ask: bool,
}

impl Removal<'_> {
    /// Removes; gives whether that worked for all that were to be removed.
    pub fn run(
        &self,
        found: Vec<Found>,
        out: &mut impl Write,
        answers: &mut impl BufRead,
    ) -> io::Result<bool> {
        writeln!(out, "\nREMOVAL")?;
        let mut all = true;
        for name in self.names {
            if !found.iter().any(|found| found.name == *name) {
                all = false;
                writeln!(out, "  {name}: nothing of that name was left behind")?;
            }
        }
        for found in found {
            let named = self.names.contains(&found.name);
            if !named && !self.names.is_empty() {
                continue;
            }
            let label = format!("{} {}", found.what, found.name);
            if self.ask {
                write!(out, "  remove {label} ({})? [y/N] ", found.detail)?;
                out.flush()?;
                let mut answer = String::new();
                if answers.read_line(&mut answer)? == 0 {
                    writeln!(out)?;
                    return Ok(all);
                }
                if !matches!(answer.trim(), "y" | "Y" | "yes") {
                    continue;
                }
            } else if found.fresh && !named {
                writeln!(out, "  {label}: stays; nobody ever used it, so name it to remove it")?;
                continue;
            }
            match (found.remove)() {
                Ok(()) => writeln!(out, "  {label}: removed")?,
                Err(error) => {
                    all = false;
                    writeln!(out, "  {label}: not removed: {error}")?;
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    /// Objects that only note that they were removed.
    fn found(names: &[&str], removed: &Rc<RefCell<Vec<String>>>) -> Vec<Found> {
        let one = |name: &&str| {
            let (name, removed) = ((*name).to_owned(), removed.clone());
            Found {
                what: "thing",
                name: name.clone(),
                detail: "0 bytes".into(),
                in_use: None,
                fresh: name.starts_with("fresh"),
                remove: Box::new(move || match name.starts_with("stuck") {
                    true => Err("it is stuck".into()),
                    false => {
                        removed.borrow_mut().push(name);
                        Ok(())
                    }
                }),
            }
        };
        names.iter().map(one).collect()
    }

    fn run(ask: bool, only: &[&str], there: &[&str], answers: &str) -> (bool, Vec<String>, String) {
        let removed = Rc::default();
        let names: Vec<String> = only.iter().map(|&name| name.to_owned()).collect();
        let mut out = Vec::new();
        let all = Removal { names: &names, ask }
            .run(found(there, &removed), &mut out, &mut answers.as_bytes())
            .unwrap();
        (all, removed.take(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn only_a_yes_removes() {
        let there = ["/a", "/b", "fresh", "/d", "/e"];
        let (all, removed, text) = run(true, &[], &there, "y\n\nyes\nyep\n");
        assert_eq!((all, removed), (true, vec!["/a".to_owned(), "fresh".to_owned()]));
        assert!(text.contains("remove thing /e (0 bytes)? [y/N]"), "{text}");
    }

    #[test]
    fn without_questions_what_was_never_used_must_be_named() {
        let (all, removed, _) = run(false, &[], &["/a", "fresh 1", "/b"], "");
        assert_eq!((all, removed), (true, vec!["/a".to_owned(), "/b".to_owned()]));
        let (all, removed, _) = run(false, &["fresh 1"], &["/a", "fresh 1", "fresh 2"], "");
        assert_eq!((all, removed), (true, vec!["fresh 1".to_owned()]));
    }

    #[test]
    fn what_could_not_be_removed_is_a_failure() {
        let (all, removed, text) = run(false, &[], &["stuck", "/a"], "");
        assert_eq!((all, removed), (false, vec!["/a".to_owned()]));
        assert!(text.contains("it is stuck"), "{text}");
        let (all, removed, text) = run(false, &["/nowhere"], &["/a"], "");
        assert_eq!((all, removed), (false, vec![]));
        assert!(text.contains("/nowhere: nothing of that name"), "{text}");
    }
}
