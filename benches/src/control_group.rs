//! A control group (cgroup v2) for a measured server.
//!
//! The kernel learns from samples, one per tick, whether a process runs in user or in kernel mode. A process that ends
//! before a tick meets it has no split between the two. A control group adds the samples of all its processes, ended
//! ones included, so its split is right where that of every single process is chance.
//!
//! Without cgroup v2, or without the permission to make a group, a server runs without one.

use crate::procfs::{number_after, read};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Access, access};
use std::env;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The environment variable that names the file by which a process joins a group.
const JOIN: &str = "MEASURED_IN";

/// How long a removal waits for killed processes to be gone.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long each of its attempts waits.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// Removes a group after this process, which holds the other end of standard input, has been killed. The server has
/// been asked to stop by then (`tether`); what is left of it after ten seconds is killed.
const REMOVER: &str = r#"read -r _
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    [ -d "$1" ] || exit 0
    rmdir "$1" 2>/dev/null && exit 0
    sleep 1
done
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    echo 1 >"$1/cgroup.kill"
    sleep 1
    rmdir "$1" && exit 0
done"#;

/// A group for one server. Dropping it kills the processes that are left in it and removes it.
#[derive(Debug)]
pub(crate) struct ControlGroup {
    directory: PathBuf,
    remover: Option<Child>,
}

impl ControlGroup {
    /// Makes a group below that of this process; `None` where that is not possible.
    pub(crate) fn create() -> Option<ControlGroup> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("measured-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let parent = directory_of("self")?;
        access(&parent, Access::WRITE_OK).ok()?;
        let directory = parent.join(name);
        // Started first: this process may be killed at any moment.
        let mut remover = Command::new("sh");
        remover.args(["-c", REMOVER, "sh"]).arg(&directory);
        // In a process group of its own, which Ctrl-C at a terminal does not reach.
        remover.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let group = ControlGroup { remover: remover.spawn().ok(), directory };
        fs::create_dir(&group.directory).ok()?;
        // Pressure figures would cost the server some time at each context switch.
        let _ = fs::write(group.directory.join("cgroup.pressure"), "0");
        Some(group)
    }

    /// Marks `command` as one whose process joins this group ([`join`]).
    pub(crate) fn mark(&self, command: &mut Command) {
        command.env(JOIN, self.directory.join("cgroup.procs"));
    }

    /// Kills what is left in the group and removes it; returns whether that was possible in time.
    fn remove(&self) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            // Read first: a change after that, as when the last process is gone, wakes the poll.
            let events = File::open(self.directory.join("cgroup.events"));
            let events =
                events.and_then(|mut file| file.read_to_end(&mut Vec::new()).map(|_| file));
            if fs::remove_dir(&self.directory).is_ok() || !self.directory.exists() {
                return true;
            }
            let Ok(events) = events else { return false };
            let _ = fs::write(self.directory.join("cgroup.kill"), "1");
            let _ = poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&WAIT));
        }
        false
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let removed = self.remove();
        if let Some(remover) = &mut self.remover {
            if removed {
                let _ = remover.kill();
                let _ = remover.wait();
            } else {
                // It goes on in its own time, once its standard input ends.
                drop(remover.stdin.take());
            }
        }
    }
}

/// Joins the group that this process was marked for, if it was. A group that cannot be joined stays empty, and is not
/// used for any figure then.
pub(crate) fn join() {
    if let Some(path) = env::var_os(JOIN) {
        let _ = fs::write(path, "0");
    }
}

/// The CPU time of a group, as the kernel counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl CpuTime {
    /// Reads that of a group, which began with the group.
    pub(crate) fn read(group: &Path, buffer: &mut Vec<u8>) -> Option<CpuTime> {
        read(group.join("cpu.stat").to_str()?, buffer).ok()?;
        let time = |name| Some(Duration::from_micros(number_after(buffer, name)?));
        Some(CpuTime { user: time(b"\nuser_usec")?, system: time(b"\nsystem_usec")? })
    }
}

/// The group of a process, if all processes in it and below it are among `members`.
pub(crate) fn exclusive(pid: i32, members: impl Fn(i32) -> bool) -> Option<PathBuf> {
    let group = directory_of(&pid.to_string())?;
    let below = fs::read_dir(&group).ok()?.flatten();
    if below.into_iter().any(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        return None;
    }
    let processes = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    let mut pids = processes.lines().map(str::parse::<i32>);
    pids.all(|pid| pid.is_ok_and(&members)).then_some(group)
}

/// The directory of a process's group of version 2.
fn directory_of(pid: &str) -> Option<PathBuf> {
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::"))?;
    let (root, point) = mount(&fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    let below = Path::new(path).strip_prefix(root).ok()?;
    Some(point.join(below)).filter(|directory| directory.is_dir())
}

/// The group that is mounted, and where.
fn mount(info: &str) -> Option<(PathBuf, PathBuf)> {
    info.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let mut fields = fields.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        kind.starts_with("cgroup2 ").then(|| (root.into(), point.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};

    #[test]
    fn mount_of_version_2_is_found() {
        let info = "25 1 0:20 / /sys/fs/cgroup/cpu rw shared:7 - cgroup cgroup rw,cpu\n\
                    26 1 0:21 /docker/a /sys/fs/cgroup/unified rw,nosuid - cgroup2 none rw\n";
        let found = mount(info).unwrap();
        assert_eq!(found, ("/docker/a".into(), "/sys/fs/cgroup/unified".into()));
        assert_eq!(mount("25 1 0:20 / / rw - ext4 /dev/vda rw\n"), None);
    }

    #[test]
    fn dropped_group_kills_and_vanishes() {
        let Some(group) = ControlGroup::create() else {
            return eprintln!("SKIPPED: no control group of version 2 can be made here");
        };
        let mut command = Command::new("sh");
        // A server and its child. The child has another standard output: `tail` ends when nothing reads that.
        command.args(["-c", "echo 0 >$MEASURED_IN; tail -f /dev/null >/dev/null & echo $!; wait"]);
        group.mark(&mut command);
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let child: i32 = line.trim().parse().unwrap();
        let shell = i32::try_from(server.id()).unwrap();
        assert_eq!(exclusive(shell, |pid| pid == shell), None, "its child is no member");
        let found = exclusive(shell, |pid| [shell, child].contains(&pid)).unwrap();
        assert_eq!(found, group.directory);
        assert!(CpuTime::read(&found, &mut Vec::new()).is_some());
        let begin = Instant::now();
        drop(group);
        let state = ["cgroup.events", "cgroup.procs"].map(|f| fs::read_to_string(found.join(f)));
        assert!(!found.exists(), "after {:?}: {state:?}", begin.elapsed());
        server.wait().unwrap();
    }
}
