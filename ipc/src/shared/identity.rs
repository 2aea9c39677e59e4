//! The identity of a process, in one word that fits an atomic.
//!
//! A process number alone is not enough: it is given to another process soon after. So the word holds the
//! time of the start as well, in ticks since the machine started, as `/proc/PID/stat` has it
//! (proc_pid_stat(5), field 22): 22 bits of number, which is as much as Linux gives out, and 42 of time.

use nix::errno::Errno;
use nix::unistd::Pid;

/// In place of an identity: the process has left in good order.
pub(crate) const GONE: u64 = u64::MAX;

const PID_BITS: u32 = 22;
const PID_MASK: u64 = (1 << PID_BITS) - 1;

/// The calling process.
pub(crate) fn own() -> u64 {
    let pid = nix::unistd::getpid().as_raw();
    let start = stat(pid).map_or(0, |(_, start)| start);
    (start << PID_BITS) | (u64::from(pid.unsigned_abs()) & PID_MASK)
}

/// The process number in it.
pub(crate) fn pid(identity: u64) -> i32 {
    i32::try_from(identity & PID_MASK).unwrap_or_default()
}

/// Whether it is the identity of the calling process, and not of the one that it was forked from.
pub(crate) fn is_own(identity: u64) -> bool {
    identity != GONE && pid(identity) == nix::unistd::getpid().as_raw()
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
        None => nix::sys::signal::kill(Pid::from_raw(pid), None) != Err(Errno::ESRCH),
    }
}

/// The state and the time of the start of process `pid`.
fn stat(pid: i32) -> Option<(char, u64)> {
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

    #[test]
    fn dead_process_is_not_alive() {
        let own = own();
        assert!(is_alive(own) && is_own(own));
        assert_eq!(pid(own), nix::unistd::getpid().as_raw());
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
