//! A file on its way in, and how it gets its name.
//!
//! An upload is written to an anonymous file, or to a temporary next to its destination, and so is invisible. It *lands*
//! in one step, so that no reader ever sees a part of it:
//!
//! 1. A free name is taken by a link, or by a rename that does not replace. The kernel decides between two landings that
//!    want it, so there is no lock.
//! 2. An existing file is replaced by a rename. A condition on what is replaced must still hold at that moment: so the
//!    directory is locked, the name is looked at, the condition is judged, and the rename follows.
//!
//! A landing that changes nothing needs no lock either: a condition that does not hold refuses it at once.

use super::calls::{uninterrupted, uninterrupted_once};
use super::lock::{Access, Claim, FileLocks};
use super::stat::{stat_at, stat_fd};
use super::version::{CoarseTime, Version, VersionRule};
use super::{Existing, Failure, Precondition, Store, join, marker, resolve};
use crate::protocol::{Code, RelPath, UPLOAD_DIGITS, UPLOAD_PREFIX};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RenameFlags, ResolveFlags, linkat, openat, renameat,
    renameat_with, unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// From this size on, in bytes, the end of a file is left to a job: about a tenth of a millisecond.
const LARGE: u64 = 1 << 20;

/// How often something that races with other servers is tried before it is given up.
const ATTEMPTS: usize = 32;

impl Store {
    /// Begins a new file at `path`. It is not visible before [`Upload::land`]; a dropped upload leaves nothing.
    ///
    /// # Errors
    ///
    /// [`Code::ReadOnly`], [`Code::NotAFile`] where the path names a directory or a special file, and
    /// the system's errors.
    pub fn begin_upload(&self, path: &RelPath) -> Result<Box<Upload>, Failure> {
        if !self.writable {
            return Err(Code::ReadOnly.into());
        }
        let (parent, name) = path.split().ok_or(Code::NotAFile)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        // Mostly no component is a link; then the path is also that of the markers.
        let direct = resolve(self.root.as_fd(), parent, flags, ResolveFlags::NO_SYMLINKS);
        let (directory, has_links) = match direct {
            Err(Errno::LOOP) => (self.resolve(parent, flags)?, true),
            direct => (direct?, false),
        };
        let mut destination = Destination {
            root: self.root.try_clone()?,
            parent: parent.to_vec(),
            has_links,
            directory,
            name: name.to_vec(),
            temporary: None,
            locks: self.locks,
            exclusive_renames: self.exclusive_renames,
            version_rule: self.version_rule,
        };
        let replaced = match destination.existing()? {
            Existing::File(version) => version.stat.size,
            Existing::Nothing | Existing::Other => 0,
        };
        let anonymous = if self.anonymous { destination.open_anonymous()? } else { None };
        let file = match anonymous {
            Some(file) => file,
            None => destination.create_temporary()?,
        };
        Ok(Box::new(Upload {
            file,
            written: 0,
            replaced,
            destination,
            sync: self.sync,
            condition: None,
        }))
    }
}

/// A file on its way in. It is boxed, so that an idle session has no room for one.
#[derive(Debug)]
pub struct Upload {
    file: File,
    /// How much of it there is, in bytes.
    written: u64,
    /// The size of the file that had the name at the beginning, in bytes.
    replaced: u64,
    destination: Destination,
    sync: bool,
    /// What must hold of the existing file when this one lands.
    condition: Option<Box<dyn Precondition>>,
}

/// How a landing went.
#[derive(Debug)]
pub enum Landing {
    /// The file has its name.
    Landed(Landed),
    /// The condition does not hold: nothing has changed, and nothing is left of the upload.
    ConditionFailed,
    /// Another landing has locked the directory: nothing has changed, and this upload may land later.
    Locked(Box<Upload>),
}

/// A file that has its name.
#[derive(Debug)]
pub struct Landed {
    /// Whether the name is new.
    pub created: bool,
    file: File,
    version_rule: VersionRule,
}

impl Landed {
    /// The version of the file as it is now; `None` where the system does not return its metadata.
    pub(crate) fn version(&self) -> Option<Version> {
        let before = CoarseTime::now();
        let (_, stat) = stat_fd(self.file.as_fd()).ok()?;
        Some(self.version_rule.judge(&self.file, stat, before))
    }
}

