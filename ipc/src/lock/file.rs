//! The file lock.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::stat::{Mode, fchmod};

use crate::error::{Error, Result};
use crate::sys::{Deadline, backoff, create_or_open, pause, retry};

/// A lock on a whole file, shared by many or exclusive to one.
///
/// It is advisory: it stops those who ask for it, not those who read or write without asking. It belongs to
/// the open file (`F_OFD_SETLK`, fcntl(2)), not to the process as the older `F_SETLK` does, which any
/// `close` of the same file anywhere in the program gives up. So two `FileLock`s exclude each other even in one process, and a
/// child that was forked shares the lock of its parent.
///
/// The kernel releases it when the file is closed, so also when the holder dies.
///
/// ```
/// use ipc::lock::FileLock;
///
/// let path = std::env::temp_dir().join(format!("doc-file-lock-{}", std::process::id()));
/// let mut here = FileLock::open(&path)?;
/// let mut there = FileLock::open(&path)?; // in another process
///
/// let held = here.lock()?;
/// assert!(matches!(there.try_lock(), Err(ipc::Error::WouldBlock { .. })));
/// drop(held);
/// let _reading = there.lock_shared()?;
/// let _too = here.lock_shared()?;
/// # std::fs::remove_file(path).unwrap();
/// # Ok::<(), ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct FileLock {
    file: File,
    object: String,
}

impl FileLock {
    /// Opens the file, which is made if it does not exist, empty and with mode 0600 whatever the umask. It is
    /// never removed, see the [module](super).
    ///
    /// # Errors
    ///
    /// The kernel's reasons: the file must be readable and writable.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let object = path.display().to_string();
        let open = |extra| {
            OpenOptions::new()
                .read(true)
                .write(true)
                .mode(0o600)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY | extra) // a FIFO or a terminal must not hang
                .open(path)
                .map_err(|error| Error::io(&object, "open", &error))
        };
        let create = || {
            let file = open(libc::O_CREAT | libc::O_EXCL)?;
            // The umask may have taken the owner's own rights away.
            fchmod(&file, Mode::S_IRUSR | Mode::S_IWUSR)
                .map_err(|errno| Error::system(&object, "fchmod", errno))?;
            Ok(file)
        };
        let find = || match open(0) {
            // A link without a target: it exists, and nothing can be opened.
            Err(error) if error.errno() == Some(Errno::ENOENT) && path.is_symlink() => {
                open(libc::O_CREAT)
            }
            result => result,
        };
        let file = create_or_open(create, find)?;
        Ok(Self { file, object })
    }

    /// Takes it exclusively, and waits while others have it.
    ///
    /// # Errors
    ///
    /// The kernel's reasons, such as `ENOLCK`. Deadlocks are not detected.
    pub fn lock(&mut self) -> Result<FileGuard<'_>> {
        self.acquire(libc::F_WRLCK)
    }

    /// Takes it together with others who do so, and waits while somebody has it exclusively.
    ///
    /// # Errors
    ///
    /// As for [`lock`](Self::lock).
    pub fn lock_shared(&mut self) -> Result<FileGuard<'_>> {
        self.acquire(libc::F_RDLCK)
    }

    /// Takes it exclusively, if it is free now.
    ///
    /// # Errors
    ///
    /// [`Error::WouldBlock`] if it is not, and those of [`lock`](Self::lock).
    pub fn try_lock(&mut self) -> Result<FileGuard<'_>> {
        self.try_acquire(libc::F_WRLCK)?;
        Ok(FileGuard { lock: self })
    }

    /// Takes it together with others, if nobody has it exclusively now.
    ///
    /// # Errors
    ///
    /// As for [`try_lock`](Self::try_lock).
    pub fn try_lock_shared(&mut self) -> Result<FileGuard<'_>> {
        self.try_acquire(libc::F_RDLCK)?;
        Ok(FileGuard { lock: self })
    }

    /// As [`lock`](Self::lock), but not longer than `timeout`.
    ///
    /// The kernel has no such call. So this asks again and again, after 1 ms at first and 20 ms later, and has no
    /// place in the kernel's queue: against others who take the lock without a pause it may lose every time.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`], and those of [`lock`](Self::lock).
    pub fn lock_timeout(&mut self, timeout: Duration) -> Result<FileGuard<'_>> {
        self.acquire_timeout(libc::F_WRLCK, timeout)
    }

    /// As [`lock_shared`](Self::lock_shared), but not longer than `timeout`; see
    /// [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Errors
    ///
    /// As for [`lock_timeout`](Self::lock_timeout).
    pub fn lock_shared_timeout(&mut self, timeout: Duration) -> Result<FileGuard<'_>> {
        self.acquire_timeout(libc::F_RDLCK, timeout)
    }

    fn acquire(&mut self, kind: i32) -> Result<FileGuard<'_>> {
        let whole = whole_file(kind);
        retry(|| fcntl(&self.file, FcntlArg::F_OFD_SETLKW(&whole)))
            .map_err(|errno| Error::system(&self.object, "fcntl(F_OFD_SETLKW)", errno))?;
        Ok(FileGuard { lock: self })
    }

    fn try_acquire(&self, kind: i32) -> Result<()> {
        let whole = whole_file(kind);
        match retry(|| fcntl(&self.file, FcntlArg::F_OFD_SETLK(&whole))) {
            Ok(_) => Ok(()),
            Err(Errno::EAGAIN | Errno::EACCES) => {
                Err(Error::WouldBlock { object: self.object.clone() })
            }
            Err(errno) => Err(Error::system(&self.object, "fcntl(F_OFD_SETLK)", errno)),
        }
    }

    fn acquire_timeout(&mut self, kind: i32, timeout: Duration) -> Result<FileGuard<'_>> {
        let deadline = Deadline::monotonic(timeout);
        let mut pauses = backoff(Duration::from_millis(1), Duration::from_millis(20));
        loop {
            match self.try_acquire(kind) {
                Err(Error::WouldBlock { .. }) => {}
                result => return result.map(|()| FileGuard { lock: self }),
            }
            let left = deadline.left();
            if left.is_zero() {
                return Err(deadline.passed(&self.object));
            }
            pause(pauses.next().unwrap_or_default().min(left));
        }
    }
}

/// Holds a [`FileLock`]; dropping it unlocks.
#[derive(Debug)]
#[must_use = "dropping it unlocks"]
pub struct FileGuard<'a> {
    lock: &'a FileLock,
}

impl FileGuard<'_> {
    /// The locked file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.lock.file
    }
}

impl Drop for FileGuard<'_> {
    fn drop(&mut self) {
        let whole = whole_file(libc::F_UNLCK);
        // Unlocking has nothing to fail of.
        let _ = fcntl(&self.lock.file, FcntlArg::F_OFD_SETLK(&whole));
    }
}

/// The lock of `kind` from the first byte to the last, wherever that will be.
fn whole_file(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0, // as F_OFD_SETLK demands
    }
}
