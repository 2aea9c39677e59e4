//! One sample of the server's process tree.

use super::budget::Budget;
use super::memory::Memory;
use super::threads::Threads;
use super::tree::Tree;
use super::{CPU_BUDGET, PERIOD, Scope, own_cpu_time};
use crate::control_group::{self, CpuTime};
use crate::load::recording::Sample;
use crate::procfs::{self, KERNEL_STACK, Usage};
use rustix::process::Pid;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

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
    /// The CPU time as it was reported last.
    times: Times,
    /// The control group that holds the tree and nothing else, and its CPU time when it was read last.
    group: Option<(PathBuf, CpuTime)>,
    /// The share of user time in what that group used when it was read last.
    user_share: f64,
    /// Whether a sample has been taken.
    begun: bool,
    /// The CPU time of the last sample without its expensive reads.
    pub(super) cost: Duration,
    buffer: Vec<u8>,
}

/// CPU time so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    user: f64,
    system: f64,
    /// Of both, what has no known split.
    unsplit: f64,
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
            times: Times::default(),
            group: None,
            user_share: 0.5,
            begun: false,
            cost: Duration::ZERO,
            buffer,
        })
    }

    /// Takes a sample; what is in `scope` is read whether or not it is due.
    pub(super) fn sample(&mut self, at: f64, scope: Scope) -> Sample {
        let begin = own_cpu_time();
        let Probe { tree, threads, memory, buffer, .. } = self;
        tree.update(buffer);
        self.cost = own_cpu_time().saturating_sub(begin);
        if !std::mem::replace(&mut self.begun, true) {
            let group = control_group::exclusive(tree.root(), |pid| tree.is_member(pid));
            self.group = group.map(|group| (group, CpuTime::default()));
        }
        let alive: Vec<i32> = tree.living().map(|process| process.pid).collect();

        self.thread_budget.spend(at, scope >= Scope::Threads, || threads.update(&alive, buffer));
        self.memory_budget
            .spend(at, scope == Scope::All, || *memory = Memory::read(&alive, buffer));

        // A child that was waited for between two reads is in neither sum for a moment, and is not gone.
        self.reported = self.reported.max(tree.usage());
        let listen_overflows = listen_overflows(tree.root(), buffer);
        let Times { user, system, unsplit } = self.cpu_times();
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
            unsplit,
            voluntary: counts.voluntary,
            involuntary: counts.involuntary,
            run_queue_wait: counts.wait.as_secs_f64(),
            descriptors: self.memory.descriptors,
            zombies: (self.tree.count() - alive.len()) as u64,
            minor_faults: self.reported.faults,
            listen_overflows,
        }
    }

    /// How long the next sample has to wait: [`PERIOD`], or longer where a sample costs much.
    pub(super) fn period(&self) -> Duration {
        PERIOD.max(self.cost.div_f64(CPU_BUDGET))
    }

    /// The CPU time so far.
    ///
    /// Ticks are whole for each process, so that many processes that have used little seem to have used
    /// nothing. What the scheduler counts for threads is exact, and leaves out those that were never read.
    fn cpu_times(&mut self) -> Times {
        let ticks = procfs::ticks_per_second();
        let seconds = |count: u64| count as f64 / ticks;
        let (user, system) = (seconds(self.reported.user), seconds(self.reported.system));
        let total = (user + system).max(self.threads.total.run.as_secs_f64());
        let before = self.times;
        self.times = if self.group.is_some() {
            let grown = (total - before.user - before.system).max(0.0);
            let share = self.group_share();
            Times {
                user: before.user + share * grown,
                system: before.system + (1.0 - share) * grown,
                unsplit: 0.0,
            }
        } else {
            let share = if user + system > 0.0 { user / (user + system) } else { 0.5 };
            Times {
                user: before.user.max(share * total),
                system: before.system.max((1.0 - share) * total),
                unsplit: (total - seconds(self.tree.split())).max(0.0),
            }
        };
        self.times
    }

    /// The share of user time in what the control group has used since last time.
    fn group_share(&mut self) -> f64 {
        if let Some((group, before)) = &mut self.group
            && let Some(now) = CpuTime::read(group, &mut self.buffer)
        {
            let user = now.user.saturating_sub(before.user).as_secs_f64();
            let system = now.system.saturating_sub(before.system).as_secs_f64();
            if user + system > 0.0 {
                (*before, self.user_share) = (now, user / (user + system));
            }
        }
        self.user_share
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
