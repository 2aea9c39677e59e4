//! The entries of a directory, as one reading of it has found them.

use super::calls::each_entry;
use super::stat::{stat_at, stat_fd};
use super::{Failure, FileSystem, Store, join};
use crate::protocol::{Code, RelPath, is_control, is_upload_name};
use rustix::fs::{FileType, OFlags};
use std::cmp::Ordering;
use std::os::fd::{AsFd, BorrowedFd};

/// The kinds of entries in a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// One line of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// A file or a directory; a link counts as what it points to.
    pub kind: Kind,
    /// Length in bytes; 0 for a directory.
    pub size: u64,
    /// Time of the last change, in whole seconds since 1970.
    pub mtime: i64,
    /// The name as it is on disk.
    pub name: &'a [u8],
}

/// The entries of a directory at the moment when it was read, in 27 bytes each and their names.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// For each entry its size, its time, its kind and the length of its name, then the name.
    records: Vec<u8>,
    /// Where the records begin, in the order of the listing.
    order: Vec<usize>,
}

/// The bytes of a record before its name.
const FIXED: usize = 8 + 8 + 1 + 2;

impl Listing {
    /// An empty listing, with memory for so much.
    fn with_capacity(Size { entries, bytes }: Size) -> Listing {
        let order = Vec::with_capacity(entries);
        let records = Vec::with_capacity(bytes - entries * size_of::<usize>());
        Listing { records, order }
    }

    /// How many bytes an entry takes whose name has `length` bytes.
    fn size_of(length: usize) -> usize {
        size_of::<usize>() + FIXED + length
    }

    /// How many bytes the entries take.
    pub(crate) fn size(&self) -> usize {
        self.records.len() + self.order.len() * size_of::<usize>()
    }

    /// Adds an entry behind the others.
    pub(crate) fn push(&mut self, entry: Entry<'_>) {
        // No file system has names of 64 KiB.
        let Ok(length) = u16::try_from(entry.name.len()) else { return };
        self.order.push(self.records.len());
        self.records.extend_from_slice(&entry.size.to_ne_bytes());
        self.records.extend_from_slice(&entry.mtime.to_ne_bytes());
        self.records.push(u8::from(entry.kind == Kind::Directory));
        self.records.extend_from_slice(&length.to_ne_bytes());
        self.records.extend_from_slice(entry.name);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The entry at this place of the order.
    ///
    /// # Panics
    ///
    /// There are not so many.
    pub fn entry(&self, index: usize) -> Entry<'_> {
        entry_at(&self.records, self.order[index])
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.order.iter().map(|&start| entry_at(&self.records, start))
    }

    /// Changes the order. No two entries have one name.
    pub(crate) fn sort_by(&mut self, compare: impl Fn(Entry<'_>, Entry<'_>) -> Ordering) {
        let Listing { records, order } = self;
        order.sort_unstable_by(|&a, &b| compare(entry_at(records, a), entry_at(records, b)));
    }
}

fn entry_at(records: &[u8], start: usize) -> Entry<'_> {
    let mut rest = &records[start..];
    let size = u64::from_ne_bytes(take(&mut rest));
    let mtime = i64::from_ne_bytes(take(&mut rest));
    let [is_directory] = take(&mut rest);
    let length = u16::from_ne_bytes(take(&mut rest));
    let kind = if is_directory == 0 { Kind::File } else { Kind::Directory };
    Entry { kind, size, mtime, name: &rest[..usize::from(length)] }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let (taken, rest) = bytes.split_first_chunk().expect("a whole record");
    *bytes = rest;
    *taken
}

/// The outcome of reading a directory whose listing is to be small.
#[derive(Debug)]
pub(crate) enum Listed {
    /// All of it.
    Whole(Listing),
    /// It is larger. Its size counts entries that the listing leaves out, too.
    Larger(Size),
}

/// What a listing takes in memory.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    entries: usize,
    /// Those of the names are among them.
    pub(crate) bytes: usize,
}

impl Store {
    /// The entries of `directory`, which is open as `fd`, sorted by the bytes of their names.
    ///
    /// Left out is what no request could fetch: special files, files of pseudo file systems, links that lead
    /// outside or nowhere, names with control bytes, and uploads in progress.
    ///
    /// # Errors
    ///
    /// The system's error when the directory itself cannot be read; an entry that vanishes meanwhile is
    /// not an error.
    pub fn list(&self, directory: &RelPath, fd: impl AsFd) -> Result<Listing, Failure> {
        let listing = Listing::default();
        self.read_directory(listing, directory, fd.as_fd(), |_, _| Ok(true), || Ok(()))
    }

