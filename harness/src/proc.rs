//! The readings of `/proc` that the oracles rest on.
//!
//! Processes come and go while they are looked at, so every reading may find nothing: it says so
//! with `None` or by leaving the process out, never by failing.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// What `/proc/PID/stat` says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// The id of its parent.
    pub parent: i32,
    /// The process group it belongs to.
    pub group: i32,
    /// Its state: `R` running, `S` sleeping, `Z` a zombie, and so on.
    pub state: char,
    /// How many threads it has.
    pub threads: usize,
}

impl Process {
    /// Whether all of it has ended, and with that let go of its sockets and files. The first thread of several may be a zombie
    /// while another has still to end.
    pub fn has_ended(&self) -> bool {
        self.state == 'Z' && self.threads <= 1
    }
}

/// Voluntary and involuntary context switches of all threads of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextSwitches {
    /// The thread waited for something.
    pub voluntary: u64,
    /// The scheduler took the processor away.
    pub involuntary: u64,
}

/// One process, unless it is gone.
pub fn process(pid: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The name comes in parentheses and may hold anything, parentheses too.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    Some(Process {
        pid,
        state: fields.first()?.chars().next()?,
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        threads: fields.get(17)?.parse().ok()?,
    })
}

/// Every process that belongs to the group `leader`, or descends from it: a server with all its
/// children, the orphaned ones too.
pub fn process_tree(leader: i32) -> Vec<Process> {
    let all: Vec<Process> = numbers("/proc").into_iter().filter_map(process).collect();
    let mut tree: Vec<Process> = Vec::new();
    loop {
        let found = all.iter().filter(|p| {
            let related = p.group == leader || tree.iter().any(|member| member.pid == p.parent);
            related && !tree.iter().any(|member| member.pid == p.pid)
        });
        let found: Vec<Process> = found.cloned().collect();
        if found.is_empty() {
            return tree;
        }
        tree.extend(found);
    }
}

/// What each open descriptor of a process refers to, as `/proc/PID/fd` shows it.
pub fn descriptors(pid: i32) -> BTreeMap<i32, String> {
    let folder = format!("/proc/{pid}/fd");
    let target = |number: i32| {
        let link = fs::read_link(format!("{folder}/{number}")).ok()?;
        Some((number, link.to_string_lossy().into_owned()))
    };
    numbers(&folder).into_iter().filter_map(target).collect()
}

/// Processor time that a process has used, all its threads together, the dead ones too.
pub fn cpu_time(pid: i32) -> Option<Duration> {
    // A clock of its own for every process: nanoseconds, where /proc counts hundredths.
    let clock = nix::time::clock_getcpuclockid(nix::unistd::Pid::from_raw(pid)).ok()?;
    Some(Duration::from(nix::time::clock_gettime(clock).ok()?))
}

/// For how long a thread of a process has run, or was ready to and waited for a core. The kernel books such a wait when it is
/// over, and not before.
pub fn ready_time(pid: i32, thread: i32) -> Option<Duration> {
    let line = fs::read_to_string(format!("/proc/{pid}/task/{thread}/schedstat")).ok()?;
    let mut nanos = line.split_whitespace().map_while(|word| word.parse::<u64>().ok());
    Some(Duration::from_nanos(nanos.next()? + nanos.next()?))
}

