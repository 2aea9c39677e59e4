//! The directory of POSIX shared memory: files that get their name when they are whole, and lose it once.
//!
//! A process can be killed between any two system calls. So a file is made without a name (`O_TMPFILE`, open(2)),
//! filled, and then named by one call, linkat(2): a kill leaves nothing, or all of it.
//!
//! Two bytes of a file are locked (`F_OFD_SETLK`, fcntl(2)). Users share a lock on the first, from before the file has its
//! name. The kernel ends it with the last descriptor and mapping, whatever pid namespace or user they belong to, so it tells
//! whether any process uses the file. A process that removes the name of a file that was left behind locks the second, so that
//! only one does.

use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, FcntlArg, OFlag, fcntl, open};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{getpid, linkat, unlink};

use crate::error::{Error, Result};
use crate::file::FileIdentity;
use crate::sys::retry;
use crate::usage::past_lease;

/// Where Linux keeps POSIX shared memory and named semaphores (shm_overview(7), sem_overview(7)).
pub(crate) const DIRECTORY: &str = "/dev/shm";

/// What the temporary name of a half-made file begins with, where the file system has no files without a name. The pid of
/// its creator and a number follow.
const HALF_MADE: &str = "ipc-half-made-";

/// The bytes that are locked.
const USE: i64 = 0;
const REMOVAL: i64 = 1;

/// The path of an object's file.
pub(crate) fn path(name: &CStr, prefix: &str) -> PathBuf {
    let bare = &name.to_bytes()[1..];
    Path::new(DIRECTORY).join(OsStr::from_bytes(&[prefix.as_bytes(), bare].concat()))
}

/// A file of this directory that has no name yet.
pub(crate) struct Unnamed {
    /// The temporary name, where the file system makes no file without one.
    temporary: Option<PathBuf>,
}

impl Unnamed {
    /// Makes an empty file that this user may read and write, whatever the umask.
    pub(crate) fn create(object: &str) -> Result<(OwnedFd, Self)> {
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let flags = OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let refused = |call| move |errno| Error::system(object, call, errno);
        let (file, unnamed) = match retry(|| open(DIRECTORY, flags | OFlag::O_TMPFILE, mode)) {
            // The first is for a file system that has no such files, the second for a kernel.
            Err(Errno::EOPNOTSUPP | Errno::EISDIR) => {
                let flags = flags | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW;
                let (file, path) = loop {
                    static COUNT: AtomicU32 = AtomicU32::new(0);
                    let count = COUNT.fetch_add(1, Ordering::Relaxed);
                    let path = format!("{DIRECTORY}/{HALF_MADE}{}-{count}", getpid());
                    match retry(|| open(path.as_str(), flags, mode)) {
                        Err(Errno::EEXIST) => {} // of another process that had this pid
                        made => break (made.map_err(refused("open(O_CREAT)"))?, path),
                    }
                };
                (file, Self { temporary: Some(path.into()) })
            }
            made => (made.map_err(refused("open(O_TMPFILE)"))?, Self { temporary: None }),
        };
        fchmod(&file, mode).map_err(refused("fchmod"))?;
        Ok((file, unnamed))
    }

    /// Names the file. It keeps the name when `self` is dropped.
    ///
    /// # Errors
    ///
    /// `EEXIST` if something has the name.
    pub(crate) fn publish(&self, object: &str, file: &OwnedFd, path: &Path) -> Result<()> {
        let link = |from: &Path, flags| linkat(AT_FDCWD, from, AT_FDCWD, path, flags);
        let linked = match &self.temporary {
            Some(temporary) => link(temporary, AtFlags::empty()),
            None => {
                let file_path = format!("/proc/self/fd/{}", file.as_raw_fd());
                link(Path::new(&file_path), AtFlags::AT_SYMLINK_FOLLOW)
            }
        };
        let linked = match linked {
            // There is no /proc. This needs Linux 6.10, or CAP_DAC_READ_SEARCH.
            Err(Errno::ENOENT) if self.temporary.is_none() => {
                linkat(file, "", AT_FDCWD, path, AtFlags::AT_EMPTY_PATH)
            }
            linked => linked,
        };
        match linked {
            Err(Errno::ENOENT) => {
                let reason = "it cannot get its name: this kernel needs /proc for that (mount it), or \
                              /dev/shm has been replaced";
                Err(Error::unusable(object, reason))
            }
            linked => linked.map_err(|errno| Error::system(object, "linkat", errno)),
        }
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = unlink(temporary);
        }
    }
}

/// The pid in a temporary name: of the process that makes the file, or has died over it.
pub(crate) fn half_made_by(file_name: &str) -> Option<i32> {
    file_name.strip_prefix(HALF_MADE)?.split_once('-')?.0.parse().ok()
}

/// Opens what has a name, without changing it: not through a link, and without waiting for the other end of a FIFO.
pub(crate) fn open_found(path: &Path, write: bool) -> std::io::Result<File> {
    let access = if write { OFlag::O_RDWR } else { OFlag::O_RDONLY };
    let flags = OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = past_lease(|| open(path, access | flags, Mode::empty()));
    Ok(opened?.into())
}

/// Marks the file as used, for as long as this open file is.
pub(crate) fn lock_for_use(object: &str, file: impl AsFd) -> Result<()> {
    retry(|| fcntl(file.as_fd(), FcntlArg::F_OFD_SETLK(&byte(USE, libc::F_RDLCK))))
        .map(drop)
        .map_err(|errno| Error::system(object, "fcntl(F_OFD_SETLK)", errno))
}

/// Whether a process uses the file. True where the kernel gives no answer.
pub(crate) fn is_used(file: impl AsFd) -> bool {
    let mut lock = byte(USE, libc::F_WRLCK);
    let asked = retry(|| fcntl(file.as_fd(), FcntlArg::F_OFD_GETLK(&mut lock)));
    asked.is_err() || i32::from(lock.l_type) != libc::F_UNLCK
}

/// Removes `path` if it still means `file`, which is open for writing, and `condition` is true. Returns `None` if it means
/// another file or nothing, else whether the condition was true. No two callers come so far at the same time.
///
/// # Errors
///
/// `EAGAIN` if another caller is at it; those of the kernel.
pub(crate) fn remove_if(
    file: &File,
    path: &Path,
    condition: impl FnOnce() -> bool,
) -> nix::Result<Option<bool>> {
    // Ends when the file is closed.
    retry(|| fcntl(file, FcntlArg::F_OFD_SETLK(&byte(REMOVAL, libc::F_WRLCK))))?;
    let named = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        named => {
            named.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?
        }
    };
    if FileIdentity::of(&named) != FileIdentity::of_descriptor(file)? {
        return Ok(None);
    }
    let removes = condition();
    if removes {
        unlink(path)?;
    }
    Ok(Some(removes))
}

/// A lock of `kind` on one byte.
fn byte(start: i64, kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start,
        l_len: 1,
        l_pid: 0, // as the calls demand
    }
}
