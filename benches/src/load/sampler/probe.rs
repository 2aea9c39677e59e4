//! One sample of the server's process tree.

use super::Scope;
use super::budget::Budget;
use super::memory::Memory;
use super::threads::Threads;
use super::tree::Tree;
use crate::load::recording::Sample;
use crate::procfs::{self, KERNEL_STACK, Usage};
use rustix::process::Pid;
use std::io;

/// Takes samples of a process tree.
#[derive(Debug)]
pub(super) struct Probe {
    tree: Tree,
    threads: Threads,
    memory: Memory,
    thread_budget: Budget,
    memory_budget: Budget,
    /// What was reported last, so that no sum goes backwards.
    reported: Usage,
    /// User and system time as they were reported last.
    times: (f64, f64),
    /// How many threads there were last time.
    size: u64,
    buffer: Vec<u8>,
}

impl Probe {
    pub(super) fn new(root: Pid) -> io::Result<Probe> {
        let mut buffer = Vec::with_capacity(8192);
        Ok(Probe {
            tree: Tree::new(root, &mut buffer)?,
            threads: Threads::default(),
            memory: Memory::default(),
            thread_budget: Budget::default(),
            memory_budget: Budget::default(),
            reported: Usage::default(),
            times: (0.0, 0.0),
            size: 0,
            buffer,
        })
    }

    /// Takes a sample; what is in `scope` is read whether or not it is due.
    pub(super) fn sample(&mut self, at: f64, scope: Scope) -> Sample {
        let Probe { tree, threads, memory, buffer, .. } = self;
        tree.update(buffer);
        let alive: Vec<i32> = tree.living().map(|process| process.pid).collect();

        let size = tree.members().map(|process| process.threads).sum();
        let settled = (size == self.size).then_some(size);
        self.size = size;
        self.thread_budget.spend(at, scope >= Scope::Threads, settled, || {
            threads.update(&alive, buffer);
        });
        self.memory_budget.spend(at, scope == Scope::All, settled, || {
            *memory = Memory::read(&alive, buffer);
        });

        // A child that was waited for between two reads is in neither sum for a moment, and is not gone.
        self.reported = self.reported.max(tree.usage());
        let listen_overflows = listen_overflows(tree.root(), buffer);
        let (user, system) = self.cpu_times();
        let living = || self.tree.living();
        let threads = living().map(|process| process.threads).sum();
        let counts = self.threads.total;
        let page = rustix::param::page_size() as u64;
        Sample {
            at,
            processes: alive.len() as u64,
            threads,
            pss: self.memory.pss,
            rss: living().map(|process| process.resident * page).sum(),
            page_tables: self.memory.page_tables,
            kernel_stacks: threads * KERNEL_STACK,
            user,
            system,
            voluntary: counts.voluntary,
            involuntary: counts.involuntary,
            run_queue_wait: counts.wait.as_secs_f64(),
            descriptors: self.memory.descriptors,
            zombies: (self.tree.count() - alive.len()) as u64,
            minor_faults: self.reported.faults,
            listen_overflows,
        }
    }

    /// User and system time so far, in seconds.
    ///
    /// Ticks are whole for each process, so that many processes that have used little seem to have used
    /// nothing. What the scheduler counts for threads is exact, and leaves out those that were never read.
    fn cpu_times(&mut self) -> (f64, f64) {
        let ticks = procfs::ticks_per_second();
        let (user, system) =
            (self.reported.user as f64 / ticks, self.reported.system as f64 / ticks);
        let share = if user + system > 0.0 { user / (user + system) } else { 0.5 };
        let unseen = (self.threads.total.run.as_secs_f64() - user - system).max(0.0);
        let (user, system) = (user + share * unseen, system + (1.0 - share) * unseen);
        self.times = (user.max(self.times.0), system.max(self.times.1));
        self.times
    }
}

fn listen_overflows(pid: i32, buffer: &mut Vec<u8>) -> u64 {
    let find = |text: &str| {
        let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
        let (names, values) = (lines.next()?, lines.next()?);
        let mut both = names.split(' ').zip(values.split(' '));
        both.find(|(name, _)| *name == "ListenOverflows")?.1.parse().ok()
    };
    let _ = procfs::read(&format!("/proc/{pid}/net/netstat"), buffer);
    std::str::from_utf8(buffer).ok().and_then(find).unwrap_or(0)
}
