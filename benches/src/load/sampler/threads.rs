//! Context switches and scheduler times, from every thread of the server.

use crate::procfs::{number_after, read, schedule_times};
use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// Figures that add up of one thread, or of all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) voluntary: u64,
    pub(super) involuntary: u64,
    /// CPU time.
    pub(super) run: Duration,
    /// Time in the run queue.
    pub(super) wait: Duration,
}

/// The threads that were read last, by process and thread, and the sums of all that there were.
#[derive(Debug, Default)]
pub(super) struct Threads {
    threads: HashMap<(i32, i32), Counts>,
    pub(super) total: Counts,
}

impl Threads {
    /// Reads every thread of these processes.
    pub(super) fn update(&mut self, pids: &[i32], buffer: &mut Vec<u8>) {
        let mut threads = HashMap::with_capacity(self.threads.len());
        for &pid in pids {
            let directory = format!("/proc/{pid}/task");
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let Some(name) = name.to_str() else { continue };
                let Ok(tid) = name.parse() else { continue };
                let Some(counts) = counts(&format!("{directory}/{name}"), buffer) else { continue };
                let before = self.threads.get(&(pid, tid)).copied().unwrap_or_default();
                self.total.add_growth(counts, before);
                threads.insert((pid, tid), counts);
            }
        }
        self.threads = threads;
    }
}

impl Counts {
    fn add_growth(&mut self, now: Counts, before: Counts) {
        // Less than before: a new thread has the number of an old one.
        let count = |now: u64, before: u64| now.checked_sub(before).unwrap_or(now);
        let time = |now: Duration, before: Duration| now.checked_sub(before).unwrap_or(now);
        self.voluntary += count(now.voluntary, before.voluntary);
        self.involuntary += count(now.involuntary, before.involuntary);
        self.run += time(now.run, before.run);
        self.wait += time(now.wait, before.wait);
    }
}

fn counts(directory: &str, buffer: &mut Vec<u8>) -> Option<Counts> {
    read(&format!("{directory}/status"), buffer).ok()?;
    let voluntary = number_after(buffer, b"\nvoluntary_ctxt_switches:")?;
    let involuntary = number_after(buffer, b"\nnonvoluntary_ctxt_switches:")?;
    let (run, wait) = schedule_times(directory, buffer)?;
    Some(Counts { voluntary, involuntary, run, wait })
}