/// Bytes of memory of a process, shared pages counted in proportion.
pub fn pss(pid: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Bytes of memory of a process that are nobody else's: what is read from files, the program for one, is shared with whoever
/// has read it, too, and the proportion changes as they come and go.
pub fn own_memory(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Context switches of all living threads of a process.
pub fn context_switches(pid: i32) -> ContextSwitches {
    let mut sum = ContextSwitches::default();
    for thread in numbers(&format!("/proc/{pid}/task")) {
        let status = fs::read_to_string(format!("/proc/{pid}/task/{thread}/status"));
        for line in status.unwrap_or_default().lines() {
            let value = |line: &str| line.trim().parse().unwrap_or(0);
            if let Some(rest) = line.strip_prefix("voluntary_ctxt_switches:") {
                sum.voluntary += value(rest);
            } else if let Some(rest) = line.strip_prefix("nonvoluntary_ctxt_switches:") {
                sum.involuntary += value(rest);
            }
        }
    }
    sum
}

/// The soft and the hard limit on open descriptors of a process.
pub fn descriptor_limits(pid: i32) -> Option<(u64, u64)> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
    Some((numbers.next()?, numbers.next()?))
}

/// The most address space in bytes that a process has had reserved, whether it was ever touched or not.
pub fn memory_peak(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// A thread, and how often it has given up the processor or was made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its id.
    pub id: i32,
    /// Its state, as that of a [`Process`].
    pub state: char,
    /// Context switches of both kinds.
    pub switches: u64,
    /// Those of them by which it went to sleep.
    pub voluntary: u64,
}

/// The threads of a process.
pub fn threads(pid: i32) -> Vec<Thread> {
    let folder = format!("/proc/{pid}/task");
    let thread = |id: i32| {
        let status = fs::read_to_string(format!("{folder}/{id}/status")).ok()?;
        let state = status.lines().find_map(|line| line.strip_prefix("State:"))?;
        let count = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
        };
        let voluntary = count("voluntary_ctxt_switches:");
        let switches = voluntary + count("nonvoluntary_ctxt_switches:");
        Some(Thread { id, state: state.trim().chars().next()?, switches, voluntary })
    };
    numbers(&folder).into_iter().filter_map(thread).collect()
}

/// The entries of a folder of `/proc` whose names are numbers.
fn numbers(folder: &str) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(PathBuf::from(folder)) else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// When a process was started, in the kernel's ticks since the machine was: with its id, this names a process for ever.
pub fn started(pid: i32) -> Option<u64> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    stat[stat.rfind(')')? + 1..].split_whitespace().nth(19)?.parse().ok()
}

/// What a process does with signals, and which wait for it. Of the mask, and of what was sent to a thread, the first
/// thread's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signals {
    /// Sent, and not yet delivered.
    pub pending: SignalSet,
    /// Kept from being delivered.
    pub blocked: SignalSet,
    /// Thrown away.
    pub ignored: SignalSet,
    /// Taken by a handler.
    pub caught: SignalSet,
}

/// A set of signals as `/proc` shows it: bit 0 is signal 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Whether this signal is in it.
    pub fn contains(self, signal: i32) -> bool {
        self.0 >> (signal - 1) & 1 == 1
    }
}

/// The signals of a process, unless it is gone.
pub fn signals(pid: i32) -> Option<Signals> {
    signals_in(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The signals in the text of a `/proc/PID/status`; lines that are of something else may be missing.
pub fn signals_in(status: &str) -> Option<Signals> {
    let set = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(SignalSet(u64::from_str_radix(line.trim(), 16).ok()?))
    };
    let of_thread = set("SigPnd:")?;
    Some(Signals {
        pending: SignalSet(of_thread.0 | set("ShdPnd:").unwrap_or_default().0),
        blocked: set("SigBlk:")?,
        ignored: set("SigIgn:")?,
        caught: set("SigCgt:")?,
    })
}

/// Whether every thread of a process sleeps and waits for something. One that is ready to run, and only waits for a core,
/// does not sleep.
pub fn asleep(pid: i32) -> bool {
    let threads = threads(pid);
    !threads.is_empty() && threads.iter().all(|thread| thread.state == 'S')
}

/// The status flags of a descriptor, `O_NONBLOCK` among them, as `fcntl` would give them to its holder.
pub fn status_flags(pid: i32, descriptor: i32) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{descriptor}")).ok()?;
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?;
    u32::from_str_radix(flags.trim(), 8).ok()
}
