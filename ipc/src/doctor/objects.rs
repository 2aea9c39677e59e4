//! The objects of this user that have a name, and whether a living process uses them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use ipc::queue::{PosixQueue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, SysvSemaphore};
use ipc::shared::{Creator, Segment};
use ipc::{Object, Usage};
use nix::errno::Errno;
use nix::unistd::{User, geteuid};

use crate::Outcome;

/// An object that has a name.
pub(crate) struct Entry {
    pub kind: &'static str,
    pub name: String,
    pub bytes: Option<u64>,
    pub state: State,
    /// More for people; may be empty.
    pub details: String,
    pub remove: Remove,
}

/// Removes the object, unless a look at this moment shows that a process uses it: then it returns why it stays. The argument
/// is whether the user named the object.
pub(crate) type Remove = Box<dyn FnOnce(bool) -> Outcome<Option<String>>>;

/// What the doctor may do with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// A process uses it: it stays. The reason.
    InUse(String),
    /// No process uses it.
    LeftBehind,
    /// It cannot be judged, so it is removed only if it is named. The reason, which may be empty.
    OnlyNamed(String),
}

impl State {
    fn of(usage: &Usage, system_v: bool) -> Self {
        match usage {
            Usage::Used(reason) => Self::InUse(reason.clone()),
            Usage::Unused if system_v => Self::OnlyNamed(String::new()),
            Usage::Unused => Self::LeftBehind,
            Usage::Unknown(reason) => Self::OnlyNamed(reason.clone()),
            _ => Self::OnlyNamed("it cannot be judged".to_owned()),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(reason) => write!(f, "in use: {reason}"),
            Self::LeftBehind => f.write_str("left behind"),
            Self::OnlyNamed(reason) if reason.is_empty() => f.write_str("only if named"),
            Self::OnlyNamed(reason) => write!(f, "only if named: {reason}"),
        }
    }
}

const POSIX_QUEUE: &str = "POSIX queue";
const SEGMENT: &str = "System V segment";
const MEMORY: &str = "POSIX shared memory";
const SOCKET: &str = "socket file";
/// Both kinds of segments, which come from one list.
const SHARED: &str = "shared memory";

/// What was found on the machine.
pub(crate) struct Survey {
    pub entries: Vec<Entry>,
    /// The kinds that could not be listed, and why.
    pub unlisted: Vec<(&'static str, String)>,
}

impl Survey {
    /// Lists the objects of this user.
    pub(crate) fn take() -> Self {
        let (mut entries, mut unlisted) = (Vec::new(), Vec::new());
        let segments = ipc::shared::list();
        for (kind, list) in [
            ("POSIX queues", PosixQueue::list().map(entries_of)),
            ("System V queues", SysvQueue::list().map(entries_of)),
            ("POSIX semaphores", NamedSemaphore::list().map(entries_of)),
            ("System V semaphores", SysvSemaphore::list().map(entries_of)),
            (SHARED, segments.map(|found| found.into_iter().map(segment_entry).collect())),
        ] {
            match list {
                Ok(found) => entries.extend(found),
                Err(error) => unlisted.push((kind, explain(&error))),
            }
        }
        match stale_sockets() {
            Ok(found) => entries.extend(found.into_iter().map(socket_entry)),
            Err(error) => unlisted.push(("socket files", error)),
        }
        Self { entries, unlisted }
    }

    /// Prints a table of the objects.
    pub(crate) fn print(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "\nOBJECTS OF {}", user_name(geteuid().as_raw()))?;
        let longest = self.entries.iter().map(|entry| entry.name.chars().count()).max();
        if let Some(longest) = longest {
            let width = longest.clamp(4, 36);
            writeln!(out, "  {:<19} {:<width$} {:>8} STATE", "KIND", "NAME", "BYTES")?;
            for Entry { kind, name, bytes, state, details, .. } in &self.entries {
                let bytes = bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
                write!(out, "  {kind:<19} {name:<width$} {bytes:>8} {state}")?;
                writeln!(out, "{}{details}", if details.is_empty() { "" } else { "; " })?;
            }
        } else if self.unlisted.is_empty() {
            writeln!(out, "  none")?;
        }
        for (kind, reason) in &self.unlisted {
            writeln!(out, "  {kind}: could not look: {reason}")?;
        }
        Ok(())
    }

