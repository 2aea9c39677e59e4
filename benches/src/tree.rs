//! The CPU time and the memory of a process and all its descendants.
//!
//! Processes come and go while they are read; one that is gone counts for nothing.

use crate::procfs::{self, KERNEL_STACK, Stat};
use rustix::process::Pid;
use std::ops::{Add, Sub};
use std::time::Duration;

/// The processes of the tree.
fn tree(root: Pid) -> Vec<Stat> {
    let mut buffer = Vec::new();
    let mut others: Vec<Stat> =
        procfs::pids().filter_map(|pid| Stat::read(pid, &mut buffer).ok()).collect();
    let mut tree: Vec<Stat> = others.extract_if(.., |p| p.pid == root.as_raw_pid()).collect();
    let mut seen = 0;
    while seen < tree.len() {
        let parent = tree[seen].pid;
        tree.extend(others.extract_if(.., |p| p.parent == parent));
        seen += 1;
    }
    tree
}

/// What a process itself has used beyond its ticks. They are whole ticks, rounded down twice: of a second
/// that sixty children share half would be lost. The scheduler's times are exact, but each thread has its
/// own, which go with it; so they are read where there is one thread.
fn beyond_ticks(process: &Stat) -> Duration {
    let directory = format!("/proc/{}", process.pid);
    let times = (process.threads == 1)
        .then(|| procfs::schedule_times(&directory, &mut Vec::new()))
        .flatten();
    times.map_or(Duration::ZERO, |(run, _)| run.saturating_sub(process.own.cpu_time()))
}

/// CPU time of the tree so far, children that were waited for included. Children that no process waits for
/// (SIGCHLD ignored, double fork) take their time with them.
pub fn cpu_time(root: Pid) -> Duration {
    let used = |process: &Stat| process.own.plus(process.reaped).cpu_time();
    tree(root).iter().map(|process| used(process) + beyond_ticks(process)).sum()
}

/// Memory of a tree, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// User memory; a page that n processes share counts as an nth of a page in each.
    pub pss: i64,
    /// The kernel's: page tables.
    pub page_tables: i64,
    /// The kernel's: a stack for each thread.
    pub kernel_stacks: i64,
    /// How many processes there are.
    pub processes: i64,
    /// How many threads they have.
    pub threads: i64,
}

impl Memory {
    /// All bytes of it.
    pub fn total(&self) -> i64 {
        self.pss + self.page_tables + self.kernel_stacks
    }
}

impl Add for Memory {
    type Output = Memory;

    fn add(self, other: Memory) -> Memory {
        Memory {
            pss: self.pss + other.pss,
            page_tables: self.page_tables + other.page_tables,
            kernel_stacks: self.kernel_stacks + other.kernel_stacks,
            processes: self.processes + other.processes,
            threads: self.threads + other.threads,
        }
    }
}

impl Sub for Memory {
    type Output = Memory;

    fn sub(self, other: Memory) -> Memory {
        Memory {
            pss: self.pss - other.pss,
            page_tables: self.page_tables - other.page_tables,
            kernel_stacks: self.kernel_stacks - other.kernel_stacks,
            processes: self.processes - other.processes,
            threads: self.threads - other.threads,
        }
    }
}

/// The memory of the tree now.
pub fn memory(root: Pid) -> Memory {
    tree(root)
        .iter()
        .filter_map(|process| memory_of(process.pid))
        .fold(Memory::default(), Memory::add)
}

fn memory_of(pid: i32) -> Option<Memory> {
    let mut buffer = Vec::new();
    let mut field = |file: &str, name: &[u8]| {
        procfs::read(&format!("/proc/{pid}/{file}"), &mut buffer).ok()?;
        procfs::number_after(&buffer, name).map(|number| number as i64)
    };
    let threads = field("status", b"\nThreads:")?;
    Some(Memory {
        pss: field("smaps_rollup", b"\nPss:")? * 1024,
        page_tables: field("status", b"\nVmPTE:")? * 1024,
        kernel_stacks: threads * KERNEL_STACK as i64,
        processes: 1,
        threads,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::{Command, Stdio};

    #[test]
    fn tree_contains_children() {
        let me = rustix::process::getpid();
        // `cat` waits for us to say something, and we do not.
        let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(tree(me).iter().any(|process| process.pid == Pid::from_child(&cat).as_raw_pid()));
        let memory = memory(me);
        assert!(memory.processes >= 2 && memory.threads >= 2, "{memory:?}");
        assert!(memory.pss > 0 && memory.page_tables > 0, "{memory:?}");
        drop(cat.stdin.take());
        cat.wait().unwrap();
    }

    /// Each of these has used less than a tick, which `stat` shows as none.
    #[test]
    fn usage_below_a_tick_counts() {
        for _ in 0..10 {
            let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let pid = Pid::from_child(&cat);
            let schedstat = format!("/proc/{}/schedstat", pid.as_raw_pid());
            let used = || -> Option<u64> {
                fs::read_to_string(&schedstat).ok()?.split(' ').next()?.parse().ok()
            };
            match used() {
                Some(before) => assert!(cpu_time(pid) >= Duration::from_nanos(before)),
                None => eprintln!("SKIPPED: this kernel has no schedstat"),
            }
            drop(cat.stdin.take());
            cat.wait().unwrap();
        }
    }

    #[test]
    fn ended_process_has_no_usage() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        child.wait().unwrap();
        assert_eq!(memory(pid), Memory::default());
        assert_eq!(cpu_time(pid), Duration::ZERO);
    }
}
