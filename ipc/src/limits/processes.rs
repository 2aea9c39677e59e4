//! The limits on starts of processes and threads.

use std::fs;
use std::path::Path;
use std::str::FromStr;

use nix::sys::resource::Resource;
use nix::unistd::getuid;

use super::{soft, value};

/// Which of the limits on processes is reached. `fork(2)` has one errno for all of them.
pub(super) fn number() -> String {
    if let Some((directory, most)) = exhausted_cgroup() {
        return format!(
            "the limit on processes and threads is {most} in the cgroup {directory} (pids.max); end some, or raise the limit"
        );
    }
    let user = getuid();
    let own = soft(Resource::RLIMIT_NPROC);
    let running = tasks_of(user.as_raw());
    if let Some(own) = own
        && running >= own
    {
        return format!(
            "user {user} runs {running} processes and threads, and the limit is {own} (RLIMIT_NPROC, ulimit -u); end \
             some, or raise the limit"
        );
    }
    format!(
        "one of the limits on processes and threads is reached: {} of user {user} (RLIMIT_NPROC, ulimit -u), {} in \
         the machine (kernel.threads-max), {} pids (kernel.pid_max), or pids.max of a cgroup",
        shown(own),
        shown(value("kernel/threads-max")),
        shown(value("kernel/pid_max"))
    )
}

/// The cgroup of this process, or the one above it, that has as many processes as it may have, and that number.
fn exhausted_cgroup() -> Option<(String, u64)> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let root = match controllers {
            "" => Path::new("/sys/fs/cgroup"),
            "pids" => Path::new("/sys/fs/cgroup/pids"),
            _ => return None,
        };
        let group = root.join(path.trim_start_matches('/'));
        group.ancestors().take_while(|directory| directory.starts_with(root)).find_map(
            |directory| {
                let most = number_in(&directory.join("pids.max"))?;
                let current: u64 = number_in(&directory.join("pids.current"))?;
                (current >= most).then(|| (directory.display().to_string(), most))
            },
        )
    })
}

/// The processes and threads of a user that this process can see.
fn tasks_of(user: u32) -> u64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0 };
    let tasks = processes.flatten().filter_map(|process| {
        let status = fs::read_to_string(process.path().join("status")).ok()?;
        let field = |name| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        (field("Uid:")? == u64::from(user)).then(|| field("Threads:"))?
    });
    tasks.sum()
}

/// Why `fork(2)` gets no memory.
pub(super) fn memory() -> String {
    if children_have_other_namespace() {
        return "the first process of the pid namespace that this process made for its children has ended, and the \
                namespace takes no more; make a new one (unshare)"
            .to_owned();
    }
    "no memory for another process: the machine or the cgroup (memory.max) has none left, or \
     vm.overcommit_memory forbids a copy of this one"
        .to_owned()
}

/// The most that a program can be given at its start.
pub(super) fn arguments() -> String {
    format!(
        "arguments and environment may have a quarter of RLIMIT_STACK ({}, ulimit -s) together, and 128 \
         KiB each; pass more than that over a pipe",
        shown(soft(Resource::RLIMIT_STACK))
    )
}

/// Whether this process has made a pid namespace that its children, but not itself, live in.
fn children_have_other_namespace() -> bool {
    let namespace = |name| fs::read_link(Path::new("/proc/self/ns").join(name)).ok();
    // The name of a namespace whose first process has ended cannot be read.
    namespace("pid").is_some() && namespace("pid") != namespace("pid_for_children")
}

fn number_in<T: FromStr>(path: &Path) -> Option<T> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A limit in a message.
fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "no known limit".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_tasks_are_counted() {
        let own: u64 = fs::read_dir("/proc/self/task").unwrap().count() as u64;
        assert!(tasks_of(getuid().as_raw()) >= own.min(2));
        assert_eq!(tasks_of(u32::MAX - 7), 0);
    }
}
