//! What the running kernel allows of each mechanism, as `/proc/sys` tells it.

use std::fs;
use std::io;
use std::path::Path;

/// One limit of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The mechanism that it bounds.
    pub mechanism: &'static str,
    /// What is bounded, with its unit.
    pub meaning: &'static str,
    /// The file below `/proc/sys` that holds the figure.
    pub file: &'static str,
}

/// The limits that an application meets first.
pub const LIMITS: &[Limit] = &[
    limit("pipe", "largest capacity an ordinary user may set, in bytes", "fs/pipe-max-size"),
    limit("POSIX queue", "messages in a queue", "fs/mqueue/msg_max"),
    limit("POSIX queue", "length of a message, in bytes", "fs/mqueue/msgsize_max"),
    limit("POSIX queue", "queues", "fs/mqueue/queues_max"),
    limit("System V queue", "bytes in a queue", "kernel/msgmnb"),
    limit("System V queue", "length of a message, in bytes", "kernel/msgmax"),
    limit("System V queue", "queues", "kernel/msgmni"),
    limit("System V segment", "size of a segment, in bytes", "kernel/shmmax"),
    limit("System V segment", "segments", "kernel/shmmni"),
    limit("System V semaphore", "per set, in all, per call, sets", "kernel/sem"),
    limit("datagram socket", "datagrams that wait at an AF_UNIX socket", "net/unix/max_dgram_qlen"),
];

const fn limit(mechanism: &'static str, meaning: &'static str, file: &'static str) -> Limit {
    Limit { mechanism, meaning, file }
}

impl Limit {
    /// The figure, or figures, as the kernel prints them.
    ///
    /// # Errors
    ///
    /// The kernel lacks the mechanism, or `/proc` is not mounted.
    pub fn read(&self) -> io::Result<String> {
        let text = fs::read_to_string(Path::new("/proc/sys").join(self.file))?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// The first figure in `file` below `/proc/sys`; `None` when the kernel lacks it or `/proc` is not
/// mounted, since a limit that cannot be read is left to the kernel to enforce.
pub(crate) fn value(file: &str) -> Option<u64> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(file)).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Whether this process may exceed the limits on queues (`CAP_SYS_RESOURCE`, capability 24).
pub(crate) fn may_exceed_queue_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.unwrap_or(0) >> CAP_SYS_RESOURCE & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_limits_are_numbers() {
        for limit in LIMITS {
            match limit.read() {
                Ok(text) => assert!(text.split(' ').all(|n| n.parse::<u64>().is_ok()), "{text}"),
                Err(error) => eprintln!("SKIPPED {}: {error}", limit.file),
            }
        }
    }
}
