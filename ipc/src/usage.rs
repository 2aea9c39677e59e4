//! Which processes use an object: what `/proc` shows, and what the kernel itself counts.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use crate::error::Result;
use crate::file::FileIdentity;
use crate::sys::{Deadline, backoff, pause, retry_libc};

/// What could be found out about the processes that use an object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Usage {
    /// No process uses it, as far as the kernel can tell. Of POSIX objects it can tell for certain. Of a System V queue or
    /// semaphore it cannot: the processes that used it last have ended and none waits in it, but a living process
    /// may still have its identifier.
    Unused,
    /// A process uses it: which one, or how that is known.
    Used(String),
    /// It could not be found out: why.
    Unknown(String),
}

/// The processes that have each file open or mapped, as one walk through `/proc` found them.
///
/// An object that was made after the walk has no users in it, so list the objects first.
pub(crate) struct OpenFiles {
    users: HashMap<FileIdentity, BTreeSet<i32>>,
    /// Why there may be more.
    gap: Option<String>,
}

impl OpenFiles {
    pub(crate) fn look() -> Self {
        let mut users: HashMap<FileIdentity, BTreeSet<i32>> = HashMap::new();
        let gap = each_process(|pid, process| {
            // Descriptors (a queue is one) and mappings (a semaphore is one).
            let descriptors = fs::read_dir(process.join("fd"))?.flatten();
            // `metadata` follows the link to the open file, whatever became of its name.
            let descriptors = descriptors.filter_map(|entry| fs::metadata(entry.path()).ok());
            let open = descriptors.map(|metadata| FileIdentity::of(&metadata));
            for identity in open.chain(mapped_files(&fs::read(process.join("maps"))?)) {
                users.entry(identity).or_default().insert(pid);
            }
            Ok(())
        });
        Self { users, gap }
    }

    /// The processes that have the file open or mapped, among those that could be looked at.
    pub(crate) fn users(&self, identity: FileIdentity) -> Vec<i32> {
        self.users.get(&identity).into_iter().flatten().copied().collect()
    }

    /// Whether a process uses the file. `open` opens it for reading; that is done only where `/proc` cannot tell.
    pub(crate) fn usage(
        &self,
        identity: FileIdentity,
        open: impl FnOnce() -> nix::Result<OwnedFd>,
    ) -> Usage {
        let users = self.users(identity);
        match &self.gap {
            _ if !users.is_empty() => Usage::Used(format!("open in {}", list_pids(&users))),
            None => Usage::Unused,
            Some(gap) => {
                match open().and_then(|file| take_lease(file, Duration::from_millis(50))) {
                    Ok(Some(_lease)) => Usage::Unused,
                    Ok(None) => {
                        Usage::Used("open in a process that cannot be seen from here".to_owned())
                    }
                    Err(_) => Usage::Unknown(gap.clone()),
                }
            }
        }
    }
}

/// Removes the name of a file unless a process uses it. Returns [`Usage::Unused`] when the name is gone, also if it was
/// gone already or means another file by now, which stays.
///
/// `open` opens what has the name now for reading. The lease keeps other processes from opening the file before its name is
/// gone. Nothing keeps them from removing the name and making a new object at this very moment: the kernel
/// has no call that removes a name only if it means this file.
pub(crate) fn remove_unused(
    identity: FileIdentity,
    open: impl FnOnce() -> nix::Result<OwnedFd>,
    unlink: impl FnOnce() -> Result<()>,
) -> Result<Usage> {
    // Before the file is opened here, which would be seen as well.
    let files = OpenFiles::look();
    let users = files.users(identity);
    if !users.is_empty() {
        return Ok(Usage::Used(format!("open in {}", list_pids(&users))));
    }
    let lease = match open() {
        Err(Errno::ENOENT) => return Ok(Usage::Unused),
        Ok(file) if FileIdentity::of_descriptor(&file) != Ok(identity) => return Ok(Usage::Unused),
        file => file.and_then(|file| take_lease(file, Duration::from_secs(1))),
    };
    match (&lease, files.gap) {
        (Ok(Some(file)), _) => {
            // Removed since it was opened, so the name may mean a new object.
            if nix::sys::stat::fstat(file).is_ok_and(|stat| stat.st_nlink == 0) {
                return Ok(Usage::Unused);
            }
        }
        (Ok(None), _) => {
            let reason = "open in a process that opened it just now or cannot be seen from here";
            return Ok(Usage::Used(reason.to_owned()));
        }
        (Err(_), Some(gap)) => return Ok(Usage::Unknown(gap)),
        // This kernel or file system has no leases, but every process could be looked at.
        (Err(_), None) => {}
    }
    unlink()?;
    drop(lease); // Until here none could open it.
    Ok(Usage::Unused)
}

