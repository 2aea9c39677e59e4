//! The served directory.
//!
//! Every path is resolved by the kernel below one root descriptor (`openat2` with `RESOLVE_BENEATH`),
//! so neither `..` nor a link nor a race with a rename can leave it. A file becomes visible whole: an upload is
//! written to an anonymous file (`O_TMPFILE`) until it lands, or, where the file system does not support that, to a
//! temporary file next to its destination.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | opening and hashing what is there |
//! | `listing` | the entries of a directory |
//! | `calls` | file calls that are interrupted |
//! | `stat` | the metadata that replies need |
//! | `version` | how far metadata identify a content |
//! | `filesystem` | what is known of file systems |
//! | `upload` | a new file, from its first byte to its name |
//! | `lock` | the locks of landings and temporaries |
//! | `marker` | how a temporary is found from the root |
//! | `leftovers` | what killed servers left, and its removal |

mod calls;
mod filesystem;
mod leftovers;
mod listing;
mod lock;
mod marker;
mod stat;
mod upload;
mod version;

pub(crate) use calls::uninterrupted;
pub use listing::{Entry, Kind, Listing};
pub(crate) use listing::{Listed, Size};
pub use stat::Stat;
pub use upload::{Landed, Landing, Upload};
pub(crate) use version::{CoarseTime, Version};

use crate::protocol::{Code, RelPath};
use filesystem::{FileSystem, FileSystems};
use lock::FileLocks;
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use stat::stat_fd;
use std::fmt::{self, Debug};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use version::VersionRule;

/// How often a resolution that raced with a rename is tried before it is given up.
const RESOLVE_ATTEMPTS: usize = 32;

/// How much of a file `HASH` reads at a time, in bytes.
pub(crate) const HASH_CHUNK: usize = 256 * 1024;

/// Why the store did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    /// The code of the reply.
    pub code: Code,
    /// The error for the log, where the code alone does not identify it.
    pub detail: Option<io::Error>,
}

impl From<Code> for Failure {
    fn from(code: Code) -> Failure {
        Failure { code, detail: None }
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Failure {
        let code = match errno {
            Errno::NOENT | Errno::NOTDIR => Code::NotFound,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => Code::Denied,
            // EXDEV: the path leaves the root. ELOOP: links in a circle, or a magic link.
            Errno::XDEV | Errno::LOOP | Errno::NAMETOOLONG | Errno::ILSEQ | Errno::INVAL => {
                Code::BadPath
            }
            // A socket, or a device without a driver.
            Errno::NXIO | Errno::NODEV | Errno::ISDIR => Code::NotAFile,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Code::NoSpace,
            _ => {
                return Failure { code: Code::Internal, detail: Some(errno.into()) };
            }
        };
        code.into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match Errno::from_io_error(&error) {
            Some(errno) => errno.into(),
            None => Failure { code: Code::Internal, detail: Some(error) },
        }
    }
}

/// What a path names.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A regular file, open for reading.
    File(File, Stat),
    /// A directory, open for listing.
    Directory(OwnedFd),
}

/// What the name of an upload stands for before it is stored, as preconditions see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Existing {
    /// The name is free.
    Nothing,
    /// A regular file, or a link to one.
    File(Version),
    /// Anything else: it exists, and no entity tag is its own.
    Other,
}

/// What must hold of the existing file for an upload to land.
pub(crate) trait Precondition: Debug + Send + Sync {
    /// Whether it holds.
    fn holds(&self, existing: &Existing) -> bool;
}

/// The served directory.
#[derive(Debug)]
pub struct Store {
    root: OwnedFd,
    writable: bool,
    sync: bool,
    anonymous: bool,
    file_systems: FileSystems,
    version_rule: VersionRule,
    /// False only in tests, for a file system that supports neither `RENAME_NOREPLACE` nor links.
    exclusive_renames: bool,
    locks: FileLocks,
}

impl Store {
    /// Opens `root`, and removes what killed servers left there.
    ///
    /// `sync` has every upload reach the disk before it is acknowledged.
    ///
    /// # Errors
    ///
    /// `root` is not a directory, or it may not be read.
    pub fn open(root: &Path, writable: bool, sync: bool) -> io::Result<Store> {
        Store::open_with(root, writable, sync, FileLocks::Used)
    }

