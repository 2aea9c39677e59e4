//! What a run has measured: the one thing that the generator makes and every report reads.

use super::workload::Workload;
use crate::load::latencies::Latencies;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the JSON that a [`Recording`] is written as. Since 2 the workload has a `profile`, which was its `course`,
/// and sizes a `distribution`, which was their `law`.
pub const SCHEMA: u32 = 2;

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
    /// How long was measured, in seconds; the warm-up is not in it.
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
    /// How many requests each connection's slot has finished: fairness.
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
    /// Requests that an open loop could not send because all connections were busy.
    pub dropped: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Connections that were asked for at once.
    pub connections_asked: u64,
    /// As many of them as were made at once.
    pub connections_made: u64,
    /// Clients that had at least one request answered.
    pub clients_served: u64,
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

/// A tenth of a second of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Its end, in seconds since the beginning of what was measured.
    pub at: f64,
    /// Requests done in it.
    pub done: u64,
    /// Errors in it.
    pub errors: u64,
    /// Percentiles of the response time of those done in it, in nanoseconds.
    pub p50: u64,
    /// Likewise.
    pub p99: u64,
    /// Likewise.
    pub max: u64,
}

/// What the generator itself has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Generator {
    /// Its CPU time over what was measured, in seconds.
    pub cpu_seconds: f64,
    /// The same as a share of the time that passed: 1 is a whole core.
    pub share: f64,
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
