//! What a run has measured: the one thing that the generator makes and every report reads.

use super::workload::Workload;
use crate::load::latencies::Latencies;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the JSON that a [`Recording`] is written as. Since 2 the workload has a `profile`, which was its `course`,
/// and sizes a `distribution`, which was their `law`. Since 3 there are `notes`, and percentiles count what was not answered:
/// those of the response time rank `totals.dropped` and `errors.timeout` above every value of the histogram.
pub const SCHEMA: u32 = 3;

/// One run against one server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The name of the server in reports.
    pub server: String,
    /// What was asked of it.
    pub workload: Workload,
    /// Where and how it was run.
    pub environment: Environment,
    /// When this began, in seconds since the beginning of the first phase of a run in steps; 0 elsewhere.
    #[serde(default)]
    pub since: f64,
    /// The time by which `totals.done` is divided to have the rate, in seconds; the warm-up is not in it. It is the length of
    /// the run, unless replies are long compared with that: of a request of a closed loop that was under way at the
    /// beginning or the end only the share of its time within the run counts, so that the rate times the mean response
    /// time is the number of clients (Little's law). In an open loop it is longer than the run if the replies came more
    /// slowly than the arrivals, because the server did not keep up.
    pub seconds: f64,
    /// What came of the requests.
    pub totals: Totals,
    /// What went wrong, by kind; nothing is hidden. The kinds are those of [`ErrorKind`].
    pub errors: BTreeMap<String, u64>,
    /// From the sending of a request to the last byte of its reply, in nanoseconds.
    pub service_time: Latencies,
    /// From the planned sending of a request to the last byte of its reply, in nanoseconds. In a closed
    /// loop nothing is planned, and it equals the service time.
    pub response_time: Latencies,
    /// From the planned to the actual sending, in nanoseconds: the generator's own lateness.
    pub lag: Latencies,
    /// The course of the run.
    pub intervals: Vec<Interval>,
    /// How many requests each connection's slot has finished: fairness. Empty where connections were added in the middle,
    /// since those have fewer.
    pub per_client: Vec<u64>,
    /// What the generator itself has used.
    pub generator: Generator,
    /// The server before the generator had connected: what its connections cost is what comes on top.
    #[serde(default)]
    pub empty: Option<Sample>,
    /// The server from outside, on the same time axis as `intervals`.
    pub samples: Vec<Sample>,
    /// Why the figures are not to be believed; empty if they are.
    pub invalid: Vec<String>,
    /// What a reader has to know of valid figures: one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Recording {
    /// How many requests have waited without end: arrivals that were dropped, and requests without a reply in time.
    pub fn unanswered(&self) -> u64 {
        let timeouts = self.errors.get(ErrorKind::Timeout.as_str()).copied().unwrap_or(0);
        self.totals.dropped + timeouts
    }

    /// A percentile of the response time, in nanoseconds. A request that was not answered ranks above every one that
    /// was: a percentile that falls among those is infinite. `None` if nothing was asked.
    pub fn response_percentile(&self, percentile: f64) -> Option<f64> {
        self.response_time.percentile_below(percentile, self.unanswered())
    }
}

/// Where and how a run was made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    /// Processor, cores, kernel.
    pub machine: String,
    /// The command line.
    pub command: String,
    /// When the run began, in seconds since 1970.
    pub started: u64,
    /// Where server and generator were put.
    pub placement: String,
}

/// What came of the requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Requests planned, in an open loop; sent, in a closed one.
    pub planned: u64,
    /// Requests answered in full and rightly.
    pub done: u64,
    /// Requests that an open loop did not send because as many were in flight as allowed.
    pub dropped: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Connections that were asked for at once; in an open loop also those that were added because all were busy.
    pub connections_asked: u64,
    /// As many of them as were made.
    pub connections_made: u64,
    /// Clients that had at least one request answered.
    pub clients_served: u64,
    /// Those of `done` that are in no [`Interval`]: replies that came after the end, and those of a last part that is
    /// shorter than an interval. The intervals' `done` and this add up to `done`.
    #[serde(default)]
    pub outside_intervals: u64,
}

/// The kinds of errors, as they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorKind {
    /// A connection could not be made.
    Connect,
    /// The server closed or reset a connection that owed a reply.
    Lost,
    /// No reply in time.
    Timeout,
    /// The server refused the request.
    Refused,
    /// The server said `busy`.
    Busy,
    /// The reply was no reply.
    Malformed,
    /// The body was not what was asked for.
    WrongBody,
}

impl ErrorKind {
    /// The name under which it stands in [`Recording::errors`].
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Connect => "connect",
            ErrorKind::Lost => "lost",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Refused => "refused",
            ErrorKind::Busy => "busy",
            ErrorKind::Malformed => "malformed",
            ErrorKind::WrongBody => "wrong-body",
        }
    }
}

