//! What this thread has used of the machine, as the kernel counts it.

use rustix::time::{ClockId, clock_gettime};
use std::fs;

/// Sums since the thread began.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    /// The time that has passed, in seconds.
    pub(super) time: f64,
    /// CPU time, in seconds.
    pub(super) cpu: f64,
    /// How long it was ready to run and had no core, in seconds; none where the kernel does not count it.
    pub(super) run_queue_wait: Option<f64>,
    /// How often a core was taken from it.
    pub(super) involuntary: u64,
}

impl Usage {
    /// That of the calling thread until now.
    pub(super) fn now() -> Usage {
        let seconds = |clock| {
            let time = clock_gettime(clock);
            time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
        };
        let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Usage {
            time: seconds(ClockId::Monotonic),
            cpu: seconds(ClockId::ThreadCPUTime),
            run_queue_wait: run_queue_wait(&schedstat),
            involuntary: involuntary(&status).unwrap_or(0),
        }
    }

    /// What was used since `begin`.
    pub(super) fn since(self, begin: Usage) -> Usage {
        let wait = self.run_queue_wait.zip(begin.run_queue_wait);
        Usage {
            time: self.time - begin.time,
            cpu: self.cpu - begin.cpu,
            run_queue_wait: wait.map(|(now, before)| (now - before).max(0.0)),
            involuntary: self.involuntary.saturating_sub(begin.involuntary),
        }
    }
}

/// The second of three figures, in nanoseconds. A kernel that does not count has zeros in all of them.
fn run_queue_wait(schedstat: &str) -> Option<f64> {
    let figures: Option<Vec<u64>> =
        schedstat.split_whitespace().map(|word| word.parse().ok()).collect();
    let figures = figures.filter(|figures| figures.iter().any(|figure| *figure > 0))?;
    Some(*figures.get(1)? as f64 / 1e9)
}

fn involuntary(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_schedstat_is_no_wait() {
        assert_eq!(run_queue_wait("5000 1500000000 7\n"), Some(1.5));
        assert_eq!(run_queue_wait("5000 0 7\n"), Some(0.0));
        for missing in ["", "0 0 0\n", "x y z", "5000"] {
            assert_eq!(run_queue_wait(missing), None, "{missing:?}");
        }
        let unknown = Usage { run_queue_wait: None, ..Usage::now() };
        assert_eq!(Usage::now().since(unknown).run_queue_wait, None);
    }

    #[test]
    fn switches_are_in_status() {
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t150\nnonvoluntary_ctxt_switches:\t545\n";
        assert_eq!(involuntary(status), Some(545));
        assert_eq!(involuntary("Name:\tx\n"), None);
    }
}