impl Upload {
    /// Appends to the file.
    ///
    /// # Errors
    ///
    /// [`Code::NoSpace`], and the system's errors.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match uninterrupted(|| rustix::io::write(&self.file, rest))? {
                0 => return Err(io::Error::from(io::ErrorKind::WriteZero).into()),
                n => {
                    rest = &rest[n..];
                    self.written += n as u64;
                }
            }
        }
        Ok(())
    }

    /// Whether its end may take long: the kernel frees the blocks and pages of a file with its last name or descriptor,
    /// of this one if it is dropped, and of the file that it replaces.
    pub(crate) fn is_large(&self) -> bool {
        self.written.max(self.replaced) > LARGE
    }

    /// Has the file land only if `condition` holds at that moment. Returns whether it holds now.
    ///
    /// # Errors
    ///
    /// As for [`Upload::land`].
    pub(crate) fn require(&mut self, condition: Box<dyn Precondition>) -> Result<bool, Failure> {
        let holds = condition.holds(&self.destination.existing()?);
        self.condition = Some(condition);
        Ok(holds)
    }

    /// Makes the whole file visible under its name, and replaces a file that has this name.
    ///
    /// # Errors
    ///
    /// [`Code::NotAFile`] where a directory or a special file has the name by now, and the system's errors; then nothing
    /// has changed. Only where the directory cannot be flushed to disk at the end, which is [`Code::Internal`], the
    /// file has its name.
    pub fn land(self: Box<Upload>) -> Result<Landing, Failure> {
        self.land_if(|| Ok(()))
    }

    /// Lands the file as [`land`](Upload::land) does, unless `proceed` fails: it is called when the content has reached the
    /// disk, which may take long, and before the file takes its name.
    ///
    /// # Errors
    ///
    /// The same, and that of `proceed`.
    pub(crate) fn land_if(
        mut self: Box<Upload>,
        proceed: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Landing, Failure> {
        // The name is part of the directory, so the directory must reach the disk too. It is opened first: where it may not
        // be read, the upload is refused before anything has changed.
        let flushed = if self.sync {
            uninterrupted(|| rustix::fs::fsync(&self.file))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let directory = &self.destination.directory;
            Some(uninterrupted(|| openat(directory, ".", flags, Mode::empty()))?)
        } else {
            None
        };
        proceed()?;
        let created = match self.take_name()? {
            Naming::Named { created } => created,
            Naming::ConditionFailed => return Ok(Landing::ConditionFailed),
            Naming::Locked => return Ok(Landing::Locked(self)),
        };
        if let Some(directory) = flushed {
            // Whatever the error is, the request was not at fault, and the file has its name.
            uninterrupted(|| rustix::fs::fsync(&directory))
                .map_err(|errno| Failure { code: Code::Internal, detail: Some(errno.into()) })?;
        }
        Ok(Landing::Landed(Landed {
            created,
            file: self.file,
            version_rule: self.destination.version_rule,
        }))
    }

    fn take_name(&mut self) -> Result<Naming, Failure> {
        let may_create = self.permits(&Existing::Nothing);
        // Shared by landings that would replace any version; they need not wait for each other.
        let mut access = match self.condition {
            Some(_) => Access::Exclusive,
            None => Access::Shared,
        };
        // A further round is needed where the name was taken at first and is free under the lock.
        for _ in 0..ATTEMPTS {
            let mut create_under_lock = false;
            if may_create {
                match self.destination.take_free_name(&self.file) {
                    Ok(()) => return Ok(Naming::Named { created: true }),
                    Err(Errno::EXIST) => {}
                    // The file system cannot do it in one step, so no other landing may come between two.
                    Err(Errno::OPNOTSUPP) => {
                        create_under_lock = true;
                        access = Access::Exclusive;
                    }
                    Err(errno) => return Err(errno.into()),
                }
            }
            if self.condition.is_some() && !self.permits(&self.destination.existing()?) {
                return Ok(Naming::ConditionFailed);
            }
            let directory = self.destination.directory.as_fd();
            let Some(_lock) = self.destination.locks.claim_directory(directory, access)? else {
                return Ok(Naming::Locked);
            };
            let existing = self.destination.existing()?;
            if !self.permits(&existing) {
                return Ok(Naming::ConditionFailed);
            }
            let created = existing == Existing::Nothing;
            if !created || create_under_lock {
                self.destination.replace(&self.file)?;
                return Ok(Naming::Named { created });
            }
        }
        Err(gave_up("a file that comes and goes has the name of the upload"))
    }

    fn permits(&self, existing: &Existing) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.holds(existing))
    }
}