    /// Prints the commands that remove what may be removed.
    pub(crate) fn print_next(&self, out: &mut impl Write) -> io::Result<()> {
        let left_behind = self.entries.iter().any(|entry| entry.state == State::LeftBehind);
        let named: Vec<&Entry> = self
            .entries
            .iter()
            .filter(|entry| matches!(entry.state, State::OnlyNamed(_)))
            .collect();
        if !left_behind && named.is_empty() {
            return Ok(());
        }
        let command = command_name();
        writeln!(out, "\nNEXT")?;
        if left_behind {
            writeln!(out, "  To remove what was left behind, with a question for each:")?;
            writeln!(out, "    {command}--remove")?;
        }
        if let [first, ..] = named[..] {
            writeln!(
                out,
                "  The kernel cannot tell that no process will use the others (\"only if named\")."
            )?;
            writeln!(out, "  To remove one of them, give its name:")?;
            writeln!(out, "    {command}--remove {}", first.name)?;
        }
        Ok(())
    }

    /// Takes the entries with this name out of the survey, and looks directly for what the lists do not have: kinds that
    /// cannot be listed, objects of other users, sockets in other directories.
    pub(crate) fn take_named(&mut self, name: &str) -> Named {
        let spelled = with_slash(name);
        let matches = |entry: &mut Entry| entry.name == name || entry.name == spelled;
        let mut named =
            Named { entries: self.entries.extract_if(.., matches).collect(), ..Named::default() };
        let known: Vec<&str> = named.entries.iter().map(|entry| entry.kind).collect();
        let has = |kind| known.contains(&kind);
        let mut found = Vec::new();
        let object = |found: ipc::Result<Option<Object>>| match found {
            Ok(None) => Finding::Nothing,
            Ok(Some(object)) if object.owner != geteuid().as_raw() => Finding::Stays(format!(
                "it is a {} of {}; only that user may remove it",
                object.mechanism,
                user_name(object.owner)
            )),
            Ok(Some(object)) => Finding::Entry(Box::new(object_entry(object))),
            // A file that looks like one by its name only.
            Err(error @ ipc::Error::Unusable { .. }) => Finding::Stays(error.to_string()),
            Err(error) => Finding::Unseen(explain(&error)),
        };
        match (name.split_once(':'), Path::new(name)) {
            (Some(("queue", id)), _) if let Ok(id) = id.parse() => {
                if !has("System V queue") {
                    found.push(object(SysvQueue::find(id)));
                }
            }
            (Some(("semaphore", id)), _) if let Ok(id) = id.parse() => {
                if !has("System V semaphore") {
                    found.push(object(SysvSemaphore::find(id)));
                }
            }
            (Some(("sysv", id)), _) if let Ok(id) = id.parse() => {
                if !has(SEGMENT) {
                    found.push(self.find_segment(id));
                }
            }
            _ if matches!(&spelled[1..], "" | "." | "..") => {
                found.push(Finding::Stays("it is not the name of an object".to_owned()));
            }
            _ if spelled[1..].contains('/') => {
                if !has(SOCKET) {
                    found.push(find_socket(Path::new(name)));
                }
            }
            _ => {
                if !has(POSIX_QUEUE) {
                    found.push(object(PosixQueue::find(name)));
                }
                if !has("POSIX semaphore") {
                    found.push(object(NamedSemaphore::find(name)));
                }
                if !has(MEMORY) {
                    found.push(self.find_memory(&spelled));
                }
            }
        }
        for finding in found {
            match finding {
                Finding::Nothing => {}
                Finding::Entry(entry) => named.entries.push(*entry),
                Finding::Stays(reason) => named.stay.push(reason),
                Finding::Unseen(reason) => named.unseen.push(reason),
            }
        }
        named
    }

