//! The names that a tracker removes, and what its process does with them.

use std::ffi::CString;
use std::fmt;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::sys::posix_name;
use crate::sysv::Key;

/// The entry that every program has.
pub(super) const TRACKER: &str = "ipc-tracker";

/// A name that a [`Tracker`](super::Tracker) removes. It must be this run's own (one that holds the pid, say), since the
/// tracker removes whatever has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Tracked {
    /// A POSIX shared memory object, `/name`.
    SharedMemory(String),
    /// A POSIX semaphore, `/name`.
    Semaphore(String),
    /// A POSIX message queue, `/name`.
    PosixQueue(String),
    /// The System V segment of a key.
    SysvSegment(Key),
    /// The System V semaphore of a key.
    SysvSemaphore(Key),
    /// The System V queue of a key.
    SysvQueue(Key),
    /// A FIFO, a socket, a file or an empty directory.
    Path(PathBuf),
}

/// A name, as it travels to the tracker: one line of JSON. An empty line ends the tracker without removing anything.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    SharedMemory(CString),
    Semaphore(CString),
    PosixQueue(CString),
    SysvSegment(i32),
    SysvSemaphore(i32),
    SysvQueue(i32),
    Path(CString),
}

impl Order {
    pub(super) fn of(name: Tracked) -> Result<Self> {
        Ok(match name {
            Tracked::SharedMemory(name) => Self::SharedMemory(posix_name("segment", &name)?),
            Tracked::Semaphore(name) => Self::Semaphore(posix_name("semaphore", &name)?),
            Tracked::PosixQueue(name) => Self::PosixQueue(posix_name("queue", &name)?),
            Tracked::SysvSegment(key) => Self::SysvSegment(key.number()),
            Tracked::SysvSemaphore(key) => Self::SysvSemaphore(key.number()),
            Tracked::SysvQueue(key) => Self::SysvQueue(key.number()),
            Tracked::Path(path) => {
                let absolute = std::path::absolute(&path)
                    .map_err(|error| Error::io(path.display().to_string(), "getcwd", &error))?;
                let bytes = absolute.as_os_str().as_bytes();
                Self::Path(CString::new(bytes).map_err(|_| Error::InvalidName {
                    name: path.display().to_string(),
                    kind: "path",
                    reason: "it contains a NUL byte",
                })?)
            }
        })
    }

    /// Removes whatever has the name.
    fn remove(&self) -> nix::Result<()> {
        // SAFETY: every name ends with a NUL and lives through the call; the System V calls take numbers, and
        // IPC_RMID reads no further argument.
        let outcome = unsafe {
            match self {
                Self::SharedMemory(name) => libc::shm_unlink(name.as_ptr()),
                Self::Semaphore(name) => libc::sem_unlink(name.as_ptr()),
                Self::PosixQueue(name) => libc::mq_unlink(name.as_ptr()),
                Self::SysvSegment(key) => match libc::shmget(*key, 0, 0) {
                    -1 => -1,
                    id => libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut()),
                },
                Self::SysvSemaphore(key) => match libc::semget(*key, 0, 0) {
                    -1 => -1,
                    id => libc::semctl(id, 0, libc::IPC_RMID),
                },
                Self::SysvQueue(key) => match libc::msgget(*key, 0) {
                    -1 => -1,
                    id => libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut()),
                },
                Self::Path(path) => libc::remove(path.as_ptr()),
            }
        };
        Errno::result(outcome).map(drop)
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SharedMemory(name) => write!(f, "shared memory {}", name.to_string_lossy()),
            Self::Semaphore(name) => write!(f, "semaphore {}", name.to_string_lossy()),
            Self::PosixQueue(name) => write!(f, "queue {}", name.to_string_lossy()),
            Self::SysvSegment(key) => write!(f, "System V segment of key {key:#x}"),
            Self::SysvSemaphore(key) => write!(f, "System V semaphore of key {key:#x}"),
            Self::SysvQueue(key) => write!(f, "System V queue of key {key:#x}"),
            Self::Path(path) => f.write_str(&path.to_string_lossy()),
        }
    }
}

/// The tracker's process: reads names until the pipe ends, then removes them.
pub(super) fn run(_: &[String]) -> std::result::Result<(), Box<dyn std::error::Error>> {
    // Ctrl-C reaches every process of the terminal, and this one has to come after the others.
    SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    std::io::stdout().write_all(b"\n")?;
    let mut orders = Vec::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        if line.is_empty() {
            return Ok(());
        }
        // The last line of a starter that was killed may be a part of one. Its name was not made then.
        orders.extend(serde_json::from_str::<Order>(&line));
    }
    for order in orders.iter().rev() {
        match order.remove() {
            Ok(()) | Err(Errno::ENOENT | Errno::EIDRM | Errno::EINVAL) => {}
            Err(errno) => {
                // Reported, and the rest is removed all the same.
                let _ = writeln!(std::io::stderr(), "tracker: cannot remove {order}: {errno}");
            }
        }
    }
    Ok(())
}
