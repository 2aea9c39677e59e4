//! A file on its way in, and how it gets its name.

use super::stat::stat_at;
use super::{Failure, Store, join};
use crate::protocol::{Code, RelPath, UPLOAD_DIGITS, UPLOAD_PREFIX};
use rustix::fs::{
    AtFlags, FileType, FlockOperation, Mode, OFlags, flock, linkat, openat, renameat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

impl Store {
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

/// Reading and writing for all, less the user's umask.
fn new_file_mode() -> Mode {
    Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::WGRP | Mode::ROTH | Mode::WOTH
}
