//! Objects with a name that were found on the machine, left behind or in use.

use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::error::Result;

/// An object of this user, as [`queue::list`](crate::queue::list) and
/// [`semaphore::list`](crate::semaphore::list) find it.
///
/// The kernel keeps no mark of the program that made an object, so the lists hold everything that
/// belongs to the calling user, from whatever program. Whether something was *left behind* is a question of
/// who still uses it: see [`abandoned`](Self::abandoned).
#[derive(Debug)]
#[non_exhaustive]
pub struct Found {
    /// What it is: `POSIX queue`, `System V semaphore`.
    pub mechanism: &'static str,
    /// Its name with the slash, or its key.
    pub name: String,
    /// The identifier of a System V object.
    pub id: Option<i32>,
    /// The user that owns it.
    pub owner: u32,
    /// The bytes that it holds: those of the waiting messages, or of the semaphore's memory.
    pub bytes: u64,
    /// The processes that the kernel remembers as the last to have used it; they may be gone. Only
    /// System V objects have such a memory, and the creator is in it only if it used what it made.
    pub last_users: Vec<i32>,
    /// The processes that have it open now, as far as this user may look at them. Only POSIX objects are
    /// open or closed.
    pub open_in: Vec<i32>,
    pub(crate) handle: Handle,
}

/// What [`Found::remove`] needs to hit this object and no later one of the same name.
#[derive(Debug)]
pub(crate) enum Handle {
    PosixQueue(CString, Identity),
    PosixSemaphore(CString, Identity),
    SysvQueue(i32),
    SysvSemaphore(i32),
}

impl Found {
    /// Whether no living process is known to use it.
    ///
    /// For POSIX objects: nobody has it open, among the processes that this user may look at. For System V
    /// objects, which nobody opens: the last users are all gone. Processes that wait to use it for the
    /// first time are not seen, so ask before you remove.
    #[must_use]
    pub fn abandoned(&self) -> bool {
        self.open_in.is_empty() && !self.last_users.iter().any(|pid| lives(*pid))
    }

    /// Removes the object. One that is gone already is no error, and one that took over its name
    /// meanwhile stays.
    ///
    /// # Errors
    ///
    /// [`Error::System`](crate::Error::System) when the kernel refuses it: the object has another owner.
    pub fn remove(&self) -> Result<()> {
        match &self.handle {
            Handle::PosixQueue(name, identity) => crate::queue::unlink_same(name, *identity),
            Handle::PosixSemaphore(name, identity) => {
                crate::semaphore::unlink_same(name, *identity)
            }
            Handle::SysvQueue(id) => crate::queue::remove_id(*id),
            Handle::SysvSemaphore(id) => crate::semaphore::remove_id(*id),
        }
    }
}

/// What distinguishes an object from a later one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    pub(crate) fn of_descriptor(descriptor: impl AsFd) -> nix::Result<Self> {
        let stat = nix::sys::stat::fstat(descriptor)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}

/// Who has what open, for all processes that this user may look at.
///
/// Descriptors (a queue is one) and mappings (a semaphore is one). A process that ends meanwhile, or
/// belongs to somebody else, is passed over.
pub(crate) fn open_files() -> HashMap<Identity, BTreeSet<i32>> {
    let mut users: HashMap<Identity, BTreeSet<i32>> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        // `metadata` follows the link to the open file, whatever became of its name.
        let descriptors = descriptors.filter_map(|descriptor| fs::metadata(descriptor.path()).ok());
        for metadata in descriptors {
            users.entry(Identity::of(&metadata)).or_default().insert(pid);
        }
        for identity in mapped(&process.path().join("maps")) {
            users.entry(identity).or_default().insert(pid);
        }
    }
    users
}

/// The files in a `maps` table, whose lines are: range, rights, offset, major:minor, inode, path.
fn mapped(maps: &Path) -> Vec<Identity> {
    let text = fs::read(maps).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let identity = |line: &str| {
        let mut fields = line.split_whitespace().skip(3);
        let (major, minor) = fields.next()?.split_once(':')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let device = nix::sys::stat::makedev(number(major)?, number(minor)?);
        let inode = fields.next()?.parse().ok().filter(|inode| *inode != 0)?;
        Some(Identity { device, inode })
    };
    text.lines().filter_map(identity).collect()
}

/// Whether there is a process with this pid, be it somebody else's.
fn lives(pid: i32) -> bool {
    pid > 0 && kill(Pid::from_raw(pid), None) != Err(nix::errno::Errno::ESRCH)
}