/// A tenth of a second of a run, by the clock: intervals are equally long, and what does not fill one is in
/// [`Totals::outside_intervals`].
///
/// In a percentile an arrival that was dropped, and a request that was not answered in time, ranks above every reply.
/// A percentile that falls among those, or an interval without a reply, has no value: `null` in JSON. Up to schema 2
/// the percentiles were those of the replies alone, and 0 without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its end, in seconds since the beginning of what was measured.
    pub at: f64,
    /// Requests done in it.
    pub done: u64,
    /// Errors in it.
    pub errors: u64,
    /// Arrivals dropped in it.
    #[serde(default)]
    pub dropped: u64,
    /// The median of the response time, in nanoseconds.
    pub p50: Option<u64>,
    /// The 99th percentile.
    pub p99: Option<u64>,
    /// The longest.
    pub max: Option<u64>,
}

/// What the generator itself has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// How long this was counted: the length of the run, in seconds. 0 in recordings of schema 2.
    #[serde(default)]
    pub seconds: f64,
    /// Its CPU time over what was measured, in seconds.
    pub cpu_seconds: f64,
    /// The same as a share of the time that passed: 1 is a whole core.
    pub share: f64,
    /// How long it was ready to run and had no core, in seconds; none where the system does not count it.
    #[serde(default)]
    pub run_queue_wait: Option<f64>,
    /// The same as a share of the time that passed.
    #[serde(default)]
    pub waiting: Option<f64>,
    /// How often a core was taken from it.
    #[serde(default)]
    pub involuntary: u64,
}

/// The server's process tree at one moment. Times and counts are sums since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds since the beginning of what was measured.
    pub at: f64,
    /// Processes.
    pub processes: u64,
    /// Threads.
    pub threads: u64,
    /// Proportional set size, in bytes.
    pub pss: u64,
    /// Resident set size, in bytes.
    pub rss: u64,
    /// Page tables, in bytes.
    pub page_tables: u64,
    /// Kernel stacks, reckoned, in bytes.
    pub kernel_stacks: u64,
    /// User time, in seconds, of children that were waited for too.
    pub user: f64,
    /// System time, in seconds, of children that were waited for too.
    pub system: f64,
    /// That part of both whose split between user and system is not known, in seconds: it was used by processes too
    /// short-lived for the kernel's samples.
    #[serde(default)]
    pub unsplit: f64,
    /// Context switches because a thread waited.
    pub voluntary: u64,
    /// Context switches because a thread's time was up.
    pub involuntary: u64,
    /// Time that threads were ready and no core was free, in seconds.
    pub run_queue_wait: f64,
    /// Open descriptors.
    pub descriptors: u64,
    /// Children that have ended and were not waited for.
    pub zombies: u64,
    /// Page faults that needed no disk.
    pub minor_faults: u64,
    /// Connections that the system dropped because the listen queue was full.
    pub listen_overflows: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run in which `answered` replies took 1 ms, 2 ms and so on, and `dropped` arrivals were not sent.
    fn run(answered: u64, dropped: u64) -> Recording {
        let mut response_time = Latencies::new();
        (1..=answered).for_each(|ms| response_time.record(ms * 1_000_000));
        Recording {
            schema: SCHEMA,
            server: String::new(),
            workload: Workload::default(),
            environment: Environment::default(),
            since: 0.0,
            seconds: 1.0,
            totals: Totals { dropped, done: answered, ..Totals::default() },
            errors: BTreeMap::new(),
            service_time: response_time.clone(),
            response_time,
            lag: Latencies::new(),
            intervals: Vec::new(),
            per_client: Vec::new(),
            generator: Generator::default(),
            empty: None,
            samples: Vec::new(),
            invalid: Vec::new(),
            notes: Vec::new(),
        }
    }

    #[test]
    fn dropped_arrivals_rank_above_answered() {
        let millis = |run: &Recording, p: f64| Some(run.response_percentile(p)? / 1e6);
        let near = |found: Option<f64>, ms: f64| (found.unwrap() / ms - 1.0).abs() < 0.002;
        let all = run(100, 0);
        assert!(near(millis(&all, 50.0), 50.0) && near(millis(&all, 100.0), 100.0));
        // 100 of 200: the median is the longest reply, and all above it is not known.
        let half = run(100, 100);
        assert!(near(millis(&half, 25.0), 50.0) && near(millis(&half, 50.0), 100.0));
        assert_eq!(half.response_percentile(50.5), Some(f64::INFINITY));
        assert_eq!(run(0, 3).response_percentile(50.0), Some(f64::INFINITY));
        assert_eq!(run(0, 0).response_percentile(50.0), None);
        let mut late = run(99, 0);
        late.errors.insert("timeout".into(), 1);
        assert_eq!(late.response_percentile(100.0), Some(f64::INFINITY));
        assert!(near(millis(&late, 99.0), 99.0));
    }
}
