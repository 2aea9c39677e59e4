//! Versions of a file: how far its metadata identify its content.

use super::stat::{Stat, stat_fd};
use rustix::fs::fstatfs;
use rustix::io::Errno;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use std::os::fd::{AsFd, BorrowedFd};

/// One version of a file, and what a validator made of its metadata is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The metadata.
    pub(crate) stat: Stat,
    /// Whether another content always has other metadata, a few named exceptions aside. Otherwise a tag is a weak one.
    pub(crate) is_strong: bool,
    /// Whether a tag may be handed out already. Until then the next change may leave the metadata as they are.
    pub(crate) is_settled: bool,
}

/// A reading of the clock that file systems stamp changes with, in nanoseconds since 1970.
///
/// The kernel advances it once a tick, so all changes within a tick have the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CoarseTime(i128);

impl CoarseTime {
    /// Reads the clock, without a system call.
    pub(crate) fn now() -> CoarseTime {
        CoarseTime(nanoseconds(clock_gettime(ClockId::RealtimeCoarse)))
    }
}

/// How a file system stamps the time of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ChangeTime {
    /// By the coarse clock, and more finely once somebody has read the previous time.
    Multigrain,
    /// By the coarse clock.
    Coarse,
    /// Perhaps by another machine's clock, or not at all: the file system is not known.
    Unknown,
}

/// Judges versions of files below one root.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionRule {
    /// The root's device. Most files are on it, and need no further system call.
    device: u64,
    change_time: ChangeTime,
    /// Two ticks of the coarse clock, in nanoseconds.
    two_ticks: i128,
}

impl VersionRule {
    /// Finds out about the file system of `root`.
    pub(super) fn of_root(root: BorrowedFd<'_>) -> Result<VersionRule, Errno> {
        let (_, stat) = stat_fd(root)?;
        Ok(VersionRule {
            device: stat.dev,
            change_time: ChangeTime::of(root),
            two_ticks: 2 * nanoseconds(clock_getres(ClockId::RealtimeCoarse)),
        })
    }

    /// Judges the metadata of an open file, which were read after the clock showed `before`.
    pub(super) fn judge(&self, file: impl AsFd, stat: Stat, before: CoarseTime) -> Version {
        let change_time =
            if stat.dev == self.device { self.change_time } else { ChangeTime::of(file.as_fd()) };
        Version {
            stat,
            is_strong: change_time != ChangeTime::Unknown,
            is_settled: is_settled(&stat, change_time, before, self.two_ticks),
        }
    }
}

/// Whether every later change of the file, and every later file with its inode number, has other metadata.
///
/// The rule relies on the change time (ctime): every write, truncation, rename, removal and setting of a time
/// renews it, and nobody can set it. `before` was read before `stat`. Therefore the kernel stamps any change that
/// `stat` does not show with the time `before` or a later one, and an older time cannot come again. A clock that is
/// read after `stat` proves nothing: the file may change between the two, and the reader may be preempted for long.
/// One tick is enough for this argument. The second one allows for a processor that sees a new tick late.
///
/// - A file system that keeps whole seconds needs two of them. Its times have 0 nanoseconds.
/// - Multigrain timestamps need no wait. `stat` marks the time as read, so the kernel stamps the next change of this
///   inode with a finer, later one. A later file with the same number does not get this time either: the
///   removal of the inode was such a change, and no later stamp is older than the finest one before it. A file that
///   was removed before `stat` may have been stamped without the mark, so it waits like the others.
///
/// What remains: changes through a shared mapping, which the kernel does not stamp one by one; a write that is under
/// way, which it stamps before it copies; a clock that is set back; a loss of power that keeps a change and loses its
/// stamp. With multigrain timestamps also an inode that leaves the kernel's memory, and with it the mark, within the
/// tick of its change; and a removal in the few instructions between the link count and the time of one `statx`.
fn is_settled(stat: &Stat, change_time: ChangeTime, before: CoarseTime, two_ticks: i128) -> bool {
    let has_whole_seconds = stat.ctime_nsec == 0;
    if change_time == ChangeTime::Multigrain && stat.is_linked && !has_whole_seconds {
        return true;
    }
    let wait = if has_whole_seconds { two_ticks.max(2 * SECOND) } else { two_ticks };
    let changed = i128::from(stat.ctime) * SECOND + i128::from(stat.ctime_nsec);
    changed + wait <= before.0
}