    /// The entries of `directory` as [`list`](Store::list) returns them, if they take at most `most` bytes. If not,
    /// the rest of the directory is read without a look at its files, which is several times as quick. Calls `proceed`
    /// after each entry.
    ///
    /// # Errors
    ///
    /// The same, and that of `proceed`.
    pub(crate) fn list_within(
        &self,
        most: usize,
        directory: &RelPath,
        fd: impl AsFd,
        proceed: impl Fn() -> Result<(), Failure>,
    ) -> Result<Listed, Failure> {
        let mut size = Size::default();
        let fits = |_: &Listing, name: &[u8]| {
            size.entries += 1;
            size.bytes += Listing::size_of(name.len());
            Ok(size.bytes <= most)
        };
        let listing =
            self.read_directory(Listing::default(), directory, fd.as_fd(), fits, proceed)?;
        Ok(if size.bytes <= most { Listed::Whole(listing) } else { Listed::Larger(size) })
    }

    /// The entries of `directory` as [`list`](Store::list) returns them, which take about `size`. Calls `proceed` after
    /// each entry.
    ///
    /// # Errors
    ///
    /// The same, and that of `proceed`.
    pub(crate) fn list_larger(
        &self,
        size: Size,
        directory: &RelPath,
        fd: impl AsFd,
        proceed: impl Fn() -> Result<(), Failure>,
    ) -> Result<Listing, Failure> {
        let listing = Listing::with_capacity(size);
        self.read_directory(listing, directory, fd.as_fd(), |_, _| Ok(true), proceed)
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
        fd: impl AsFd,
    ) -> Result<Listing, Failure> {
        let too_large = |listing: &Listing| listing.len() > most;
        let fits = |listing: &Listing, _: &[u8]| {
            if too_large(listing) { Err(Code::TooLarge.into()) } else { Ok(true) }
        };
        let listing = Listing::default();
        let listing = self.read_directory(listing, directory, fd.as_fd(), fits, || Ok(()))?;
        if too_large(&listing) { Err(Code::TooLarge.into()) } else { Ok(listing) }
    }

    /// Adds to `listing` the entries of `directory` whose names `is_wanted`, which may also fail; sorts all by their
    /// names. Removes what killed servers left. Calls `proceed` after each entry.
    fn read_directory(
        &self,
        mut listing: Listing,
        directory: &RelPath,
        fd: BorrowedFd<'_>,
        mut is_wanted: impl FnMut(&Listing, &[u8]) -> Result<bool, Failure>,
        proceed: impl Fn() -> Result<(), Failure>,
    ) -> Result<Listing, Failure> {
        let mut leftovers = Vec::new();
        let is_pseudo = FileSystem::of(fd).is_pseudo;
        each_entry(fd, |entry| {
            let name = entry.file_name().to_bytes();
            if is_upload_name(name) {
                leftovers.push(name.to_vec());
            } else if name != b"."
                && name != b".."
                && !name.iter().any(|&b| is_control(b))
                && is_wanted(&listing, name)?
                && let Some(entry) = self.entry(directory, fd, is_pseudo, name, entry.file_type())
            {
                listing.push(entry);
            }
            proceed()
        })?;
        proceed()?;
        listing.sort_by(|a, b| a.name.cmp(b.name));
        if self.writable {
            for name in leftovers {
                self.reclaim(fd, &name);
            }
        }
        Ok(listing)
    }

    fn entry<'a>(
        &self,
        directory: &RelPath,
        fd: BorrowedFd<'_>,
        is_pseudo: bool,
        name: &'a [u8],
        kind: FileType,
    ) -> Option<Entry<'a>> {
        // Most entries are files and directories. A link must be resolved below the root, not below its directory.
        let found = match kind {
            FileType::RegularFile | FileType::Directory | FileType::Unknown => {
                Some(stat_at(fd, name).ok()?)
            }
            FileType::Symlink => None,
            _ => return None,
        };
        let (kind, stat, is_pseudo) = match found {
            Some((kind, stat)) if kind != FileType::Symlink => (kind, stat, is_pseudo),
            _ => {
                let target = self.resolve(&join(directory.as_bytes(), name), OFlags::PATH).ok()?;
                let (kind, stat) = stat_fd(target.as_fd()).ok()?;
                (kind, stat, self.file_systems.of(target.as_fd(), &stat).is_pseudo)
            }
        };
        let (kind, size) = match kind {
            FileType::RegularFile if is_pseudo => return None,
            FileType::RegularFile => (Kind::File, stat.size),
            FileType::Directory => (Kind::Directory, 0),
            _ => return None,
        };
        Some(Entry { kind, size, mtime: stat.mtime, name })
    }
}
