//! What a grader leaves behind that was killed with SIGKILL, and the next one's cleaning up after it.
//!
//! Everything that a grader makes outside its own memory bears its name: directories below the one for temporary
//! files, control groups, and a variable in the environment of whatever it starts. The name says which process it was,
//! so that nothing is taken away from one that lives.

use harness::proc;
use harness::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A variable in the environment of all that a check starts: the check's directory.
pub const CHECK_DIRECTORY: &str = "LAB_CHECK_DIRECTORY";

/// Where control groups of pids live: of version 1, and of version 2.
pub(crate) const CGROUPS: [&str; 2] = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"];

/// How long killed processes may take to be gone.
const KILL_TIMEOUT: Duration = Duration::from_secs(5);

/// The prefix of the names of all that this process makes in shared places.
pub fn name() -> String {
    let pid = std::process::id() as i32;
    format!("{}{pid}-{}-", prefix(), proc::started(pid).unwrap_or_default())
}

/// The part of the prefix for the namespace of process ids: those of another one, as of a container that shares the
/// directory, mean nothing here.
fn prefix() -> String {
    let space = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    let digits = |c: &char| c.is_ascii_digit();
    format!("lab-{}-", space.to_string_lossy().chars().filter(digits).collect::<String>())
}

/// Removes what dead graders have left; returns what it was.
pub fn sweep() -> Vec<String> {
    let mut swept = Vec::new();
    let directories = left_by_dead_graders(&std::env::temp_dir());
    for directory in &directories {
        swept.extend(kill_all(|| processes_of(directory)));
    }
    for home in CGROUPS {
        for cgroup in left_by_dead_graders(Path::new(home)) {
            let members = || {
                let list = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
                list.lines().filter_map(|line| line.parse().ok()).collect()
            };
            swept.extend(kill_all(members));
            // It goes a moment after its last member has gone.
            if wait::within(KILL_TIMEOUT, || fs::remove_dir(&cgroup).is_ok()) {
                swept.push(cgroup.display().to_string());
            }
        }
    }
    for directory in directories {
        if fs::remove_dir_all(&directory).is_ok() {
            swept.push(directory.display().to_string());
        }
    }
    swept
}

/// What lies in `home` and bears the name of a grader that is dead.
fn left_by_dead_graders(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home) else { return Vec::new() };
    let prefix = prefix();
    let dead = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(rest) = name.strip_prefix(&prefix) else { return false };
        let mut numbers = rest.split('-').map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(pid)), Some(Ok(started))) => proc::started(pid as i32) != Some(started),
            _ => false,
        }
    };
    entries.flatten().map(|entry| entry.path()).filter(dead).collect()
}

/// Processes that were started for a check with this directory, or whose program lies there.
fn processes_of(directory: &Path) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let own = std::process::id() as i32;
    let belongs = |pid: &i32| {
        let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).ok();
        let inside = |name: &str| link(name).is_some_and(|path| path.starts_with(directory));
        let marked = || {
            let wanted = format!("{CHECK_DIRECTORY}={}", directory.display());
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|one| one == wanted.as_bytes())
        };
        *pid != own && (inside("cwd") || inside("exe") || marked())
    };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(belongs).collect()
}

/// Kills processes until none is left; returns which there were.
fn kill_all(members: impl Fn() -> Vec<i32>) -> Vec<String> {
    let mut ended = Vec::new();
    wait::within(KILL_TIMEOUT, || {
        let left: Vec<i32> = members()
            .into_iter()
            .filter(|pid| proc::process(*pid).is_some_and(|process| process.state != 'Z'))
            .collect();
        for pid in &left {
            if kill(Pid::from_raw(*pid), Signal::SIGKILL).is_ok() {
                ended.push(format!("process {pid}"));
            }
        }
        left.is_empty()
    });
    ended.sort();
    ended.dedup();
    ended
}
