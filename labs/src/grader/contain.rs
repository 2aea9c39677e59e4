//! Keeps what a check starts below this process, and removes it afterwards.

use crate::context::describe_processes;
use crate::sweep::{self, CGROUPS};
use harness::proc::{self, Process};
use harness::wait;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};
use std::{fs, io};

/// How long killed processes may take to be gone.
const CLEAN_UP_TIMEOUT: Duration = Duration::from_secs(10);

/// How many tasks a pids cgroup lets them have, threads counted too.
const TASKS_MAX: usize = 512;

/// Makes this process the subreaper: it inherits the orphans among its descendants.
///
/// # Errors
///
/// The kernel refuses.
pub fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Kills whatever is left below this process and waits for it.
pub(super) fn clean_up(
    worker: &mut Child,
    cgroup: Option<&Cgroup>,
    leftovers: &mut Vec<String>,
) -> io::Result<()> {
    let own = worker.id() as i32;
    let begun = Instant::now();
    let mut first = true;
    loop {
        let mut left = descendants();
        if let Some(cgroup) = cgroup {
            left.extend(cgroup.members().into_iter().filter_map(proc::process));
        }
        left.retain(|process| process.pid != own);
        if std::mem::take(&mut first) {
            let alive = left.iter().filter(|process| process.state != 'Z');
            leftovers.extend(
                alive.take(8).map(|process| describe_processes(std::slice::from_ref(process))),
            );
        }
        let _ = kill(Pid::from_raw(-own), Signal::SIGKILL);
        for process in &left {
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        let _ = worker.kill();
        let _ = worker.try_wait();
        let childless = reap_all();
        if childless && left.is_empty() {
            let _ = worker.wait();
            return Ok(());
        }
        if begun.elapsed() > CLEAN_UP_TIMEOUT {
            return Err(io::Error::other(format!(
                "cannot be ended: {}",
                describe_processes(&left)
            )));
        }
        wait::pause(Duration::from_millis(2));
    }
}

/// Waits for every child that has ended; gives whether none is left at all.
fn reap_all() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return false,
            Ok(_) => {}
            Err(_) => return true,
        }
    }
}

/// All processes below this one.
pub(super) fn descendants() -> Vec<Process> {
    let own = std::process::id() as i32;
    let mut found = vec![];
    let mut parents = vec![own];
    let all = all_processes();
    while let Some(parent) = parents.pop() {
        for child in all.iter().filter(|process| process.parent == parent && process.pid != own) {
            parents.push(child.pid);
            found.push(child.clone());
        }
    }
    found
}

fn all_processes() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(proc::process).collect()
}

/// A control group of pids, of version 1 or 2, where one can be made.
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    pub(super) fn around(pid: u32) -> Option<Cgroup> {
        let name = format!("{}{pid}", sweep::name());
        CGROUPS.iter().find_map(|home| {
            let cgroup = Path::new(home).join(&name);
            fs::create_dir(&cgroup).ok()?;
            let cgroup = Cgroup(cgroup);
            fs::write(cgroup.0.join("pids.max"), TASKS_MAX.to_string()).ok()?;
            fs::write(cgroup.0.join("cgroup.procs"), pid.to_string()).ok()?;
            Some(cgroup)
        })
    }

    fn members(&self) -> Vec<i32> {
        let list = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
        list.lines().filter_map(|line| line.parse().ok()).collect()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It goes a moment after its last member has gone.
        wait::within(Duration::from_secs(2), || fs::remove_dir(&self.0).is_ok());
    }
}
