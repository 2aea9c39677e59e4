//! What `/proc` says of a process and all its descendants.
//!
//! Processes come and go while they are looked at; one that is gone counts for nothing.

use rustix::process::Pid;
use std::fs;
use std::ops::{Add, Sub};
use std::time::Duration;

/// Kernel memory that every thread has for its stack, on the usual architectures.
const KERNEL_STACK: u64 = 16 * 1024;

/// The fields of `/proc/PID/stat` that are wanted here.
struct Stat {
    pid: i32,
    parent: i32,
    /// Processor time of its own, and of the children it has waited for, in ticks.
    ticks: u64,
    /// Of its own alone.
    own_ticks: u64,
    threads: u64,
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name is in parentheses and may hold anything, parentheses too; field 3 comes after it.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        pid,
        parent: fields.get(1)?.parse().ok()?,
        ticks: number(14)? + number(15)? + number(16)? + number(17)?,
        own_ticks: number(14)? + number(15)?,
        threads: number(20)?,
    })
}

impl Stat {
    /// What the process itself has used beyond its ticks. They are whole ticks, rounded down twice: of a second that sixty
    /// children share half would be lost. The scheduler's books are exact, but each thread has its own, which go
    /// with it; so they are asked where there is one thread.
    fn beyond_ticks(&self) -> Duration {
        let books = (self.threads == 1)
            .then(|| fs::read_to_string(format!("/proc/{}/schedstat", self.pid)));
        let nanos =
            books.and_then(Result::ok).and_then(|text| text.split(' ').next()?.parse().ok());
        nanos.map(Duration::from_nanos).unwrap_or_default().saturating_sub(time(self.own_ticks))
    }
}

fn time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

fn tree(root: Pid) -> Vec<Stat> {
    let mut others: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .collect();
    let mut tree: Vec<Stat> = others.extract_if(.., |p| p.pid == root.as_raw_pid()).collect();
    let mut seen = 0;
    while seen < tree.len() {
        let parent = tree[seen].pid;
        tree.extend(others.extract_if(.., |p| p.parent == parent));
        seen += 1;
    }
    tree
}

/// Processor time of the tree so far, children that were waited for included. Children that nobody waits
/// for (SIGCHLD ignored, double fork) take their time with them.
pub fn cpu_time(root: Pid) -> Duration {
    tree(root).iter().map(|process| time(process.ticks) + process.beyond_ticks()).sum()
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
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let threads = field(&status, "Threads:")?;
    Some(Memory {
        pss: field(&rollup, "Pss:")? * 1024,
        page_tables: field(&status, "VmPTE:")? * 1024,
        kernel_stacks: threads * KERNEL_STACK as i64,
        processes: 1,
        threads,
    })
}

/// The number behind `name` at the start of a line.
fn field(text: &str, name: &str) -> Option<i64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_tree_has_its_children_in_it() {
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

    /// Each of these has used less than a tick, which is told as none.
    #[test]
    fn parts_of_a_tick_count() {
        for _ in 0..10 {
            let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            let pid = Pid::from_child(&cat);
            let books = format!("/proc/{}/schedstat", pid.as_raw_pid());
            let used = || -> Option<u64> {
                fs::read_to_string(&books).ok()?.split(' ').next()?.parse().ok()
            };
            match used() {
                Some(before) => assert!(cpu_time(pid) >= Duration::from_nanos(before)),
                None => eprintln!("SKIPPED: this kernel keeps no such books"),
            }
            drop(cat.stdin.take());
            cat.wait().unwrap();
        }
    }

    #[test]
    fn nobody_has_nothing() {
        let mut child = Command::new("true").spawn().unwrap();
        let pid = Pid::from_child(&child);
        child.wait().unwrap();
        assert_eq!(memory(pid), Memory::default());
        assert_eq!(cpu_time(pid), Duration::ZERO);
    }
}