    /// Shared memory that is not in the list: of another user, or not made by the library.
    fn find_memory(&self, name: &str) -> Finding {
        let path = Path::new("/dev/shm").join(&name[1..]);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Finding::Nothing,
            Err(error) => Finding::Unseen(format!("{}: {error}", path.display())),
            Ok(metadata) if metadata.uid() != geteuid().as_raw() => Finding::Stays(format!(
                "{} belongs to {}; only that user may remove it",
                path.display(),
                user_name(metadata.uid())
            )),
            Ok(_) => match self.reason_unlisted() {
                Some(reason) => Finding::Unseen(reason),
                None => Finding::Stays(format!(
                    "{0} was not made by this library; to remove it: rm {0}",
                    path.display()
                )),
            },
        }
    }

    /// A System V segment that is not in the list.
    fn find_segment(&self, id: i32) -> Finding {
        // SAFETY: all bytes zero are a valid shmid_ds, which is integers.
        let mut data: libc::shmid_ds = unsafe { std::mem::zeroed() };
        // SAFETY: `data` lives through the call and has room for what IPC_STAT writes.
        let asked = Errno::result(unsafe { libc::shmctl(id, libc::IPC_STAT, &raw mut data) });
        match (asked, self.reason_unlisted()) {
            (Err(Errno::EINVAL | Errno::EIDRM), _) => Finding::Nothing,
            (Err(errno), _) => {
                Finding::Unseen(format!("shmctl: {errno}; ask as its owner or as root"))
            }
            (Ok(_), Some(reason)) => Finding::Unseen(reason),
            (Ok(_), None) => Finding::Stays(format!(
                "it belongs to {}; only that user may remove it",
                user_name(data.shm_perm.uid)
            )),
        }
    }

    /// Why shared memory could not be listed.
    fn reason_unlisted(&self) -> Option<String> {
        let mut unlisted = self.unlisted.iter();
        unlisted.find(|(kind, _)| *kind == SHARED).map(|(_, reason)| reason.clone())
    }
}

/// What was found of a name.
#[derive(Default)]
pub(crate) struct Named {
    pub entries: Vec<Entry>,
    /// Why things of that name are not for this user or this program to remove.
    pub stay: Vec<String>,
    /// Why there may be more of that name.
    pub unseen: Vec<String>,
}

enum Finding {
    Nothing,
    Entry(Box<Entry>),
    Stays(String),
    Unseen(String),
}

/// The name as POSIX spells it.
fn with_slash(name: &str) -> String {
    format!("/{}", name.strip_prefix('/').unwrap_or(name))
}

/// The error, and what to do about it.
fn explain(error: &ipc::Error) -> String {
    let text = error.to_string();
    let advice = match error.errno() {
        Some(Errno::EPERM) if text.starts_with("/dev/mqueue") => {
            "as root: mkdir -p /dev/mqueue && mount -t mqueue none /dev/mqueue; or give a name"
        }
        Some(Errno::ENOENT) if text.starts_with("/proc") => {
            "mount -t proc proc /proc; or give a name"
        }
        Some(Errno::EACCES | Errno::EPERM) if !text.contains("; ") => "ask as its owner or as root",
        _ => return text,
    };
    format!("{text}; {advice}")
}

/// How this program was called, for commands to copy: by its path, or through cargo.
fn command_name() -> String {
    match (std::env::var_os("CARGO"), std::env::args().next()) {
        (None, Some(program)) => format!("{program} "),
        _ => "cargo run -p ipc -- ".to_owned(),
    }
}

fn user_name(uid: u32) -> String {
    let user = User::from_uid(uid.into()).ok().flatten();
    user.map_or_else(|| format!("user {uid}"), |user| user.name)
}

fn entries_of(found: Vec<Object>) -> Vec<Entry> {
    found.into_iter().map(object_entry).collect()
}

/// A queue or a semaphore.
fn object_entry(found: Object) -> Entry {
    let mut name = found.name.clone();
    let mut details = found.details.clone();
    if let Some(id) = found.id {
        // Keys are not unique: all private objects have the same.
        let prefix = found.mechanism.rsplit(' ').next().unwrap_or_default();
        name = format!("{prefix}:{id}");
        if found.name != ipc::Key::PRIVATE.to_string() {
            details = format!("{}; {details}", found.name);
        }
    }
    Entry {
        kind: found.mechanism,
        name,
        bytes: Some(found.bytes),
        state: State::of(&found.usage, found.id.is_some()),
        details,
        remove: Box::new(move |named| {
            removed(named, found.remove_unused()?, || Ok(found.remove()?))
        }),
    }
}