/// Takes a write lease (fcntl(2), `F_SETLEASE`): the kernel grants it only if no other open file leads to the inode, be
/// it a descriptor or a mapping, in whatever process of whatever user and pid namespace. Until the result is dropped, others
/// that open the file wait.
///
/// `None`: another open file existed for all of `patience`. Two kinds go away soon: that of another process that looks, and a
/// mapping of a process that has just ended, whose memory map is being read in `/proc`.
fn take_lease(file: OwnedFd, patience: Duration) -> nix::Result<Option<OwnedFd>> {
    const F_SETSIG: libc::c_int = 10; // The crate `libc` does not have it.
    let descriptor = file.as_raw_fd();
    // An opener that waits is announced by a signal: by SIGIO, which would end this process, or by the one that is set here,
    // which is ignored unless there is a handler.
    // SAFETY: these commands take integers, and the descriptor is open.
    retry_libc(|| unsafe { libc::fcntl(descriptor, F_SETSIG, libc::SIGURG) })?;
    let deadline = Deadline::monotonic(patience);
    for length in backoff(Duration::from_millis(1), Duration::from_millis(20)) {
        // SAFETY: as above.
        match retry_libc(|| unsafe { libc::fcntl(descriptor, libc::F_SETLEASE, libc::F_WRLCK) }) {
            Ok(_) => return Ok(Some(file)),
            Err(Errno::EAGAIN) if deadline.left().is_zero() => return Ok(None),
            Err(Errno::EAGAIN) => pause(length),
            Err(errno) => return Err(errno),
        }
    }
    Ok(None)
}

/// Opens a file for [`OpenFiles::usage`] and [`remove_unused`], and does not wait for the other end of a FIFO.
pub(crate) fn open_to_look(path: &Path) -> nix::Result<OwnedFd> {
    use nix::fcntl::{OFlag, open};
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    past_lease(|| open(path, flags, nix::sys::stat::Mode::empty()))
}

/// Calls `open`, which has `O_NONBLOCK` among its flags, again while another process has a lease on the file: some
/// microseconds. After a second, the holder of the lease has been stopped; the result is the last refusal.
pub(crate) fn past_lease<T>(mut open: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    let deadline = Deadline::monotonic(Duration::from_secs(1));
    for length in backoff(Duration::from_micros(50), Duration::from_millis(20)) {
        match open() {
            Err(Errno::EINTR) => {}
            Err(Errno::EWOULDBLOCK) if !deadline.left().is_zero() => pause(length),
            result => return result,
        }
    }
    open()
}

/// A kind of object that processes wait in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemV {
    Queue,
    Semaphore,
}

/// The processes that wait in a System V object, as one walk through `/proc` found them.
pub(crate) struct Waiters {
    waiting: HashMap<i32, BTreeSet<i32>>,
    /// Why there may be more.
    gap: Option<String>,
}