    /// Opens `root` as [`open`](Store::open) does on a file system without `flock`.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn open_without_locks(root: &Path, writable: bool, sync: bool) -> io::Result<Store> {
        Store::open_with(root, writable, sync, FileLocks::Absent)
    }

    fn open_with(root: &Path, writable: bool, sync: bool, locks: FileLocks) -> io::Result<Store> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = uninterrupted(|| rustix::fs::open(root, flags, Mode::empty()))?;
        let file_systems = FileSystems::below(root.as_fd())?;
        let version_rule = VersionRule::new(file_systems);
        let store = Store {
            root,
            writable,
            sync,
            anonymous: true,
            exclusive_renames: true,
            locks,
            file_systems,
            version_rule,
        };
        if writable {
            store.reclaim_root()?;
        }
        Ok(store)
    }

    /// Writes uploads to temporary names, as on a file system without `O_TMPFILE`.
    pub fn without_anonymous_files(self) -> Store {
        Store { anonymous: false, ..self }
    }

    /// Whether uploads are taken.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable
    }

    /// Whether an upload is flushed to disk when it lands, which may take long.
    pub(crate) fn is_synchronous(&self) -> bool {
        self.sync
    }

    /// Opens whatever `path` names, without ever blocking on it.
    ///
    /// # Errors
    ///
    /// [`Code::NotAFile`] for what is neither a directory nor a regular file of a known size, and the system's errors.
    pub(crate) fn open_any(&self, path: &RelPath) -> Result<Opened, Failure> {
        // O_NONBLOCK: a FIFO without a writer would block without end. O_NOCTTY: a terminal must not become ours.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.resolve(path.as_bytes(), flags)?;
        let (kind, stat) = stat_fd(fd.as_fd())?;
        match kind {
            FileType::RegularFile => {
                let stat = self.check_size(fd.as_fd(), stat)?;
                Ok(Opened::File(fd.into(), stat))
            }
            FileType::Directory => Ok(Opened::Directory(fd)),
            _ => Err(Code::NotAFile.into()),
        }
    }

    /// Refuses a file whose size is a fiction: a reply must begin with a length. Returns the file's metadata.
    fn check_size(&self, fd: BorrowedFd<'_>, stat: Stat) -> Result<Stat, Failure> {
        if self.file_systems.of(fd, &stat).is_pseudo {
            return Err(fiction("a file of a pseudo file system has no size"));
        }
        if stat.size > 0 || !filesystem::has_content(fd) {
            return Ok(stat);
        }
        // Another process may have begun to write it in between.
        match stat_fd(fd)? {
            (_, Stat { size: 0, .. }) => Err(fiction("the file has size 0 and is not empty")),
            (_, stat) => Ok(stat),
        }
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    ///
    /// [`Code::NotAFile`] for anything else, and the system's errors.
    pub fn open_file(&self, path: &RelPath) -> Result<(File, Stat), Failure> {
        match self.open_any(path)? {
            Opened::File(file, stat) => Ok((file, stat)),
            Opened::Directory(_) => Err(Code::NotAFile.into()),
        }
    }

    /// Opens a directory for listing.
    ///
    /// # Errors
    ///
    /// [`Code::NotADirectory`] for anything else, and the system's errors.
    pub fn open_directory(&self, path: &RelPath) -> Result<OwnedFd, Failure> {
        match self.open_any(path) {
            Ok(Opened::Directory(fd)) => Ok(fd),
            Ok(Opened::File(..)) | Err(Failure { code: Code::NotAFile, .. }) => {
                Err(Code::NotADirectory.into())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Judges the metadata of an open file as a version of it. They were read after the clock showed `before`.
    pub(crate) fn version(&self, file: &File, stat: Stat, before: CoarseTime) -> Version {
        self.version_rule.judge(file, stat, before)
    }

    /// Resolves `path` below the root, and nowhere else.
    fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        resolve(self.root.as_fd(), path, flags, ResolveFlags::empty())
    }
}

/// The descriptor of the root, which a forked child must keep.
impl AsFd for Store {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// The SHA-256 of the whole file, as 64 hex digits and a line feed.
///
/// # Errors
///
/// The system's errors.
pub(crate) fn hash(file: File) -> Result<Vec<u8>, Failure> {
    let mut hashing = Hashing::new(file);
    let mut chunk = vec![0; HASH_CHUNK];
    loop {
        if let Some(text) = hashing.step(&mut chunk)? {
            return Ok(text);
        }
    }
}

/// The SHA-256 of a file that is read piece by piece.
pub(crate) struct Hashing {
    file: File,
    hasher: Sha256,
    offset: u64,
}

impl Hashing {
    pub(crate) fn new(file: File) -> Hashing {
        Hashing { file, hasher: Sha256::new(), offset: 0 }
    }

    /// How many bytes have been hashed.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Hashes the next piece, which it reads into `chunk`. At the end of the file returns the hash, as 64 hex digits and
    /// a line feed.
    pub(crate) fn step(&mut self, chunk: &mut [u8]) -> Result<Option<Vec<u8>>, Failure> {
        let n = uninterrupted(|| rustix::io::pread(&self.file, &mut chunk[..], self.offset))?;
        if n > 0 {
            self.hasher.update(&chunk[..n]);
            self.offset += n as u64;
            return Ok(None);
        }
        let hash = self.hasher.finalize_reset();
        let mut text: Vec<u8> = hash.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect();
        text.push(b'\n');
        Ok(Some(text))
    }
}

impl Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashing").field("file", &self.file).field("offset", &self.offset).finish()
    }
}

/// The refusal of a file whose size is a fiction.
fn fiction(reason: &str) -> Failure {
    Failure { code: Code::NotAFile, detail: Some(io::Error::other(reason)) }
}

fn resolve(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    more: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    let path = if path.is_empty() { b"." } else { path };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS | more;
    let mut attempts = 0;
    loop {
        match uninterrupted(|| openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how)) {
            // A rename somewhere raced with a `..` in a link.
            Err(Errno::AGAIN) if attempts < RESOLVE_ATTEMPTS => attempts += 1,
            outcome => return outcome,
        }
    }
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}
