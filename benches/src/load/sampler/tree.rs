//! Which processes are the server's, and what those have used that have ended.

use crate::procfs::{self, Stat, Usage};
use rustix::process::Pid;
use std::collections::{HashMap, HashSet};
use std::io;

/// A process that has used less CPU time than this, in clock ticks, has no split between user and system that is to
/// be believed. The kernel samples which of the two a process is in, at each of its own ticks, of which there is at least
/// one per clock tick.
const SPLIT_TICKS: u64 = 10;

/// After so many rounds the processes that were found unrelated are read again.
const FORGET: u64 = 10;

/// The root process and its descendants.
#[derive(Debug)]
pub(super) struct Tree {
    root: Stat,
    /// Processes that may adopt the root's orphans: init and all ancestors of the root but its parent.
    reapers: HashSet<i32>,
    /// The members as they were last time.
    members: HashMap<i32, Stat>,
    /// Processes that are not the server's, so as not to read them ten times a second.
    unrelated: HashSet<i32>,
    /// What members have used that ended and that nobody waited for.
    lost: Usage,
    /// The CPU time of members that ended, and had used enough to have a split between user and system, in ticks.
    split: u64,
    round: u64,
}

impl Tree {
    pub(super) fn new(root: Pid, buffer: &mut Vec<u8>) -> io::Result<Tree> {
        let root = Stat::read(root.as_raw_pid(), buffer)?;
        let mut reapers = HashSet::from([1]);
        let mut next = root.parent;
        while let Ok(ancestor) = Stat::read(next, buffer)
            && reapers.insert(ancestor.parent)
        {
            next = ancestor.parent;
        }
        Ok(Tree {
            root,
            reapers,
            members: HashMap::new(),
            unrelated: HashSet::new(),
            lost: Usage::default(),
            split: 0,
            round: 0,
        })
    }

    pub(super) fn root(&self) -> i32 {
        self.root.pid
    }

    /// Whether a process was a member last time.
    pub(super) fn is_member(&self, pid: i32) -> bool {
        self.members.contains_key(&pid)
    }

    /// Finds the members anew.
    pub(super) fn update(&mut self, buffer: &mut Vec<u8>) {
        self.round += 1;
        let members = self.find(buffer);
        self.account_for_ended(&members);
        self.members = members;
    }

    /// How many processes there are, zombies among them.
    pub(super) fn count(&self) -> usize {
        self.members.len()
    }

    /// All members, zombies among them.
    pub(super) fn members(&self) -> impl Iterator<Item = &Stat> {
        self.members.values()
    }

    /// The members that are no zombies.
    pub(super) fn living(&self) -> impl Iterator<Item = &Stat> {
        self.members().filter(|process| !process.zombie)
    }

    /// What all members have used, and what those have that have ended.
    pub(super) fn usage(&self) -> Usage {
        self.members().fold(self.lost, |sum, member| sum.plus(member.own).plus(member.reaped))
    }

    /// How much of the CPU time has a split between user and system that is to be believed, in ticks.
    pub(super) fn split(&self) -> u64 {
        self.split + self.members().map(split_of).sum::<u64>()
    }

    /// The members now: the root, all that descend from it, and all that did.
    fn find(&mut self, buffer: &mut Vec<u8>) -> HashMap<i32, Stat> {
        if self.round.is_multiple_of(FORGET) {
            self.unrelated.clear();
        }
        let mut found = HashMap::new();
        let mut candidates = HashMap::new();
        for pid in procfs::pids() {
            if self.unrelated.contains(&pid) {
                continue;
            }
            let Ok(stat) = Stat::read(pid, buffer) else { continue };
            // A child whose parent has died is still the server's.
            let known = self.members.get(&pid).is_some_and(|before| before.start == stat.start);
            let root = pid == self.root.pid && stat.start == self.root.start;
            if known || root {
                found.insert(pid, stat);
            } else {
                candidates.insert(pid, stat);
            }
        }
        // Children are not always younger numbers than their parents, so until nothing more is found.
        loop {
            let is_child = |stat: &Stat| found.contains_key(&stat.parent);
            let related: Vec<i32> = candidates
                .values()
                .filter(|stat| is_child(stat) || self.is_orphan(stat))
                .map(|stat| stat.pid)
                .collect();
            if related.is_empty() {
                break;
            }
            found.extend(related.iter().filter_map(|pid| candidates.remove_entry(pid)));
        }
        // A process that was born between two reads may seem unrelated, until the next time all are read.
        self.unrelated.extend(candidates.keys());
        found
    }

    /// Whether a process that descends from no known one was forked by the server in two steps: it runs the
    /// same program in the same group, and a process that adopts orphans is its parent.
    fn is_orphan(&self, stat: &Stat) -> bool {
        stat.start >= self.root.start
            && stat.group == self.root.group
            && stat.name == self.root.name
            && self.reapers.contains(&stat.parent)
    }

    /// Keeps what the members had used that have ended since last time, unless they were waited for.
    fn account_for_ended(&mut self, now: &HashMap<i32, Stat>) {
        let lives = |pid: i32| {
            let then = &self.members[&pid];
            now.get(&pid).is_some_and(|stat| stat.start == then.start)
        };
        let mut missing: HashMap<i32, Usage> = HashMap::new();
        for ended in self.members.values().filter(|process| !lives(process.pid)) {
            self.split += split_of(ended);
            // The nearest ancestor that lives may have it in what it has waited for.
            let mut ancestor = ended.parent;
            while let Some(parent) = self.members.get(&ancestor)
                && !lives(ancestor)
                && parent.parent != ancestor
            {
                ancestor = parent.parent;
            }
            let sum = missing.entry(ancestor).or_default();
            *sum = sum.plus(ended.own).plus(ended.reaped);
        }
        for (ancestor, sum) in missing {
            let reaped = match (self.members.get(&ancestor), now.get(&ancestor)) {
                (Some(then), Some(now)) => now.reaped.minus(then.reaped),
                _ => Usage::default(),
            };
            self.lost = self.lost.plus(sum.minus(reaped));
        }
    }
}

/// The CPU time of a process in ticks if its split is to be believed, else 0.
fn split_of(process: &Stat) -> u64 {
    let ticks = process.own.user + process.own.system;
    if ticks >= SPLIT_TICKS { ticks } else { 0 }
}
