//! What the running kernel allows of each mechanism, as `/proc/sys` tells it, and which limit a refusal means.
//!
//! # Refusals with several meanings
//!
//! The kernel has fewer error numbers than limits. Where one number stands for several limits, the library asks
//! the kernel for the limits when it makes the error: [`Error::Limit`](crate::Error::Limit) names the limit, its
//! value, and what to do. Between the refusal and the question other processes may have come or gone, so the
//! answer is a very good guess. The numbers are those of the calls' manual pages.
//!
//! | call | error | limit | how the library tells |
//! |---|---|---|---|
//! | any that makes a descriptor | `EMFILE` | `RLIMIT_NOFILE` | no other meaning |
//! | `mq_open` | `EMFILE` | `RLIMIT_NOFILE`, or `RLIMIT_MSGQUEUE` (bytes of the user's queues) | a descriptor can still be made: the second |
//! | `mq_open` | `ENOSPC` | `fs/mqueue/queues_max` | no other meaning |
//! | any that makes a descriptor | `ENFILE` | `fs/file-max` | no other meaning |
//! | `pipe2` | `ENFILE` | `fs/file-max`, or `fs/pipe-user-pages-hard` | another descriptor can still be made: the second |
//! | `fcntl(F_SETPIPE_SZ)` | `EPERM` | `fs/pipe-max-size`, or `fs/pipe-user-pages-soft` | the size is compared with the first |
//! | `fcntl(F_SETPIPE_SZ)` | `EBUSY` | none: the pipe holds more bytes | no other meaning |
//! | `msgget` | `ENOSPC` | `kernel/msgmni` | no other meaning |
//! | `semget` | `ENOSPC` | sets in all, or semaphores in all (`kernel/sem`) | the sets are counted |
//! | `semop` | `ERANGE` | the value (`SEMVMX`), or the undo account of this process (`SEMAEM`), 32,767 each | the value is asked for |
//! | `shmget` | `ENOSPC` | `kernel/shmmni` (segments), or `kernel/shmall` (pages) | the segments are counted |
//! | `shmget` | `EINVAL` | `kernel/shmmax` | no other meaning for a new segment |
//! | `mmap`, `shmat` | `ENOMEM` | `vm/max_map_count`, `RLIMIT_AS`, or memory | the mappings are counted |
//! | `mlock` | `ENOMEM`, `EPERM`, `EAGAIN` | `RLIMIT_MEMLOCK` | not used by this library |
//! | calls on files | `ENOSPC` | blocks, or inodes, of the file system | both are asked for |
//! | `ftruncate`, `fallocate` | SIGXFSZ | `RLIMIT_FSIZE` | asked before the call: the error is `EFBIG` |
//! | `sigqueue`, `timer_create` | `EAGAIN` | `RLIMIT_SIGPENDING` | no other meaning |
//! | `sendmsg` | `ETOOMANYREFS` | descriptors on their way, `RLIMIT_NOFILE` | no other meaning |
//! | `fork`, `pthread_create` | `EAGAIN` | `RLIMIT_NPROC`, `pids.max` of a cgroup, `kernel/threads-max`, or `kernel/pid_max` | each cgroup is asked, and the user's tasks are counted |
//! | `fork` | `ENOMEM` | memory, or a pid namespace whose first process has ended | the namespaces are compared |
//! | `execve` | `E2BIG` | a quarter of `RLIMIT_STACK`, 128 KiB for each argument | not told apart |
//!
//! A System V queue that has no timer left for a timeout does without one, see
//! [`SysvQueue`](crate::queue::SysvQueue#timeouts). A thread may hold 2,048 robust mutexes, see
//! [`Mutex`](crate::lock::Mutex#how-many-a-thread-may-hold).

mod processes;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statvfs::statvfs;

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
    values(file)?.first().copied()
}

/// As [`value`], for a file with several figures.
fn values(file: &str) -> Option<Vec<u64>> {
    let text = fs::read_to_string(Path::new("/proc/sys").join(file)).ok()?;
    text.split_whitespace().map(|figure| figure.parse().ok()).collect()
}

/// Whether this process may exceed the limits on queues (`CAP_SYS_RESOURCE`, capability 24).
pub(crate) fn may_exceed_queue_limits() -> bool {
    const CAP_SYS_RESOURCE: u32 = 24;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    effective.unwrap_or(0) >> CAP_SYS_RESOURCE & 1 == 1
}

/// Why a file of `bytes` is not allowed. The kernel sends SIGXFSZ, which ends the program, so this asks before.
pub(crate) fn file_size_reason(bytes: u64) -> Option<String> {
    let most = soft(Resource::RLIMIT_FSIZE).filter(|most| bytes > *most)?;
    Some(format!(
        "a file of this process, shared memory included, may have {most} bytes (RLIMIT_FSIZE), not {bytes}; raise the \
         limit (`ulimit -f`)"
    ))
}