impl Waiters {
    /// Looks which processes are inside of a call that waits. Only for calls of the kernel's own word size.
    pub(crate) fn look(kind: SystemV) -> Self {
        let calls = match kind {
            SystemV::Queue => [libc::SYS_msgrcv, libc::SYS_msgsnd],
            SystemV::Semaphore => [libc::SYS_semop, libc::SYS_semtimedop],
        };
        let mut waiting: HashMap<i32, BTreeSet<i32>> = HashMap::new();
        let own = fs::read_link("/proc/self/ns/ipc").ok();
        let gap = each_process(|pid, process| {
            // In another IPC namespace the same number is another object.
            if Some(fs::read_link(process.join("ns/ipc"))?) != own {
                return Ok(());
            }
            for task in fs::read_dir(process.join("task"))?.flatten() {
                // The number of the call and its arguments, the first of which is the identifier (proc_pid_syscall(5)).
                let text = match fs::read_to_string(task.path().join("syscall")) {
                    Err(error) if is_gone(&error) => continue,
                    text => text?,
                };
                let mut words = text.split_ascii_whitespace();
                let call = words.next().and_then(|word| word.parse().ok());
                let id = words
                    .next()
                    .and_then(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok());
                if let (Some(call), Some(id)) = (call, id)
                    && calls.contains(&call)
                {
                    // The kernel's argument is an int.
                    waiting.entry(id as u32 as i32).or_default().insert(pid);
                }
            }
            Ok(())
        });
        Self { waiting, gap }
    }

    pub(crate) fn of(&self, id: i32) -> Vec<i32> {
        self.waiting.get(&id).into_iter().flatten().copied().collect()
    }

    pub(crate) fn gap(&self) -> Option<&str> {
        self.gap.as_deref()
    }
}

/// Calls `look` with each process and its directory in `/proc`. Returns why some may have been left out.
fn each_process(mut look: impl FnMut(i32, &Path) -> io::Result<()>) -> Option<String> {
    let processes = match fs::read_dir("/proc") {
        Err(error) => return Some(format!("/proc cannot be read ({error})")),
        Ok(processes) => processes,
    };
    let (mut seen, mut missed) = (false, 0);
    for process in processes {
        let Ok(process) = process else { break };
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        seen |= pid == 1;
        match look(pid, &process.path()) {
            Ok(()) => {}
            Err(error) if is_gone(&error) => {}
            // Kernel threads and zombies: they have no files, and no command line either.
            Err(_)
                if fs::read(process.path().join("cmdline")).is_ok_and(|line| line.is_empty()) => {}
            Err(_) => missed += 1,
        }
    }
    match (missed != 0).then_some(missed) {
        _ if !seen => Some("/proc is not mounted or hides processes".to_owned()),
        Some(1) => Some("1 process could not be looked at".to_owned()),
        Some(missed) => Some(format!("{missed} processes could not be looked at")),
        None if !in_first_pid_namespace() => {
            Some("processes outside of this pid namespace may use it".to_owned())
        }
        None => None,
    }
}

/// The process ended meanwhile.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH)
}

/// Whether this is the machine's first pid namespace, from which all processes can be seen: it has a fixed number
/// (`PROC_PID_INIT_INO` in the kernel).
fn in_first_pid_namespace() -> bool {
    fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == "pid:[4026531836]")
}

/// The files in a `maps` table, whose lines are: range, rights, offset, major:minor, inode, path.
fn mapped_files(maps: &[u8]) -> Vec<FileIdentity> {
    let identity = |line: &str| {
        let mut fields = line.split_whitespace().skip(3);
        let (major, minor) = fields.next()?.split_once(':')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let device = nix::sys::stat::makedev(number(major)?, number(minor)?);
        let inode = fields.next()?.parse().ok().filter(|inode| *inode != 0)?;
        Some(FileIdentity::new(device, inode))
    };
    String::from_utf8_lossy(maps).lines().filter_map(identity).collect()
}

/// Pids for people.
pub(crate) fn list_pids(pids: &[i32]) -> String {
    pids.iter().map(i32::to_string).collect::<Vec<_>>().join(", ")
}
