//! Metrics: the figures of a recording that reports show.

use crate::load::recording::{Recording, Sample};
use crate::load::stats;
use crate::text::{self, bytes, digits, nanos, whole};

/// What stands where there is no figure.
pub(crate) const NONE: &str = "-";

/// A figure of a recording that reports show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Requests done per second.
    Rate,
    /// The median of the response time, in nanoseconds.
    P50,
    /// Its 90th percentile.
    P90,
    /// Its 99th.
    P99,
    /// Its 99.9th.
    P999,
    /// Its greatest.
    Max,
    /// Context switches of the server per request.
    Switches,
    /// Those of them in which a worker waited.
    Voluntary,
    /// Processor time of the server per request, in microseconds.
    Cpu,
    /// That of it which the system had, for the server; none if the split is not known.
    System,
    /// Memory of the server at its greatest, with the kernel's share, in bytes.
    Memory,
    /// What of that came with the clients, for each of them: the empty server's is taken off.
    PerClient,
    /// Jain's index over the clients.
    Fairness,
    /// Errors of all kinds.
    Errors,
    /// The clients that were served, as a share of those that asked.
    Served,
}

impl Metric {
    /// The figure of one run; `None` where there is none, as no request has no latency. A percentile that falls among
    /// requests that were not answered is infinite.
    pub fn of(self, recording: &Recording) -> Option<f64> {
        let percentile = |p: f64| recording.response_percentile(p);
        match self {
            // A run in which nothing was answered has a rate, and it is 0.
            Metric::Rate => {
                (recording.seconds > 0.0).then(|| recording.totals.done as f64 / recording.seconds)
            }
            Metric::P50 => percentile(50.0),
            Metric::P90 => percentile(90.0),
            Metric::P99 => percentile(99.0),
            Metric::P999 => percentile(99.9),
            Metric::Max => percentile(100.0),
            Metric::Switches => {
                per_request(recording, |s| s.voluntary as f64 + s.involuntary as f64)
            }
            Metric::Voluntary => per_request(recording, |s| s.voluntary as f64),
            Metric::Cpu => per_request(recording, |s| (s.user + s.system) * 1e6),
            Metric::System if !has_cpu_split(&recording.samples) => None,
            Metric::System => per_request(recording, |s| s.system * 1e6),
            Metric::Memory => fullest(recording).map(|sample| memory(sample) as f64),
            Metric::PerClient => per_client(recording, memory),
            Metric::Fairness => stats::fairness(&recording.per_client),
            Metric::Errors => Some(errors(recording) as f64),
            Metric::Served => (recording.totals.connections_asked > 0).then(|| {
                recording.totals.clients_served as f64 / recording.totals.connections_asked as f64
            }),
        }
    }

    /// The figure of some runs, their median, as people read it. A percentile above every reply is shown as `>` and the
    /// longest reply; without any reply there is nothing to show.
    pub(crate) fn show_of<'a>(self, runs: impl Iterator<Item = &'a Recording> + Clone) -> String {
        match stats::median_of(runs.clone().map(|run| self.of(run))) {
            Some(f64::INFINITY) => {
                let answered = runs.filter(|run| !run.response_time.0.is_empty());
                match answered.map(|run| run.response_time.0.max()).max() {
                    Some(longest) => format!("> {}", nanos(longest as f64)),
                    None => NONE.to_owned(),
                }
            }
            median => self.show(median),
        }
    }

    /// The figure as people read it.
    pub fn show(self, value: Option<f64>) -> String {
        let Some(value) = value else { return NONE.to_owned() };
        match self {
            Metric::Rate => text::rate(value),
            Metric::P50 | Metric::P90 | Metric::P99 | Metric::P999 | Metric::Max => nanos(value),
            Metric::Switches | Metric::Voluntary | Metric::Fairness => digits(value),
            Metric::Cpu | Metric::System => format!("{} µs", digits(value)),
            Metric::Memory | Metric::PerClient => bytes(value),
            Metric::Errors => whole(value),
            Metric::Served => format!("{} %", digits(value * 100.0)),
        }
    }

    /// Its heading in a table.
    pub(super) fn heading(self) -> &'static str {
        match self {
            Metric::Rate => "rate",
            Metric::P50 => "p50",
            Metric::P90 => "p90",
            Metric::P99 => "p99",
            Metric::P999 => "p99.9",
            Metric::Max => "max",
            Metric::Switches => "switches/request",
            Metric::Voluntary => "of them voluntary",
            Metric::Cpu => "CPU/request",
            Metric::System => "of it in the kernel",
            Metric::Memory => "memory",
            Metric::PerClient => "memory per client",
            Metric::Fairness => "fairness",
            Metric::Errors => "errors",
            Metric::Served => "clients served",
        }
    }
}

