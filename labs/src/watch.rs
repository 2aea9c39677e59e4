//! Waits until a student's sources have changed.
//!
//! The directories are watched and not the files, since many editors write a new file and rename it over the old one. An
//! event only says that it is time to look: what decides is whether the files read differently. So a burst of
//! events is one change, a save that changes nothing is none, and what was saved while nobody waited is found
//! at once.

use crate::grader::TerminationSignals;
use crate::poll::poll_for;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the files are looked at where no events tell of them.
const POLLING: Duration = Duration::from_millis(400);

/// How often they are looked at where events do: a directory may have been replaced.
const SAFETY: Duration = Duration::from_secs(3);

/// A burst of events is over when there was none for this long ...
const QUIET: Duration = Duration::from_millis(80);

/// ... or when it has lasted this long.
const BURST: Duration = Duration::from_secs(1);

/// File systems that other machines write to as well, of which no event tells: NFS, SMB (three), 9P, FUSE, vboxsf.
const REMOTE: [i64; 7] =
    [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546, 0x786f_4256];

/// A package whose sources are watched.
#[derive(Debug)]
pub struct Watch {
    package: PathBuf,
    events: Result<OwnedFd, String>,
    seen: BTreeMap<PathBuf, u64>,
}

impl Watch {
    /// Watches a package: by events, or by reading its files again and again if `poll` is set or there can be no events.
    pub fn new(package: &Path, poll: bool) -> Watch {
        let events = match (poll, is_remote(package)) {
            (true, _) => Err("as asked for".to_owned()),
            (false, true) => Err("a file system of this kind tells of no changes".to_owned()),
            (false, false) => events(package).map_err(|error| match error.raw_os_error() {
                Some(number) if number == rustix::io::Errno::NOSPC.raw_os_error() => {
                    "no more watches: see /proc/sys/fs/inotify/max_user_watches".to_owned()
                }
                Some(number) if number == rustix::io::Errno::MFILE.raw_os_error() => {
                    "no more watchers: see /proc/sys/fs/inotify/max_user_instances".to_owned()
                }
                _ => format!("inotify: {error}"),
            }),
        };
        Watch { package: package.to_owned(), events, seen: BTreeMap::new() }
    }

    /// Why the files are looked at again and again, if they are.
    pub fn polling_reason(&self) -> Option<&str> {
        self.events.as_ref().err().map(String::as_str)
    }

    /// Takes the files as they are now for known.
    pub fn mark_seen(&mut self) {
        self.seen = contents(&self.package);
    }

    /// Waits until the files differ from those that were marked as seen, or one of `signals` has arrived.
    ///
    /// # Errors
    ///
    /// The kernel refuses to wait.
    pub fn wait_for_change(&self, signals: &TerminationSignals) -> io::Result<()> {
        loop {
            if signals.arrived() {
                return Ok(());
            }
            let now = contents(&self.package);
            // Between two names of one file there is none of it.
            if now != self.seen && !now.is_empty() {
                return Ok(());
            }
            let Ok(events) = &self.events else {
                wait(&[signals.as_fd()], POLLING)?;
                continue;
            };
            // Folders that are new, or have taken the place of others.
            let _ = add_directories(events, &self.package);
            wait(&[events.as_fd(), signals.as_fd()], SAFETY)?;
            let begun = Instant::now();
            while drain(events)? && begun.elapsed() < BURST {
                wait(&[events.as_fd()], QUIET)?;
            }
        }
    }
}

fn events(package: &Path) -> io::Result<OwnedFd> {
    let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    add_directories(&events, package)?;
    Ok(events)
}

/// Watches the package's directory and all directories with sources. One that is watched already stays so.
fn add_directories(events: &OwnedFd, package: &Path) -> io::Result<()> {
    let flags = WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
        | WatchFlags::ONLYDIR;
    inotify::add_watch(events, package, flags)?;
    let mut directories = vec![package.join("src")];
    while let Some(directory) = directories.pop() {
        inotify::add_watch(events, &directory, flags)?;
        let entries = fs::read_dir(&directory)?.flatten();
        directories.extend(entries.map(|entry| entry.path()).filter(|path| path.is_dir()));
    }
    Ok(())
}

/// Takes all events that there are; gives whether there were any.
fn drain(events: &OwnedFd) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(events, &mut buffer);
    let mut any = false;
    loop {
        match reader.next() {
            Ok(_) => any = true,
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(any),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until one of these can be read.
fn wait(on: &[std::os::fd::BorrowedFd<'_>], timeout: Duration) -> io::Result<()> {
    let mut fds: Vec<PollFd<'_>> = on.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
    match poll_for(&mut fds, timeout) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

/// What a build depends on, each file by what is in it.
fn contents(package: &Path) -> BTreeMap<PathBuf, u64> {
    let mut contents = BTreeMap::new();
    let mut take = |path: PathBuf| {
        if let Ok(bytes) = fs::read(&path) {
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            contents.insert(path, hasher.finish());
        }
    };
    take(package.join("Cargo.toml"));
    let mut directories = vec![package.join("src")];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                take(path);
            }
        }
    }
    contents
}

fn is_remote(directory: &Path) -> bool {
    rustix::fs::statfs(directory).is_ok_and(|found| REMOTE.contains(&found.f_type))
}
