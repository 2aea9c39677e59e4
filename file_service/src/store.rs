//! The served directory.
//!
//! Every path is resolved by the kernel below one root descriptor (`openat2` with `RESOLVE_BENEATH`),
//! so neither `..` nor a link nor a race with a rename can leave it. A file becomes visible whole: an upload is
//! written to an anonymous file (`O_TMPFILE`) until it is committed, or, where the file system does not support
//! that, to a temporary file next to its destination.
//!
//! # What a killed server leaves, and who removes it
//!
//! The kernel removes an anonymous file with its server. It does not remove a temporary name (`.~upload-` and 16 hex
//! digits). So each is locked with `flock` while its upload lives, and a temporary below a subdirectory has a
//! symbolic link of the same name in the root, its *marker*. A starting server reads the root alone,
//! follows the markers, and removes what is not locked; a listing removes what it meets. Two servers may
//! share a root: what the other has locked stays.

use crate::protocol::{Code, RelPath, UPLOAD_DIGITS, UPLOAD_PREFIX, is_control, is_upload_name};
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, ResolveFlags, StatxFlags, flock, linkat,
    openat, openat2, readlinkat, renameat, statat, statx, symlinkat, unlinkat,
};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// How often a resolution that raced with a rename is tried before it is given up.
const RESOLVE_ATTEMPTS: usize = 32;

/// How much of a file `HASH` reads at a time, in bytes.
const HASH_CHUNK: usize = 256 * 1024;

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

/// The metadata of a file that replies need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change, in whole seconds since 1970 (rounded down).
    pub mtime: i64,
    /// The rest of that time, in nanoseconds.
    pub mtime_nsec: u32,
    /// The inode: a replaced file has another one.
    pub ino: u64,
}

/// The kinds of entries in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// One line of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// A file or a directory; a link counts as what it points to.
    pub kind: Kind,
    /// Length in bytes; 0 for a directory.
    pub size: u64,
    /// Time of the last change, in whole seconds since 1970.
    pub mtime: i64,
    /// The name as it is on disk.
    pub name: Vec<u8>,
}

/// What a path names.
#[derive(Debug)]
pub(crate) enum Opened {
    /// A regular file, open for reading.
    File(File, Stat),
    /// A directory, open for listing.
    Directory(OwnedFd),
}