/// The split of the server's CPU time between user and system is not shown below so many seconds of CPU time: the kernel
/// has too few samples of it.
const LEAST_SPLIT: f64 = 0.1;

/// The part of the CPU time that may have no known split for the whole to have one.
const MOST_UNSPLIT: f64 = 0.1;

/// Whether the split of the server's CPU time between user and system is known.
fn has_cpu_split(samples: &[Sample]) -> bool {
    let (total, unsplit) = cpu_seconds(samples);
    total >= LEAST_SPLIT && unsplit <= MOST_UNSPLIT * total
}

/// The CPU time of the server over a run, and that part of it that has no known split between user and system.
fn cpu_seconds(samples: &[Sample]) -> (f64, f64) {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return (0.0, 0.0) };
    let total = last.user + last.system - first.user - first.system;
    (total, last.unsplit - first.unsplit)
}

/// Why the CPU time is not split between user and system, if the server was sampled and it is not.
pub fn why_no_cpu_split(recording: &Recording) -> Option<String> {
    if Metric::Cpu.of(recording).is_none() || has_cpu_split(&recording.samples) {
        return None;
    }
    let why = if cpu_seconds(&recording.samples).0 < LEAST_SPLIT {
        format!(
            "the server used less than {LEAST_SPLIT} s of it, too little for the kernel's samples"
        )
    } else {
        "the server's processes live for too short a time for the kernel's samples, and have no control group \
         of their own"
            .to_owned()
    };
    Some(format!("The split of CPU time between program and kernel is not shown: {why}."))
}

/// Errors of all kinds together.
pub fn errors(recording: &Recording) -> u64 {
    recording.errors.values().sum()
}

/// All that a server holds: its own memory and what the kernel keeps for it.
pub fn memory(sample: &Sample) -> u64 {
    sample.pss + sample.page_tables + sample.kernel_stacks
}

/// The moment in which the server held most memory.
pub fn fullest(recording: &Recording) -> Option<&Sample> {
    let sampled = recording.samples.iter().filter(|sample| memory(sample) > 0);
    sampled.max_by_key(|sample| memory(sample))
}

/// What each client costs in memory, or in a part of it, beyond what the server holds without any.
pub(super) fn per_client(recording: &Recording, of: fn(&Sample) -> u64) -> Option<f64> {
    let empty = recording.empty.as_ref().filter(|sample| memory(sample) > 0)?;
    let clients = recording.totals.connections_made;
    let more = of(fullest(recording)?).saturating_sub(of(empty));
    (clients > 0).then(|| more as f64 / clients as f64)
}

/// How much a sum of the server's has grown for each request that was done meanwhile.
fn per_request(recording: &Recording, of: impl Fn(&Sample) -> f64) -> Option<f64> {
    // The first sample is the last before the measurement began: what the others count from.
    let (first, last) = (recording.samples.first()?, recording.samples.last()?);
    let seconds = last.at - first.at;
    let done = Metric::Rate.of(recording)? * seconds;
    let grown = of(last) - of(first);
    // A process that has gone takes its sums along if nobody waits for it: no figure then.
    (done > 0.0 && grown >= 0.0).then(|| grown / done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn split_needs_enough_counted_time() {
        let sample = |user, system, unsplit| Sample { user, system, unsplit, ..Sample::default() };
        let has = |last| has_cpu_split(&[sample(1.0, 1.0, 0.5), last]);
        assert!(has(sample(1.5, 1.5, 0.55)));
        assert!(!has(sample(1.5, 1.5, 0.7)), "a fifth of it was used by short-lived processes");
        assert!(!has(sample(1.04, 1.04, 0.5)), "too few ticks");
        assert!(has(sample(1.5, 1.5, 0.0)), "a process has used enough since");
        assert!(!has_cpu_split(&[]));
    }
}
