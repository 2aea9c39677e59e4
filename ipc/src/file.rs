//! Files behind names: which one a name means now, and which processes have it open.

use std::collections::{BTreeSet, HashMap};
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

/// The processes that have each file open, for all processes that this user may look at.
///
/// Descriptors (a queue is one) and mappings (a semaphore is one). A process that ends meanwhile, or
/// belongs to somebody else, is passed over.
pub(crate) fn open_files() -> HashMap<FileIdentity, BTreeSet<i32>> {
    let mut users: HashMap<FileIdentity, BTreeSet<i32>> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in processes {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        let descriptors = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
        // `metadata` follows the link to the open file, whatever became of its name.
        let descriptors = descriptors.filter_map(|descriptor| fs::metadata(descriptor.path()).ok());
        for metadata in descriptors {
            users.entry(FileIdentity::of(&metadata)).or_default().insert(pid);
        }
        for identity in mapped_files(&process.path().join("maps")) {
            users.entry(identity).or_default().insert(pid);
        }
    }
    users
}

/// The files in a `maps` table, whose lines are: range, rights, offset, major:minor, inode, path.
fn mapped_files(maps: &Path) -> Vec<FileIdentity> {
    let text = fs::read(maps).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let identity = |line: &str| {
        let mut fields = line.split_whitespace().skip(3);
        let (major, minor) = fields.next()?.split_once(':')?;
        let number = |digits| u64::from_str_radix(digits, 16).ok();
        let device = nix::sys::stat::makedev(number(major)?, number(minor)?);
        let inode = fields.next()?.parse().ok().filter(|inode| *inode != 0)?;
        Some(FileIdentity { device, inode })
    };
    text.lines().filter_map(identity).collect()
}
