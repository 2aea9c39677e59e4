//! The identity of a process, in one word that fits an atomic.
//!
//! A process number alone is not enough: it is given to another process soon after. So the word holds the
//! time of the start as well, in ticks since the machine started, as `/proc/PID/stat` has it
//! (proc_pid_stat(5), field 22): 22 bits of number, which is as much as Linux gives out, and 42 of time.
//!
//! The number means something in one pid namespace only (pid_namespaces(7)). Where processes of several namespaces may
//! meet, the inode of the namespace stands next to the word.

use std::os::unix::fs::MetadataExt;

use nix::unistd::getpid;

use crate::object::process_exists;

/// What is known of the process that made a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Creator {
    /// It runs, and has this pid.
    Alive(i32),
    /// It had this pid, and has ended.
    Gone(i32),
    /// It was in another pid namespace, whose processes cannot be seen from here: it may run.
    OtherNamespace,
    /// The segment has no mark that could be judged here: `/proc` is missing, or another version of this library made
    /// the segment.
    Unknown,
}

impl Creator {
    /// Judges a process by its [`own`] word and the [`namespace`] that it was in.
    pub(super) fn judge(identity: u64, namespace: u64) -> Self {
        let here = self::namespace();
        match is_alive(identity) {
            _ if namespace != here && namespace != 0 && here != 0 => Self::OtherNamespace,
            true => Self::Alive(pid(identity)),
            false if namespace == 0 || here == 0 => Self::Unknown,
            false => Self::Gone(pid(identity)),
        }
    }

    /// Judges a process of which no more than the number is known, as this pid namespace has it.
    pub(super) fn of_pid(pid: i32) -> Self {
        match pid {
            // The kernel has no number for it here.
            ..=0 => Self::OtherNamespace,
            pid if process_exists(pid) => Self::Alive(pid),
            pid => Self::Gone(pid),
        }
    }

    /// Its pid in this pid namespace, where it is known.
    #[must_use]
    pub fn pid(self) -> Option<i32> {
        match self {
            Self::Alive(pid) | Self::Gone(pid) => Some(pid),
            Self::OtherNamespace | Self::Unknown => None,
        }
    }
}

/// The pid namespace of the calling process, by its inode; zero where `/proc` does not show it.
pub(crate) fn namespace() -> u64 {
    std::fs::metadata("/proc/self/ns/pid").map_or(0, |namespace| namespace.ino())
}

/// In place of an identity: the process has left in good order.
pub(crate) const GONE: u64 = u64::MAX;

const PID_BITS: u32 = 22;
const PID_MASK: u64 = (1 << PID_BITS) - 1;

/// The calling process.
pub(crate) fn own() -> u64 {
    let pid = getpid().as_raw();
    let start = stat(pid).map_or(0, |(_, start)| start);
    (start << PID_BITS) | (u64::from(pid.unsigned_abs()) & PID_MASK)
}

/// The process number in it.
pub(crate) fn pid(identity: u64) -> i32 {
    i32::try_from(identity & PID_MASK).unwrap_or_default()
}

/// Whether it is the identity of the calling process, and not of the one that it was forked from.
pub(crate) fn is_own(identity: u64) -> bool {
    identity != GONE && pid(identity) == getpid().as_raw()
}

/// Whether that process still runs. A zombie does not: it is never going to do anything again.
///
/// True where the kernel gives no answer, since a wrong "dead" costs more than a late one.
pub(crate) fn is_alive(identity: u64) -> bool {
    if identity == 0 || identity == GONE {
        return false;
    }
    let pid = pid(identity);
    match stat(pid) {
        Some((state, start)) => {
            let then = identity >> PID_BITS;
            let same = then == 0 || (start << PID_BITS) >> PID_BITS == then;
            same && !matches!(state, 'Z' | 'X')
        }
        None => process_exists(pid),
    }
}

/// The state and the time of the start of process `pid`; `None` if there is no such process, or if the `/proc` that is
/// mounted belongs to another pid namespace, where the number means another process.
fn stat(pid: i32) -> Option<(char, u64)> {
    let own = std::fs::read_link("/proc/self").ok()?;
    if own.to_str()?.parse() != Ok(getpid().as_raw()) {
        return None;
    }
    let line = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may contain spaces and parentheses.
    let mut fields = line.get(line.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::Pid;

    #[test]
    fn creator_of_other_namespace_is_unjudged() {
        let (own, here) = (own(), namespace());
        let dead = own ^ (1 << 40);
        let number = getpid().as_raw();
        assert_eq!(Creator::judge(own, here), Creator::Alive(number));
        assert_eq!(Creator::judge(dead, here), Creator::Gone(number));
        assert_eq!(Creator::judge(dead, here + 1), Creator::OtherNamespace);
        assert_eq!(Creator::judge(own, here + 1), Creator::OtherNamespace);
        assert_eq!(Creator::judge(dead, 0), Creator::Unknown);
    }

    #[test]
    fn dead_process_is_not_alive() {
        let own = own();
        assert!(is_alive(own) && is_own(own));
        assert_eq!(pid(own), getpid().as_raw());
        assert!(!is_alive(own ^ (1 << 40)), "the same number, started at another time");
        assert!(!is_alive(0) && !is_alive(GONE));

        let mut child = std::process::Command::new("true").spawn().unwrap();
        let number = u64::from(child.id());
        // Waits without reaping: the child is a zombie, and counts as dead.
        nix::sys::wait::waitid(
            nix::sys::wait::Id::Pid(Pid::from_raw(child.id().cast_signed())),
            nix::sys::wait::WaitPidFlag::WEXITED | nix::sys::wait::WaitPidFlag::WNOWAIT,
        )
        .unwrap();
        assert!(!is_alive(number));
        child.wait().unwrap();
        assert!(!is_alive(number));
    }
}
