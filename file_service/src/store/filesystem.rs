//! File systems whose files are made up while they are read, so that no size is known before.

use super::stat::stat_fd;
use rustix::fs::fstatfs;
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

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

/// Whether the file system of `fd` is one of these. One that does not answer is not.
pub(super) fn is_pseudo(fd: BorrowedFd<'_>) -> bool {
    // The type of the field depends on the architecture; magic numbers have 32 bits.
    fstatfs(fd).is_ok_and(|stat| PSEUDO.contains(&(stat.f_type as u32)))
}

/// The mount of the root. Nearly every file is on it, and needs no system call of its own.
#[derive(Debug)]
pub(super) struct RootMount {
    /// None where the kernel does not number mounts.
    id: Option<u64>,
    is_pseudo: bool,
}

impl RootMount {
    pub(super) fn of(root: BorrowedFd<'_>) -> Result<RootMount, Errno> {
        let (.., id) = stat_fd(root)?;
        Ok(RootMount { id, is_pseudo: is_pseudo(root) })
    }

    /// Whether `fd`, which is on the mount `id`, is on a pseudo file system.
    pub(super) fn is_pseudo(&self, fd: BorrowedFd<'_>, id: Option<u64>) -> bool {
        if id.is_some() && id == self.id { self.is_pseudo } else { is_pseudo(fd) }
    }
}

/// Whether a file of size 0 has content all the same, or cannot be read.
pub(super) fn has_content(fd: impl AsFd) -> bool {
    !matches!(rustix::io::pread(fd, &mut [0], 0), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::path::Path;

    fn mount(path: impl AsRef<Path>) -> (File, RootMount) {
        let file = File::open(path).unwrap();
        let mount = RootMount::of(file.as_fd()).unwrap();
        (file, mount)
    }

    #[test]
    fn pseudo_file_systems_are_recognized() {
        let directory = tempfile::tempdir().unwrap();
        let ((usual, root), (process, _)) = (mount(directory.path()), mount("/proc/self"));
        let id = |file: &File| stat_fd(file.as_fd()).unwrap().2;
        assert!(!is_pseudo(usual.as_fd()));
        assert!(is_pseudo(process.as_fd()));
        assert!(!root.is_pseudo(usual.as_fd(), id(&usual)));
        assert!(root.is_pseudo(process.as_fd(), id(&process)));
        assert!(root.is_pseudo(process.as_fd(), None), "without numbers of mounts");
    }

    #[test]
    fn content_behind_size_zero_is_found() {
        assert!(has_content(File::open("/proc/self/status").unwrap()));
        assert!(has_content(File::open("/proc/self/mem").unwrap()), "what cannot be read");
        assert!(!has_content(tempfile::tempfile().unwrap()));
    }
}