fn segment_entry(found: Segment) -> Entry {
    let system_v = found.attached.is_some();
    let mut details = found.holds.clone();
    let separator = if details.is_empty() { "" } else { ", " };
    details += &match found.creator {
        Creator::Alive(pid) => format!("{separator}made by {pid} (alive)"),
        Creator::Gone(pid) => format!("{separator}made by {pid} (gone)"),
        _ => String::new(),
    };
    Entry {
        kind: if system_v { SEGMENT } else { MEMORY },
        name: found.name.clone(),
        bytes: Some(found.size),
        state: State::of(&found.usage, system_v),
        details,
        remove: Box::new(move |named| {
            removed(named, found.remove_unused()?, || Ok(found.remove()?))
        }),
    }
}

/// Completes a removal: what cannot be judged is removed if it was named. Returns why an object stays.
fn removed(
    named: bool,
    usage: Usage,
    remove: impl FnOnce() -> Outcome<()>,
) -> Outcome<Option<String>> {
    match usage {
        Usage::Unused => Ok(None),
        Usage::Used(reason) => Ok(Some(format!("in use: {reason}"))),
        _ if named => remove().map(|()| None),
        Usage::Unknown(reason) => Ok(Some(reason)),
        _ => Ok(Some("it cannot be judged".to_owned())),
    }
}

/// The socket files of this user that have no socket, in the temporary directories and one level below. The error says
/// what could not be looked at.
fn stale_sockets() -> Result<Vec<PathBuf>, String> {
    let user = geteuid().as_raw();
    let mut directories: BTreeSet<PathBuf> = [std::env::temp_dir()].into();
    directories.extend(std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from));
    let mut found = BTreeSet::new();
    let owned_entries = |directory: &Path| -> io::Result<Vec<(PathBuf, fs::FileType)>> {
        let entries = fs::read_dir(directory)?.flatten().filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(|metadata| metadata.uid() == user)?;
            Some((entry.path(), metadata.file_type()))
        });
        Ok(entries.collect())
    };
    for directory in directories {
        let entries = owned_entries(&directory);
        for (path, kind) in entries.map_err(|error| format!("{}: {error}", directory.display()))? {
            if kind.is_dir() {
                // One that is gone, or closed even to its owner, is passed over.
                let below = owned_entries(&path).unwrap_or_default().into_iter();
                found.extend(below.filter(|(_, kind)| kind.is_socket()).map(|(path, _)| path));
            } else if kind.is_socket() {
                found.insert(path);
            }
        }
    }
    // What cannot be asked is not called stale.
    found.retain(|path| matches!(has_socket(path), Ok(false)));
    Ok(found.into_iter().collect())
}

/// What there is at a path that was named.
fn find_socket(path: &Path) -> Finding {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Finding::Nothing,
        Err(error) => Finding::Unseen(error.to_string()),
        Ok(metadata) if !metadata.file_type().is_socket() => {
            Finding::Stays("it is not a socket".to_owned())
        }
        Ok(metadata) if metadata.uid() != geteuid().as_raw() => Finding::Stays(format!(
            "it belongs to {}; only that user may remove it",
            user_name(metadata.uid())
        )),
        Ok(_) => match has_socket(path) {
            Ok(false) => Finding::Entry(Box::new(socket_entry(path.to_owned()))),
            Ok(true) => Finding::Stays("in use: a process has a socket there".to_owned()),
            Err(error) => Finding::Unseen(error.to_string()),
        },
    }
}

/// Whether a process has a socket at this path. A process that listens there notices nothing: a datagram socket
/// cannot be connected to a stream socket, which the kernel finds out without asking it. Paths are the same in every
/// network namespace (unix(7)), unlike abstract names.
fn has_socket(path: &Path) -> io::Result<bool> {
    match UnixDatagram::unbound()?.connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(false),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
            // EPERM is of a socket that talks to one peer only.
            if error.raw_os_error() == Some(libc::EPERM) { Ok(true) } else { Err(error) }
        }
        _ => Ok(true),
    }
}

fn socket_entry(path: PathBuf) -> Entry {
    let identity =
        |path: &Path| fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    let before = identity(&path).ok();
    Entry {
        kind: SOCKET,
        name: path.display().to_string(),
        bytes: None,
        state: State::LeftBehind,
        details: "no process listens".to_owned(),
        remove: Box::new(move |_| {
            if identity(&path).ok() != before || has_socket(&path)? {
                return Ok(Some("in use: it is not what was found any more".to_owned()));
            }
            fs::remove_file(&path)?;
            Ok(None)
        }),
    }
}