/// The outcome of one try to take the name.
enum Naming {
    Named { created: bool },
    ConditionFailed,
    Locked,
}

/// Where an upload goes, and the temporary name it has meanwhile, if any.
#[derive(Debug)]
struct Destination {
    root: OwnedFd,
    /// The path of the directory below the root; empty for the root itself.
    parent: Vec<u8>,
    /// That path may run through links.
    has_links: bool,
    directory: OwnedFd,
    name: Vec<u8>,
    temporary: Option<Vec<u8>>,
    locks: FileLocks,
    exclusive_renames: bool,
    version_rule: VersionRule,
}

impl Destination {
    /// What has the name now, whether the server may read it or not.
    fn existing(&self) -> Result<Existing, Failure> {
        let before = CoarseTime::now();
        match stat_at(self.directory.as_fd(), &self.name) {
            Ok((FileType::RegularFile, stat)) => {
                Ok(Existing::File(self.version_rule.judge(&self.directory, stat, before)))
            }
            Ok((FileType::Symlink, _)) => Ok(self.behind_link()),
            Ok(_) => Err(Code::NotAFile.into()),
            Err(Errno::NOENT) => Ok(Existing::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }

    /// A link to a file has the validators of that file, since a `GET` returns them.
    fn behind_link(&self) -> Existing {
        let path = join(&self.parent, &self.name);
        let before = CoarseTime::now();
        let Ok(target) = resolve(self.root.as_fd(), &path, OFlags::PATH, ResolveFlags::empty())
        else {
            return Existing::Other;
        };
        match stat_fd(target.as_fd()) {
            Ok((FileType::RegularFile, stat)) => {
                Existing::File(self.version_rule.judge(&target, stat, before))
            }
            _ => Existing::Other,
        }
    }

    /// Returns an anonymous file in the directory; `None` where the file system does not support that.
    fn open_anonymous(&self) -> Result<Option<File>, Failure> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        match uninterrupted(|| openat(&self.directory, ".", flags, new_file_mode())) {
            Ok(fd) => Ok(Some(fd.into())),
            // The errors of file systems and old kernels that do not support O_TMPFILE.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes the file visible under its name if no other file has it. Returns EEXIST otherwise.
    ///
    /// EOPNOTSUPP means that the file system supports no way to do this.
    fn take_free_name(&mut self, file: &File) -> Result<(), Errno> {
        let Some(temporary) = &self.temporary else {
            return link_anonymous(file, &self.directory, &self.name);
        };
        let directory = &self.directory;
        if !self.exclusive_renames {
            return Err(Errno::OPNOTSUPP);
        }
        let (from, to) = (&temporary[..], &self.name[..]);
        let is_done = || is_name_of(directory, to, file);
        let rename = || renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE);
        match uninterrupted_once(rename, is_done) {
            Ok(()) => self.forget_temporary(),
            // NFS, for example, supports links but not this flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let link = || linkat(directory, from, directory, to, AtFlags::empty());
                match uninterrupted_once(link, is_done) {
                    Ok(()) => self.remove_temporary(),
                    Err(Errno::PERM | Errno::NOSYS | Errno::MLINK) => {
                        return Err(Errno::OPNOTSUPP);
                    }
                    Err(errno) => return Err(errno),
                }
            }
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Makes the file visible under its name, and replaces what has this name.
    fn replace(&mut self, file: &File) -> Result<(), Failure> {
        if self.temporary.is_none() {
            // A link never replaces, so the file needs a name that can be renamed. It is locked before it has one: no other
            // server can take it for a leftover.
            self.locks.claim(file)?;
            self.with_fresh_name(|destination, name| {
                link_anonymous(file, &destination.directory, name)
            })?;
        }
        if let Some(temporary) = &self.temporary {
            let (directory, to) = (&self.directory, &self.name[..]);
            uninterrupted_once(
                || renameat(directory, &temporary[..], directory, to),
                || is_name_of(directory, to, file),
            )?;
            self.forget_temporary();
        }
        Ok(())
    }

    /// Creates a temporary next to the destination and locks it.
    fn create_temporary(&mut self) -> Result<File, Failure> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        for _ in 0..ATTEMPTS {
            let file = match self.with_fresh_name(|destination, name| {
                openat(&destination.directory, name, flags, new_file_mode())
            }) {
                Err(Errno::INTR) => continue,
                outcome => outcome?,
            };
            // Between the creation and the lock a starting server may have taken it for a leftover, which it locks and
            // removes. Without locks, nothing removes it.
            let claim = self.locks.claim(&file)?;
            if let Some(name) = &self.temporary
                && claim != Claim::HeldByAnother
                && stat_at(self.directory.as_fd(), name).is_ok()
            {
                marker::create(self.root.as_fd(), &self.parent, name)?; // it may be gone as well
                return Ok(file.into());
            }
            self.remove_temporary();
        }
        Err(gave_up(
            "every temporary was removed by another process, or its creation was interrupted",
        ))
    }

    /// Creates a marker for a fresh temporary name, and the name with `make`. If that fails, none of it is left.
    fn with_fresh_name<T>(
        &mut self,
        make: impl Fn(&Destination, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        if self.has_links {
            // Without a real path the markers lead through the links, which is right as long as the links stay.
            let (root, directory) = (self.root.as_fd(), self.directory.as_fd());
            if let Ok(path) = marker::real_path(root, &self.parent, directory) {
                self.parent = path;
            }
            self.has_links = false;
        }
        let name = fresh_name()?;
        let made =
            marker::create(self.root.as_fd(), &self.parent, &name).and_then(|()| make(self, &name));
        if let Err(errno) = &made {
            if *errno == Errno::INTR {
                let _ = unlink(&self.directory, &name); // it may have been created all the same
            }
            marker::remove(self.root.as_fd(), &self.parent, &name);
        }
        self.temporary = made.is_ok().then_some(name);
        made
    }

    fn remove_temporary(&mut self) {
        if let Some(name) = &self.temporary {
            let _ = unlink(&self.directory, name);
            self.forget_temporary();
        }
    }

    /// Removes the markers of a temporary name that no longer exists.
    fn forget_temporary(&mut self) {
        if let Some(name) = self.temporary.take() {
            marker::remove(self.root.as_fd(), &self.parent, &name);
        }
    }
}

impl Drop for Destination {
    fn drop(&mut self) {
        self.remove_temporary();
    }
}

fn gave_up(why: &'static str) -> Failure {
    Failure { code: Code::Internal, detail: Some(io::Error::other(why)) }
}

fn link_anonymous(file: &File, directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    let is_done = || is_name_of(directory, name, file);
    let link = || linkat(file, c"", directory, name, AtFlags::EMPTY_PATH);
    match uninterrupted_once(link, is_done) {
        // Older kernels want a capability for an empty path; the link in /proc does without.
        Err(Errno::NOENT) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            let link =
                || linkat(rustix::fs::CWD, &path[..], directory, name, AtFlags::SYMLINK_FOLLOW);
            uninterrupted_once(link, is_done)
        }
        outcome => outcome,
    }
}

/// Whether `name` is a name of the open `file`.
fn is_name_of(directory: &OwnedFd, name: &[u8], file: &File) -> bool {
    match (stat_at(directory.as_fd(), name), stat_fd(file.as_fd())) {
        (Ok((_, named)), Ok((_, stat))) => (named.mount, named.ino) == (stat.mount, stat.ino),
        _ => false,
    }
}

fn unlink(directory: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    uninterrupted(|| unlinkat(directory, name, AtFlags::empty()))
}

fn fresh_name() -> Result<Vec<u8>, Errno> {
    let mut random = [0u8; UPLOAD_DIGITS / 2];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{UPLOAD_PREFIX}{:016x}", u64::from_ne_bytes(random)).into_bytes())
}

/// Reading and writing for all, less the user's umask.
fn new_file_mode() -> Mode {
    Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH
}

#[cfg(test)]
mod tests;
