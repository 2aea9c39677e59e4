//! The metadata of a file that replies need.

use super::calls::uninterrupted;
use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use rustix::io::Errno;
use rustix::path::Arg;
use std::os::fd::BorrowedFd;

/// The metadata of a file that replies need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change of the content, in whole seconds since 1970 (rounded down). The file's owner can set it.
    pub mtime: i64,
    /// The rest of that time, in nanoseconds.
    pub mtime_nsec: u32,
    /// Time of the last change of the inode, in whole seconds since 1970 (rounded down). Nobody can set it.
    pub ctime: i64,
    /// The rest of that time, in nanoseconds.
    pub ctime_nsec: u32,
    /// The inode's number. The file system may give it to another file once this one is removed.
    pub ino: u64,
    /// The number of the mount, where the kernel numbers mounts (Linux 5.8).
    pub mount: Option<u64>,
    /// Whether the file has a name, and is not removed.
    pub is_linked: bool,
}

/// The kind and the metadata of an open file.
pub(super) fn stat_fd(fd: BorrowedFd<'_>) -> Result<(FileType, Stat), Errno> {
    stat(fd, c"", AtFlags::EMPTY_PATH)
}

/// The kind and the metadata of a name in a directory; a link is not followed.
pub(super) fn stat_at(directory: BorrowedFd<'_>, name: &[u8]) -> Result<(FileType, Stat), Errno> {
    stat(directory, name, AtFlags::SYMLINK_NOFOLLOW)
}

fn stat(
    fd: BorrowedFd<'_>,
    name: impl Arg + Copy,
    flags: AtFlags,
) -> Result<(FileType, Stat), Errno> {
    let mask = StatxFlags::TYPE
        | StatxFlags::SIZE
        | StatxFlags::MTIME
        | StatxFlags::CTIME
        | StatxFlags::INO
        | StatxFlags::NLINK
        | StatxFlags::MNT_ID;
    let stat = uninterrupted(|| statx(fd, name, flags, mask))?;
    let has_mount = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::MNT_ID);
    Ok((
        FileType::from_raw_mode(u32::from(stat.stx_mode)),
        Stat {
            size: stat.stx_size,
            mtime: stat.stx_mtime.tv_sec,
            mtime_nsec: stat.stx_mtime.tv_nsec,
            ctime: stat.stx_ctime.tv_sec,
            ctime_nsec: stat.stx_ctime.tv_nsec,
            ino: stat.stx_ino,
            mount: has_mount.then_some(stat.stx_mnt_id),
            is_linked: stat.stx_nlink > 0,
        },
    ))
}
