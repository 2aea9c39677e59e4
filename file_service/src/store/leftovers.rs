//! What a killed server leaves, and who removes it.
//!
//! The kernel removes an anonymous file with its server. It does not remove a temporary name (`.~upload-` and 16 hex
//! digits). So each is locked while its upload lives, and a temporary below a subdirectory has a [`marker`]
//! in the root. A starting server reads the root alone, follows the markers, and removes what is not locked; a listing
//! removes what it meets. Two servers may share a root: what the other has locked stays. Where the file system does
//! not support locks, a leftover looks like another server's upload, so nothing is removed.

use super::calls::{each_entry, uninterrupted};
use super::lock::{Claim, FileLocks};
use super::stat::stat_at;
use super::{Store, marker, resolve};
use crate::protocol::is_upload_name;
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, readlinkat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// The most markers that are followed one after another.
const MAX_MARKERS: usize = 64;

impl Store {
    /// Removes what killed servers left, as far as the names in the root lead to it.
    pub(super) fn reclaim_root(&self) -> io::Result<()> {
        each_entry(self.root.as_fd(), |entry| {
            let name = entry.file_name().to_bytes();
            if is_upload_name(name) {
                self.reclaim(self.root.as_fd(), name);
            }
            Ok(())
        })
    }

    /// Removes `name` in `directory` unless a server has it locked: a temporary, or a marker and its temporary.
    ///
    /// Best effort: what cannot be removed stays hidden, and is met again by the next start or listing.
    pub(super) fn reclaim(&self, directory: BorrowedFd<'_>, name: &[u8]) {
        reclaim(self.locks, directory, name, MAX_MARKERS);
    }
}

/// Does the work of [`Store::reclaim`]. Returns whether there is no such name any more.
fn reclaim(locks: FileLocks, directory: BorrowedFd<'_>, name: &[u8], markers: usize) -> bool {
    match stat_at(directory, name) {
        Ok((FileType::Symlink, _)) => markers > 0 && follow(locks, directory, name, markers - 1),
        Ok((FileType::RegularFile, _)) => remove_unless_locked(locks, directory, name),
        Ok(_) => false,
        Err(errno) => errno == Errno::NOENT,
    }
}

/// Removes a marker and what it marks. Returns whether both are gone.
fn follow(locks: FileLocks, directory: BorrowedFd<'_>, name: &[u8], markers: usize) -> bool {
    let Ok(text) = uninterrupted(|| readlinkat(directory, name, Vec::new())) else {
        return false;
    };
    let Some(parent) = marker::parent(text.as_bytes(), name) else {
        return false;
    };
    // Earlier versions wrote paths with links.
    match resolve(directory, parent, OFlags::PATH | OFlags::DIRECTORY, ResolveFlags::empty()) {
        Ok(next) => {
            if !reclaim(locks, next.as_fd(), name, markers) {
                return false;
            }
            let _ = unlink(directory, name);
            // An upload may have begun between the two looks: restore its marker.
            if stat_at(next.as_fd(), name).is_ok() {
                let _ = uninterrupted(|| symlinkat(&text, directory, name));
                return false;
            }
            true
        }
        // The directory is gone, and the temporary with it.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => unlink(directory, name).is_ok(),
        Err(_) => false,
    }
}

/// Removes a temporary that is not locked. Returns whether it is gone.
fn remove_unless_locked(locks: FileLocks, directory: BorrowedFd<'_>, name: &[u8]) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    match uninterrupted(|| openat(directory, name, flags, Mode::empty())) {
        Ok(file) => locks.claim(&file) == Ok(Claim::Held) && unlink(directory, name).is_ok(),
        Err(errno) => errno == Errno::NOENT,
    }
}

fn unlink(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(), Errno> {
    uninterrupted(|| unlinkat(directory, name, AtFlags::empty()))
}
