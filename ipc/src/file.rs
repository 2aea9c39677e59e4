//! Files behind names: which one a name means now.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::sys::Owner;

/// Device and inode: tell a file from a later one of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl FileIdentity {
    pub(crate) fn new(device: u64, inode: u64) -> Self {
        Self { device, inode }
    }

    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    pub(crate) fn of_descriptor(descriptor: impl AsFd) -> nix::Result<Self> {
        let stat = nix::sys::stat::fstat(descriptor)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino })
    }
}

/// The path of a FIFO or socket, removed when this is dropped by the process that made it. A path that by then
/// means another file is left alone.
#[derive(Debug)]
pub(crate) struct OwnedPath {
    /// Absolute, so that the right name is removed even after a change of the working directory.
    path: PathBuf,
    identity: FileIdentity,
    owner: Owner,
}

impl OwnedPath {
    /// The caller has made `path` absolute, and read `metadata` from it without following a link.
    pub(crate) fn new(path: PathBuf, metadata: &fs::Metadata) -> Self {
        Self { path, identity: FileIdentity::of(metadata), owner: Owner::here() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnedPath {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            return;
        }
        let current = fs::symlink_metadata(&self.path).map(|metadata| FileIdentity::of(&metadata));
        if current.is_ok_and(|current| current == self.identity) {
            // Another process may have removed it just now; there is nobody to tell about the rest.
            let _ = nix::unistd::unlink(&self.path);
        }
    }
}
