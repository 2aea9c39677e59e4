//! What a killed server leaves, and who removes it.
//!
//! The kernel removes an anonymous file with its server. It does not remove a temporary name (`.~upload-` and 16 hex
//! digits). So each is locked with `flock` while its upload lives, and a temporary below a subdirectory has a
//! symbolic link of the same name in the root, its *marker*. A starting server reads the root alone,
//! follows the markers, and removes what is not locked; a listing removes what it meets. Two servers may
//! share a root: what the other has locked stays.

use super::stat::stat_at;
use super::{Store, resolve};
use crate::protocol::is_upload_name;
use rustix::fs::{
    AtFlags, Dir, FileType, FlockOperation, Mode, OFlags, ResolveFlags, flock, openat, readlinkat,
    symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

impl Store {
    /// Removes what killed servers left, as far as the names in the root lead to it.
    pub(super) fn reclaim_root(&self) -> io::Result<()> {
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
    pub(super) fn reclaim(&self, directory: BorrowedFd<'_>, name: &[u8]) {
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
