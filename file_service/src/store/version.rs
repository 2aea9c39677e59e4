//! Versions of a file: how far its metadata identify its content.

use super::filesystem::{ChangeTime, FileSystems};
use super::stat::Stat;
use rustix::time::{ClockId, Timespec, clock_getres, clock_gettime};
use std::os::fd::AsFd;

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

#[cfg(test)]
impl Version {
    /// A version that was complete at `mtime`, for tests of what is made of it.
    pub(crate) fn settled(size: u64, mtime: i64) -> Version {
        let (ctime, mount) = (mtime, Some(1));
        let stat = Stat {
            size,
            mtime,
            mtime_nsec: 500,
            ctime,
            ctime_nsec: 600,
            ino: 42,
            mount,
            is_linked: true,
        };
        Version { stat, is_strong: true, is_settled: true }
    }
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

/// Judges versions of files below one root.
#[derive(Clone, Copy, Debug)]
pub(super) struct VersionRule {
    file_systems: FileSystems,
    /// Two ticks of the coarse clock, in nanoseconds.
    two_ticks: i128,
}

impl VersionRule {
    pub(super) fn new(file_systems: FileSystems) -> VersionRule {
        let tick = nanoseconds(clock_getres(ClockId::RealtimeCoarse));
        VersionRule { file_systems, two_ticks: 2 * tick }
    }

    /// Judges the metadata of an open file, which were read after the clock showed `before`.
    pub(super) fn judge(&self, file: impl AsFd, stat: Stat, before: CoarseTime) -> Version {
        let change_time = self.file_systems.of(file.as_fd(), &stat).change_time;
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
            mount: Some(1),
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
}