/// Which limit the kernel meant when it refused `call` on `object`, and what to do. `None` when the error number
/// says all that is known.
pub(crate) fn reason(object: &str, call: &str, errno: Errno) -> Option<String> {
    match (call, errno) {
        ("mq_open", Errno::EMFILE) if descriptor_is_free() => {
            let most = soft(Resource::RLIMIT_MSGQUEUE)?;
            Some(format!(
                "the POSIX queues of this user may take {most} bytes together (RLIMIT_MSGQUEUE), and with this \
                 one they would take more; remove a queue or raise the limit (`ulimit -q`)"
            ))
        }
        (_, Errno::EMFILE) => {
            let most = soft(Resource::RLIMIT_NOFILE)?;
            Some(format!(
                "this process may have {most} descriptors open (RLIMIT_NOFILE), and none is free; close some or \
                 raise the limit (`ulimit -n`)"
            ))
        }
        // A call of the pipe module may make a pipe for itself, and a start makes pipes for the child.
        ("pipe2" | "pipe2 or open" | "read" | "write", Errno::ENFILE) if descriptor_is_free() => {
            let most = value("fs/pipe-user-pages-hard")?;
            Some(format!(
                "the pipes of this user may take {most} pages together (fs/pipe-user-pages-hard); close some"
            ))
        }
        (_, Errno::ENFILE) => {
            let most = value("fs/file-max")?;
            Some(format!("the machine may have {most} files open (fs/file-max), and none is free"))
        }
        ("mq_open", Errno::ENOSPC) => all_taken("POSIX queues", value("fs/mqueue/queues_max")?),
        ("msgget", Errno::ENOSPC) => all_taken("System V queues", value("kernel/msgmni")?),
        ("semget", Errno::ENOSPC) => {
            let [_, semaphores, _, sets] = values("kernel/sem")?[..] else { return None };
            if count("sem")? >= sets {
                all_taken("sets of System V semaphores", sets)
            } else {
                all_taken("System V semaphores", semaphores)
            }
        }
        ("shmget", Errno::ENOSPC) => {
            let segments = value("kernel/shmmni")?;
            if count("shm")? >= segments {
                all_taken("System V segments", segments)
            } else {
                all_taken("pages of System V segments", value("kernel/shmall")?)
            }
        }
        ("shmget", Errno::EINVAL) => {
            let most = value("kernel/shmmax")?;
            Some(format!("a System V segment has 1 to {most} bytes (kernel/shmmax)"))
        }
        ("mmap" | "shmat", Errno::ENOMEM) => mappings(),
        ("sigqueue" | "pidfd_send_signal", Errno::EAGAIN) => {
            let most = soft(Resource::RLIMIT_SIGPENDING)?;
            Some(format!(
                "{most} signals and timers of this user may wait (RLIMIT_SIGPENDING), and none is free; let the \
                 receivers take their signals or raise the limit (`ulimit -i`)"
            ))
        }
        ("sendmsg", Errno::ETOOMANYREFS) => {
            let most = soft(Resource::RLIMIT_NOFILE)?;
            Some(format!(
                "{most} descriptors of this user may be on their way (RLIMIT_NOFILE); let the receivers take them"
            ))
        }
        ("fcntl(F_SETPIPE_SZ)", Errno::EPERM) => {
            let most = value("fs/pipe-user-pages-soft")?;
            Some(format!(
                "the pipes of this user may take {most} pages together (fs/pipe-user-pages-soft); close some"
            ))
        }
        ("fcntl(F_SETPIPE_SZ)", Errno::EBUSY) => {
            Some("the pipe holds more bytes than that at the moment; read some first".to_owned())
        }
        ("fork" | "execve" | "pthread_create", Errno::EAGAIN) => Some(processes::number()),
        ("fork" | "execve" | "pthread_create", Errno::ENOMEM) => Some(processes::memory()),
        ("execve", Errno::E2BIG) => Some(processes::arguments()),
        (_, Errno::ENOSPC) => full(&directory_of(object, call)?),
        _ => None,
    }
}

fn all_taken(things: &str, most: u64) -> Option<String> {
    Some(format!(
        "the machine may have {most} {things}, and all are taken; remove some (the command `ipc` lists those that \
         were left behind)"
    ))
}

/// How many System V objects `/proc/sysvipc/FILE` lists; its first line has the titles.
fn count(file: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/sysvipc/{file}")).ok()?;
    Some(text.lines().count().saturating_sub(1) as u64)
}

fn descriptor_is_free() -> bool {
    EventFd::from_flags(EfdFlags::EFD_CLOEXEC).is_ok()
}

/// The limit that holds for this process; `None` without one.
fn soft(resource: Resource) -> Option<u64> {
    getrlimit(resource).ok().map(|(soft, _)| soft).filter(|soft| *soft != RLIM_INFINITY)
}

fn mappings() -> Option<String> {
    let most = value("vm/max_map_count")?;
    let now = fs::read_to_string("/proc/self/maps").ok()?.lines().count() as u64;
    if now >= most {
        return Some(format!(
            "this process has {now} mappings, the most that the machine allows (vm/max_map_count); drop some of \
             its objects in shared memory"
        ));
    }
    let bytes = soft(Resource::RLIMIT_AS)?;
    Some(format!("this process may map {bytes} bytes (RLIMIT_AS); raise the limit (`ulimit -v`)"))
}

/// The directory that a call on a file writes to: that of the path which is the object, or that of POSIX
/// shared memory.
fn directory_of(object: &str, call: &str) -> Option<PathBuf> {
    match call {
        "mkfifo" | "bind" | "open" => Path::new(object).parent().map(Path::to_owned),
        "sem_open" | "shm_open" | "open(O_TMPFILE)" | "linkat" => Some("/dev/shm".into()),
        // Of a memfd, whose memory lies in no directory, the object is not a name.
        "ftruncate" | "fallocate" | "posix_fallocate" if object.starts_with('/') => {
            Some("/dev/shm".into())
        }
        _ => None,
    }
}

/// What the file system of `directory` is short of.
fn full(directory: &Path) -> Option<String> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let space = statvfs(directory).ok()?;
    let unit = space.fragment_size();
    let directory = directory.display();
    // A file system without a fixed number of inodes has zero of zero.
    if space.files() > 0 && space.files_available() == 0 {
        let most = space.files();
        return Some(format!(
            "the file system of {directory} may have {most} files (inodes), and has as many; remove some"
        ));
    }
    let (free, most) = (space.blocks_available() * unit, space.blocks() * unit);
    Some(format!(
        "the file system of {directory} has {free} of {most} bytes free, too few; remove files or enlarge it"
    ))
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
