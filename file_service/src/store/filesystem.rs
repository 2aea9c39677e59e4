//! What is known of file systems: whether their sizes mean anything, and how they stamp changes.

use super::calls::uninterrupted;
use super::stat::{Stat, stat_fd};
use rustix::fs::fstatfs;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

/// What is known of one file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileSystem {
    /// Its files are made up while they are read, so that no size is known before.
    pub(super) is_pseudo: bool,
    /// How it stamps the time of a change.
    pub(super) change_time: ChangeTime,
}

/// How a file system stamps the time of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeTime {
    /// By the coarse clock, and more finely once a process has read the previous time.
    Multigrain,
    /// By the coarse clock.
    Coarse,
    /// Perhaps by another machine's clock, or not at all: the file system is not known.
    Unknown,
}

/// The file systems below one root.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileSystems {
    /// The root's mount. Most files are on it, and need no further system call. Their device would not do: an
    /// overlay file system has several.
    mount: Option<u64>,
    root: FileSystem,
}

impl FileSystems {
    /// Finds out about the file system of `root`.
    pub(super) fn below(root: BorrowedFd<'_>) -> Result<FileSystems, Errno> {
        let (_, stat) = stat_fd(root)?;
        Ok(FileSystems { mount: stat.mount, root: FileSystem::of(root) })
    }

    /// The file system of an open file with these metadata.
    pub(super) fn of(&self, file: BorrowedFd<'_>, stat: &Stat) -> FileSystem {
        let is_of_root = stat.mount.is_some() && stat.mount == self.mount;
        if is_of_root { self.root } else { FileSystem::of(file) }
    }
}

impl FileSystem {
    pub(super) fn of(file: BorrowedFd<'_>) -> FileSystem {
        let Ok(found) = uninterrupted(|| fstatfs(file)) else {
            return FileSystem { is_pseudo: false, change_time: ChangeTime::Unknown };
        };
        // The type of the field depends on the architecture; magic numbers have 32 bits.
        let magic = found.f_type as u32;
        let release = rustix::system::uname();
        FileSystem {
            is_pseudo: PSEUDO.contains(&magic),
            change_time: ChangeTime::of_magic(magic, release.release().to_bytes()),
        }
    }
}

/// The file systems on which the kernel answers a read by running code (`statfs.f_type`, from linux/magic.h and
/// the sources of each). Their files have size 0, a page, or all of an address space; some reads wait, or consume
/// what they return.
const PSEUDO: [u32; 23] = [
    0x0000_9fa0, // proc
    0x0000_9fa1, // openpromfs
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x6265_6570, // configfs
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x5a3c_69f0, // apparmorfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x0765_5821, // resctrl
    0xcafe_4a11, // bpf
    0x6165_676c, // pstore
    0xde5e_81e4, // efivarfs
    0x4249_4e4d, // binfmt_misc
    0x6573_5543, // fusectl
    0x1980_0202, // mqueue
    0x6e73_6673, // nsfs
    0x6e66_7364, // nfsd
    0x6759_6969, // rpc_pipefs
    0xabba_1974, // xenfs
];

impl ChangeTime {
    /// `release` is the kernel's: `6.13.1-generic`.
    fn of_magic(magic: u32, release: &[u8]) -> ChangeTime {
        // From linux/magic.h. ext2, ext3 and ext4 have one number.
        const EXT: u32 = 0xef53;
        const XFS: u32 = 0x5846_5342;
        const BTRFS: u32 = 0x9123_683e;
        const TMPFS: u32 = 0x0102_1994;
        const F2FS: u32 = 0xf2f5_2010;
        const OVERLAYFS: u32 = 0x794c_7630;
        const BCACHEFS: u32 = 0xca45_1a4e;
        // From OpenZFS.
        const ZFS: u32 = 0x2fc1_2fc1;
        match magic {
            EXT | XFS | BTRFS | TMPFS if has_multigrain_timestamps(release) => {
                ChangeTime::Multigrain
            }
            EXT | XFS | BTRFS | TMPFS | F2FS | OVERLAYFS | BCACHEFS | ZFS => ChangeTime::Coarse,
            _ => ChangeTime::Unknown,
        }
    }
}