/// One second, in nanoseconds.
const SECOND: i128 = 1_000_000_000;

fn nanoseconds(time: Timespec) -> i128 {
    i128::from(time.tv_sec) * SECOND + i128::from(time.tv_nsec)
}

impl ChangeTime {
    fn of(file: BorrowedFd<'_>) -> ChangeTime {
        let Ok(file_system) = fstatfs(file) else {
            return ChangeTime::Unknown;
        };
        let release = rustix::system::uname();
        // The numbers have 32 bits, whatever the type of the field is.
        ChangeTime::of_magic(file_system.f_type as u32, release.release().to_bytes())
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: i128 = 4_000_000;
    const SECONDS: i64 = 1_000_000_000;

    fn changed_at(nanoseconds: u32) -> Stat {
        Stat {
            size: 1,
            mtime: 1,
            mtime_nsec: 0,
            ctime: SECONDS,
            ctime_nsec: nanoseconds,
            ino: 42,
            dev: 1,
            is_linked: true,
        }
    }

    /// Whether a tag may be sent when the clock shows so many nanoseconds after the change.
    fn settled(change_time: ChangeTime, stat: &Stat, age: i128) -> bool {
        let changed = i128::from(stat.ctime) * SECOND + i128::from(stat.ctime_nsec);
        is_settled(stat, change_time, CoarseTime(changed + age), 2 * TICK)
    }

    #[test]
    fn coarse_time_settles_after_two_ticks() {
        let stat = changed_at(4_000_000);
        for change_time in [ChangeTime::Coarse, ChangeTime::Unknown] {
            for (age, expected) in [
                (-SECOND, false),
                (-1, false),
                (0, false),
                (TICK, false),
                (2 * TICK - 1, false),
                (2 * TICK, true),
                (SECOND, true),
            ] {
                assert_eq!(settled(change_time, &stat, age), expected, "{age}");
            }
        }
    }

    #[test]
    fn multigrain_time_is_settled_at_once() {
        let stat = changed_at(4_000_000);
        assert!(settled(ChangeTime::Multigrain, &stat, 0));
        assert!(settled(ChangeTime::Multigrain, &stat, -SECOND));
    }

    #[test]
    fn removed_file_waits_for_ticks() {
        let stat = Stat { is_linked: false, ..changed_at(4_000_000) };
        assert!(!settled(ChangeTime::Multigrain, &stat, 2 * TICK - 1));
        assert!(settled(ChangeTime::Multigrain, &stat, 2 * TICK));
    }

    #[test]
    fn whole_seconds_settle_after_two() {
        let stat = changed_at(0);
        for change_time in [ChangeTime::Multigrain, ChangeTime::Coarse, ChangeTime::Unknown] {
            assert!(!settled(change_time, &stat, 2 * SECOND - 1));
            assert!(settled(change_time, &stat, 2 * SECOND));
        }
    }

    #[test]
    fn any_times_are_compared() {
        for ctime in [i64::MIN, -1, 0, i64::MAX] {
            let stat = Stat { ctime, ..changed_at(999_999_999) };
            let expected = ctime < SECONDS;
            let now = CoarseTime(i128::from(SECONDS) * SECOND);
            assert_eq!(is_settled(&stat, ChangeTime::Coarse, now, 2 * TICK), expected);
        }
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
    fn other_device_has_its_own_rule() {
        let root = tempfile::tempdir().unwrap();
        let directory = std::fs::File::open(root.path()).unwrap();
        let rule = VersionRule::of_root(directory.as_fd()).unwrap();
        assert!(rule.two_ticks > 0);
        std::fs::write(root.path().join("a"), "hello").unwrap();
        let file = std::fs::File::open(root.path().join("a")).unwrap();
        let (_, stat) = stat_fd(file.as_fd()).unwrap();
        assert!(stat.size == 5 && stat.is_linked && stat.dev == rule.device);
        // A rule for another root asks the file's own file system, and comes to the same.
        let elsewhere =
            VersionRule { device: rule.device + 1, change_time: ChangeTime::Unknown, ..rule };
        let later = CoarseTime(i128::MAX);
        let version = rule.judge(&file, stat, later);
        assert_eq!(elsewhere.judge(&file, stat, later), version);
        assert!(version.is_settled);
    }
}
