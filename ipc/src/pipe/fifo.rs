//! Pipes with a name.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::PollFlags;
use nix::sys::stat::Mode;
use nix::unistd;

use super::{End, Reader, Writer, is_fifo, pipe};
use crate::error::{Error, Result};
use crate::file::OwnedPath;
use crate::sys::{self, Deadline, backoff, pause, retry};

/// The name of a FIFO, held by its creator: the name is removed when this is dropped. A copy of it in a forked
/// child removes nothing.
///
/// The FIFO is opened by [`Reader::open`] and [`Writer::open`] and their like, by any process that has the
/// permission. Processes that have it open are not disturbed when the name goes.
///
/// A server that reads requests from a FIFO sees the end of file whenever the last client goes. TLPI
/// (section 44.8) shows the cure: the server holds a [`Writer`] of its own, which it never uses.
///
/// | | a peer is there | no peer |
/// |---|---|---|
/// | [`Reader::open`] | at once | waits |
/// | [`Reader::try_open`] | at once | at once |
/// | [`Writer::open`] | at once | waits |
/// | [`Writer::try_open`] | at once | [`Error::WouldBlock`] |
///
/// ```
/// use ipc::pipe::{Fifo, Reader, Writer};
///
/// let path = std::env::temp_dir().join(format!("ipc-fifo-doc-{}", std::process::id()));
/// let fifo = Fifo::create(&path, 0o600)?;
/// assert!(matches!(Writer::try_open(&path), Err(ipc::Error::WouldBlock { .. })));
/// let reader = Reader::try_open(&path)?;
/// Writer::try_open(&path)?.write_atomic(b"by name")?;
/// let mut buffer = [0; 16];
/// assert_eq!(reader.try_read(&mut buffer)?, 7);
/// drop(fifo);
/// assert!(!path.exists());
/// # Ok::<(), ipc::Error>(())
/// ```
#[derive(Debug)]
pub struct Fifo(OwnedPath);

impl Fifo {
    /// Makes a FIFO with the permissions `mode`, less those that the process's umask takes away.
    ///
    /// # Errors
    ///
    /// [`Error::System`]: the name is taken (`EEXIST`), or the directory is missing or not writable
    /// (`mkfifo`). [`Error::OutOfRange`]: `mode` has more than the nine permission bits. [`Error::InvalidName`]:
    /// an empty path, or one with a NUL.
    pub fn create(path: impl AsRef<Path>, mode: u32) -> Result<Self> {
        let path = absolute(path.as_ref())?;
        let object = path.display().to_string();
        Error::check_range(&object, "permission bits", mode.into(), 0..=0o777)?;
        unistd::mkfifo(&path, Mode::from_bits_truncate(mode))
            .map_err(|errno| Error::system(&*object, "mkfifo", errno))?;
        Self::adopt(path)
    }

    /// Takes over a FIFO that is there already, such as one that a killed creator left behind.
    ///
    /// Whether somebody still uses it cannot be told from the name alone: a reader of it shows by
    /// [`Writer::try_open`] succeeding.
    ///
    /// # Errors
    ///
    /// [`Error::Unusable`]: `path` is something else than a FIFO. [`Error::System`]: there is none (`stat`).
    pub fn adopt(path: impl AsRef<Path>) -> Result<Self> {
        let path = absolute(path.as_ref())?;
        // Of the name itself: to take over what a link points to would remove the link.
        let metadata = check_fifo(&path, fs::symlink_metadata(&path))?;
        Ok(Self(OwnedPath::new(path, &metadata)))
    }

    /// Where it is, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    let refuse =
        |reason| Error::InvalidName { name: path.display().to_string(), kind: "FIFO", reason };
    if path.as_os_str().as_bytes().contains(&0) {
        return Err(refuse("it contains a NUL byte"));
    }
    std::path::absolute(path).map_err(|_| refuse("it is empty"))
}

/// Refuses what is no FIFO.
fn check_fifo(path: &Path, metadata: std::io::Result<fs::Metadata>) -> Result<fs::Metadata> {
    let object = path.display().to_string();
    let metadata = metadata.map_err(|error| Error::io(&*object, "stat", &error))?;
    if metadata.file_type().is_fifo() { Ok(metadata) } else { Err(not_a_fifo(object)) }
}

fn not_a_fifo(object: String) -> Error {
    Error::unusable(object, "it is no FIFO")
}

pub(super) fn open(path: &Path, flags: OFlag) -> Result<End> {
    let path = absolute(path)?;
    let object = path.display().to_string();
    // Before, since to open a device can have effects; and after, since the name can change in between.
    check_fifo(&path, fs::metadata(&path))?;
    let flags = flags | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    let fd = retry(|| nix::fcntl::open(&path, flags, Mode::empty())).map_err(|errno| {
        if errno == Errno::ENXIO {
            Error::WouldBlock { object: object.clone() }
        } else {
            Error::system(&*object, "open", errno)
        }
    })?;
    match is_fifo(&fd) {
        Ok(true) => Ok(End::new(fd, object)),
        Ok(false) => Err(not_a_fifo(object)),
        Err(errno) => Err(Error::system(object, "fstat", errno)),
    }
}

/// The pauses between two looks at something that the kernel has no waiting call for.
fn pauses() -> impl Iterator<Item = Duration> {
    backoff(Duration::from_millis(1), Duration::from_millis(16))
}

pub(super) fn open_writer_timeout(path: &Path, timeout: Duration) -> Result<Writer> {
    let deadline = Deadline::monotonic(timeout);
    let mut pauses = pauses();
    loop {
        // Read before the look, so that the last look comes after the deadline.
        let left = deadline.left();
        match Writer::try_open(path) {
            Err(Error::WouldBlock { object }) if left.is_zero() => {
                return Err(deadline.passed(object));
            }
            Err(Error::WouldBlock { .. }) => {
                pause(pauses.next().unwrap_or_default().min(left));
            }
            result => return result,
        }
    }
}

pub(super) fn open_reader_timeout(path: &Path, timeout: Duration) -> Result<Reader> {
    let deadline = Deadline::monotonic(timeout);
    let reader = Reader::try_open(path)?;
    let (_scratch, copy) = pipe()?;
    let mut pauses = pauses();
    loop {
        let left = deadline.left();
        // `tee` copies without taking anything out, and tells an empty FIFO with a writer (EAGAIN) from
        // one without (0), which neither `poll` nor `fstat` do.
        let copied = sys::retry_libc(|| {
            // SAFETY: both descriptors are open pipes, borrowed for the call; no memory is passed.
            unsafe { libc::tee(reader.as_raw_fd(), copy.as_raw_fd(), 1, libc::SPLICE_F_NONBLOCK) }
        });
        match copied {
            Ok(0) if left.is_zero() => return Err(deadline.passed(&*reader.0.object)),
            Ok(0) => {
                let pause = Deadline::monotonic(pauses.next().unwrap_or_default().min(left));
                // Ready is also a FIFO whose writer came and went: a blocking open returns then, too.
                match reader.0.wait_ready(PollFlags::POLLIN, &pause) {
                    Err(Error::TimedOut { .. }) => {}
                    Ok(()) => return Ok(reader),
                    Err(error) => return Err(error),
                }
            }
            Ok(_) | Err(Errno::EAGAIN) => return Ok(reader),
            Err(errno) => return Err(Error::system(&*reader.0.object, "tee", errno)),
        }
    }
}