/// The served directory.
#[derive(Debug)]
pub struct Store {
    root: OwnedFd,
    writable: bool,
    sync: bool,
    anonymous: bool,
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
        let root = rustix::fs::open(
            root,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let store = Store { root, writable, sync, anonymous: true };
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

    /// Whether an upload is flushed to disk when it is committed, which may take long.
    pub(crate) fn is_synchronous(&self) -> bool {
        self.sync
    }

    /// Opens whatever `path` names, without ever blocking on it.
    ///
    /// # Errors
    ///
    /// [`Code::NotAFile`] for what is neither a regular file nor a directory, and the system's errors.
    pub(crate) fn open_any(&self, path: &RelPath) -> Result<Opened, Failure> {
        // O_NONBLOCK: a FIFO without a writer would block without end. O_NOCTTY: a terminal must not become ours.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd = self.resolve(path.as_bytes(), flags)?;
        let (kind, stat) = stat_fd(fd.as_fd())?;
        match kind {
            FileType::RegularFile => Ok(Opened::File(fd.into(), stat)),
            FileType::Directory => Ok(Opened::Directory(fd)),
            _ => Err(Code::NotAFile.into()),
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

    /// The entries of `directory`, which is open as `fd`, sorted by the bytes of their names.
    ///
    /// Left out is what no request could fetch: special files, links that lead outside or nowhere,
    /// names with control bytes, and uploads in progress.
    ///
    /// # Errors
    ///
    /// The system's error when the directory itself cannot be read; an entry that vanishes meanwhile is
    /// not an error.
    pub fn list(&self, directory: &RelPath, fd: OwnedFd) -> Result<Vec<Entry>, Failure> {
        self.list_at_most(usize::MAX, directory, fd)
    }

    /// The entries of `directory` as [`list`](Store::list) returns them, if they are at most `most`.
    ///
    /// # Errors
    ///
    /// [`Code::TooLarge`] as soon as there are more, and the same as [`Store::list`].
    pub(crate) fn list_at_most(
        &self,
        most: usize,
        directory: &RelPath,
        fd: OwnedFd,
    ) -> Result<Vec<Entry>, Failure> {
        let mut entries = Vec::new();
        let mut leftovers = Vec::new();
        for entry in Dir::read_from(&fd)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if is_upload_name(name) {
                leftovers.push(name.to_vec());
            } else if name != b"." && name != b".." && !name.iter().any(|&b| is_control(b)) {
                entries.extend(self.entry(directory, fd.as_fd(), name, entry.file_type()));
                if entries.len() > most {
                    return Err(Code::TooLarge.into());
                }
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        if self.writable {
            for name in leftovers {
                self.reclaim(fd.as_fd(), &name);
            }
        }
        Ok(entries)
    }

    fn entry(
        &self,
        directory: &RelPath,
        fd: BorrowedFd<'_>,
        name: &[u8],
        kind: FileType,
    ) -> Option<Entry> {
        // Most entries are files and directories. A link must be resolved below the root, not below its directory.
        let (kind, stat) = match kind {
            FileType::RegularFile | FileType::Directory | FileType::Unknown => {
                stat_at(fd, name).ok()?
            }
            FileType::Symlink => {
                (FileType::Symlink, Stat { size: 0, mtime: 0, mtime_nsec: 0, ino: 0 })
            }
            _ => return None,
        };
        let (kind, stat) = if kind == FileType::Symlink {
            let path = join(directory.as_bytes(), name);
            stat_fd(self.resolve(&path, OFlags::PATH).ok()?.as_fd()).ok()?
        } else {
            (kind, stat)
        };
        let (kind, size) = match kind {
            FileType::RegularFile => (Kind::File, stat.size),
            FileType::Directory => (Kind::Directory, 0),
            _ => return None,
        };
        Some(Entry { kind, size, mtime: stat.mtime, name: name.to_vec() })
    }

    /// Begins a new file at `path`. It is not visible before [`Upload::commit`]; a dropped upload
    /// leaves nothing.
    ///
    /// # Errors
    ///
    /// [`Code::ReadOnly`], [`Code::NotAFile`] where the path names a directory or a special file, and
    /// the system's errors.
    pub fn begin_upload(&self, path: &RelPath) -> Result<Upload, Failure> {
        if !self.writable {
            return Err(Code::ReadOnly.into());
        }
        let (parent, name) = path.split().ok_or(Code::NotAFile)?;
        let directory = self.resolve(parent, OFlags::PATH | OFlags::DIRECTORY)?;
        match stat_at(directory.as_fd(), name) {
            Ok((FileType::RegularFile | FileType::Symlink, _)) | Err(Errno::NOENT) => {}
            Ok(_) => return Err(Code::NotAFile.into()),
            Err(errno) => return Err(errno.into()),
        }
        let destination = Destination {
            root: self.root.try_clone()?,
            parent: parent.to_vec(),
            directory,
            name: name.to_vec(),
            temporary: None,
        };
        if self.anonymous {
            let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
            match openat(&destination.directory, ".", flags, new_file_mode()) {
                Ok(fd) => {
                    return Ok(Upload { file: fd.into(), destination, sync: self.sync });
                }
                // The errors of file systems and old kernels that do not support O_TMPFILE.
                Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let mut destination = destination;
        let file = destination.create_temporary()?;
        Ok(Upload { file, destination, sync: self.sync })
    }

    /// What a `PUT` would replace, for preconditions; `None` where there is no regular file.
    pub(crate) fn stat(&self, path: &RelPath) -> Option<Stat> {
        self.open_file(path).ok().map(|(_, stat)| stat)
    }

    /// Resolves `path` below the root, and nowhere else.
    fn resolve(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
        resolve(self.root.as_fd(), path, flags, ResolveFlags::empty())
    }

    /// Removes what killed servers left, as far as the names in the root lead to it.
    fn reclaim_root(&self) -> io::Result<()> {
        for entry in Dir::read_from(&self.root)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if is_upload_name(name) {
                self.reclaim(self.root.as_fd(), name);
            }
        }
        Ok(())
    }

    /// Removes `name` in `directory` unless a server has it locked: a temporary, or a marker and its temporary.
    ///
    /// Best effort: what cannot be removed stays hidden, and is met again by the next start or listing.
    fn reclaim(&self, directory: BorrowedFd<'_>, name: &[u8]) {
        let Ok((kind, _)) = stat_at(directory, name) else {
            return;
        };
        if kind != FileType::Symlink {
            remove_unless_locked(directory, name);
            return;
        }
        let Ok(target) = readlinkat(directory, name, Vec::new()) else {
            return;
        };
        let target = target.into_bytes();
        let parent = match memchr::memrchr(b'/', &target) {
            Some(at) if target[at + 1..] == *name => &target[..at],
            _ => return, // not a marker
        };
        let target_directory = resolve(
            self.root.as_fd(),
            parent,
            OFlags::PATH | OFlags::DIRECTORY,
            ResolveFlags::NO_SYMLINKS,
        );
        let Ok(target_directory) = target_directory else {
            // The directory is gone, and the temporary with it.
            let _ = unlinkat(directory, name, AtFlags::empty());
            return;
        };
        if remove_unless_locked(target_directory.as_fd(), name) {
            let _ = unlinkat(directory, name, AtFlags::empty());
            // An upload may have begun between the two looks: restore its marker.
            if stat_at(target_directory.as_fd(), name).is_ok() {
                let _ = symlinkat(&target[..], directory, name);
            }
        }
    }
}

/// The descriptor of the root, which a forked child must keep.
impl AsFd for Store {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }
}

/// A file on its way in.
#[derive(Debug)]
pub struct Upload {
    file: File,
    destination: Destination,
    sync: bool,
}

impl Upload {
    /// Appends to the file.
    ///
    /// # Errors
    ///
    /// [`Code::NoSpace`], and the system's errors.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        Ok(io::Write::write_all(&mut self.file, bytes)?)
    }

    /// Renames the whole file into place, over a file that has its name. Returns whether the name is new.
    ///
    /// # Errors
    ///
    /// The system's errors; then nothing has changed.
    pub fn commit(mut self) -> Result<bool, Failure> {
        if self.sync {
            self.file.sync_all()?;
        }
        let created = self.destination.commit(&self.file)?;
        if self.sync {
            // The name is part of the directory, so the directory must reach the disk too.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            rustix::fs::fsync(openat(&self.destination.directory, ".", flags, Mode::empty())?)?;
        }
        Ok(created)
    }
}

/// Where an upload goes, and the temporary name it has meanwhile, if any.
#[derive(Debug)]
struct Destination {
    root: OwnedFd,
    /// The directory below the root; empty for the root itself.
    parent: Vec<u8>,
    directory: OwnedFd,
    name: Vec<u8>,
    temporary: Option<Vec<u8>>,
}

impl Destination {
    fn commit(&mut self, file: &File) -> Result<bool, Failure> {
        if self.temporary.is_none() {
            // A free name is linked at once. linkat never replaces, so an existing one needs a rename.
            match link_anonymous(file, &self.directory, &self.name) {
                Ok(()) => return Ok(true),
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno.into()),
            }
            // Locked before it has a name: no other server can take it for a leftover.
            flock(file, FlockOperation::NonBlockingLockExclusive)?;
            self.with_fresh_name(|destination, name| {
                link_anonymous(file, &destination.directory, name)
            })?;
        }
        let Some(temporary) = &self.temporary else {
            return Err(Code::Internal.into());
        };
        let created = stat_at(self.directory.as_fd(), &self.name) == Err(Errno::NOENT);
        renameat(&self.directory, &temporary[..], &self.directory, &self.name[..])?;
        self.remove_marker();
        self.temporary = None;
        Ok(created)
    }

    /// Creates a temporary next to the destination and locks it.
    fn create_temporary(&mut self) -> Result<File, Failure> {
        loop {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            let file = self.with_fresh_name(|destination, name| {
                openat(&destination.directory, name, flags, new_file_mode())
            })?;
            // Between the creation and the lock another server may have taken it for a leftover.
            let locked = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
            let (Some(name), true) = (&self.temporary, locked) else {
                continue;
            };
            if stat_at(self.directory.as_fd(), name).is_ok() {
                self.create_marker(name)?; // as may its marker
                return Ok(file.into());
            }
        }
    }

    /// Creates a marker for a fresh temporary name, and the name with `make`.
    fn with_fresh_name<T>(
        &mut self,
        make: impl Fn(&Destination, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Failure> {
        loop {
            let name = fresh_name()?;
            self.create_marker(&name)?;
            match make(self, &name) {
                Ok(made) => {
                    self.temporary = Some(name);
                    return Ok(made);
                }
                Err(Errno::EXIST) => {} // another upload's; its marker is right too
                Err(errno) => {
                    self.temporary = Some(name);
                    self.remove_marker();
                    self.temporary = None;
                    return Err(errno.into());
                }
            }
        }
    }

    fn create_marker(&self, name: &[u8]) -> Result<(), Errno> {
        if self.parent.is_empty() {
            return Ok(());
        }
        match symlinkat(&join(&self.parent, name)[..], &self.root, name) {
            // Where the root takes no names, the next listing of the directory cleans up instead.
            Ok(()) | Err(Errno::EXIST | Errno::ACCESS | Errno::PERM | Errno::ROFS) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    fn remove_marker(&self) {
        if let (Some(name), false) = (&self.temporary, self.parent.is_empty()) {
            let _ = unlinkat(&self.root, &name[..], AtFlags::empty());
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        if let Some(name) = &self.temporary {
            let _ = unlinkat(&self.directory, &name[..], AtFlags::empty());
            self.remove_marker();
        }
    }
}

/// The SHA-256 of the whole file, as 64 hex digits and a line feed.
///
/// # Errors
///
/// The system's errors.
pub(crate) fn hash(file: &File) -> Result<Vec<u8>, Failure> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; HASH_CHUNK];
    let mut offset = 0;
    loop {
        match rustix::io::pread(file, &mut chunk[..], offset) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&chunk[..n]);
                offset += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut text: Vec<u8> =
        hasher.finalize().iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect();
    text.push(b'\n');
    Ok(text)
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
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), how) {
            // A rename somewhere raced with a `..` in a link, or a signal came.
            Err(Errno::AGAIN | Errno::INTR) if attempts < RESOLVE_ATTEMPTS => attempts += 1,
            outcome => return outcome,
        }
    }
}

fn stat_fd(fd: BorrowedFd<'_>) -> Result<(FileType, Stat), Errno> {
    let mask = StatxFlags::TYPE | StatxFlags::SIZE | StatxFlags::MTIME | StatxFlags::INO;
    let stat = statx(fd, c"", AtFlags::EMPTY_PATH, mask)?;
    Ok((
        FileType::from_raw_mode(u32::from(stat.stx_mode)),
        Stat {
            size: stat.stx_size,
            mtime: stat.stx_mtime.tv_sec,
            mtime_nsec: stat.stx_mtime.tv_nsec,
            ino: stat.stx_ino,
        },
    ))
}

/// The same of a name in a directory; a link is not followed.
fn stat_at(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(FileType, Stat), Errno> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok((
        FileType::from_raw_mode(stat.st_mode),
        Stat {
            size: stat.st_size.try_into().unwrap_or(0),
            mtime: stat.st_mtime,
            mtime_nsec: stat.st_mtime_nsec.try_into().unwrap_or(0),
            ino: stat.st_ino,
        },
    ))
}

/// Removes a temporary that is not locked. Returns whether it is gone.
fn remove_unless_locked(directory: BorrowedFd<'_>, name: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match openat(directory, name, flags, Mode::empty()) {
        Ok(file) => {
            flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
                && unlinkat(directory, name, AtFlags::empty()).is_ok()
        }
        Err(errno) => errno == Errno::NOENT,
    }
}

fn link_anonymous(file: &File, directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match linkat(file, c"", directory, name, AtFlags::EMPTY_PATH) {
        // Older kernels want a capability for an empty path; the link in /proc does without.
        Err(Errno::NOENT) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            linkat(rustix::fs::CWD, path, directory, name, AtFlags::SYMLINK_FOLLOW)
        }
        outcome => outcome,
    }
}

fn fresh_name() -> Result<Vec<u8>, Errno> {
    let mut random = [0u8; UPLOAD_DIGITS / 2];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{UPLOAD_PREFIX}{:016x}", u64::from_ne_bytes(random)).into_bytes())
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

/// Reading and writing for all, less the user's umask.
fn new_file_mode() -> Mode {
    Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH
}