/// Whether the kernel is Linux 6.13 or later.
fn has_multigrain_timestamps(release: &[u8]) -> bool {
    let mut numbers = release.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u32>().ok())
    });
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(major), Some(minor)) => (major, minor) >= (6, 13),
        _ => false,
    }
}

/// Whether a file of size 0 has content all the same, or cannot be read.
pub(super) fn has_content(fd: impl AsFd) -> bool {
    !matches!(uninterrupted(|| rustix::io::pread(&fd, &mut [0], 0)), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::path::Path;

    fn open(path: impl AsRef<Path>) -> (File, FileSystems) {
        let file = File::open(path).unwrap();
        let file_systems = FileSystems::below(file.as_fd()).unwrap();
        (file, file_systems)
    }

    #[test]
    fn pseudo_file_systems_are_recognized() {
        let directory = tempfile::tempdir().unwrap();
        let ((usual, root), (process, _)) = (open(directory.path()), open("/proc/self"));
        assert!(!FileSystem::of(usual.as_fd()).is_pseudo);
        assert!(FileSystem::of(process.as_fd()).is_pseudo);
        let is_pseudo =
            |file: &File| root.of(file.as_fd(), &stat_fd(file.as_fd()).unwrap().1).is_pseudo;
        assert!(!is_pseudo(&usual));
        assert!(is_pseudo(&process), "on another mount than the root");
    }

    #[test]
    fn content_behind_size_zero_is_found() {
        assert!(has_content(File::open("/proc/self/status").unwrap()));
        assert!(has_content(File::open("/proc/self/mem").unwrap()), "what cannot be read");
        assert!(!has_content(tempfile::tempfile().unwrap()));
    }

    #[test]
    fn file_system_decides_the_strength() {
        let class = ChangeTime::of_magic;
        for magic in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994] {
            assert_eq!(class(magic, b"6.13.0"), ChangeTime::Multigrain);
            assert_eq!(class(magic, b"6.12.99"), ChangeTime::Coarse);
        }
        for magic in [0xf2f5_2010, 0x794c_7630, 0xca45_1a4e, 0x2fc1_2fc1] {
            assert_eq!(class(magic, b"6.13.0"), ChangeTime::Coarse);
        }
        // NFS, SMB, FUSE, 9p, ramfs, vfat, nothing.
        for magic in [0x6969, 0xff53_4d42, 0x6573_5546, 0x0102_1997, 0x8584_58f6, 0x4d44, 0] {
            assert_eq!(class(magic, b"6.13.0"), ChangeTime::Unknown);
        }
    }

    #[test]
    fn release_decides_about_multigrain() {
        for (release, expected) in [
            (&b"6.13"[..], true),
            (b"6.13-rc1", true),
            (b"6.13.0-1-generic", true),
            (b"6.18.44", true),
            (b"7.0", true),
            (b"10.1", true),
            (b"6.12.30", false),
            (b"6.9", false),
            (b"5.15.0-130", false),
            (b"6", false),
            (b"6.", false),
            (b"linux", false),
            (b"", false),
            (b"99999999999.99999999999", false),
        ] {
            assert_eq!(has_multigrain_timestamps(release), expected, "{}", release.escape_ascii());
        }
    }

    #[test]
    fn other_mount_is_asked() {
        let directory = tempfile::tempdir().unwrap();
        let (file, root) = open(directory.path());
        let (_, stat) = stat_fd(file.as_fd()).unwrap();
        assert_eq!(stat.mount, root.mount);
        let unknown = FileSystem { is_pseudo: true, change_time: ChangeTime::Unknown };
        let cached = FileSystems { root: unknown, ..root };
        assert_eq!(cached.of(file.as_fd(), &stat), unknown, "the root's mount is not asked again");
        for mount in [None, stat.mount.map(|id| id + 1)] {
            let elsewhere = FileSystems { mount, ..cached };
            assert_eq!(elsewhere.of(file.as_fd(), &stat), root.root);
            assert_eq!(cached.of(file.as_fd(), &Stat { mount, ..stat }), root.root);
        }
    }
}
