//! What a comparison has found: cases, and what came of each server in them.

use super::Metric;
use crate::load::recording::{Environment, Recording};
use crate::load::stats::{self, Ratio};
use crate::load::workload::{Phase, Workload};
use serde::{Deserialize, Serialize};

/// The version of the JSON that a [`Comparison`] is written as. Since 2 it has recordings of schema 2, and a driver; since 3
/// those of schema 3.
pub const SCHEMA: u32 = 3;

/// Several servers under the same cases, in interleaved rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where and how it was run.
    pub environment: Environment,
    /// The program that put the load on the servers, if it was not the generator itself: `wrk 4.1.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<String>,
    /// The server that the ratios are to; without one they are to the first of each case.
    pub baseline: Option<String>,
    /// What was asked of all.
    pub cases: Vec<Case>,
}

/// The same work, asked of every server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// A short name, as on the command line: `keep-alive-64`.
    pub name: String,
    /// The same in words: `4 KiB, keep-alive, 64 connections`.
    pub title: String,
    /// What was asked. Cases that differ in `connections` only are drawn as one curve.
    pub workload: Workload,
    /// What came of it, in the same order of servers in every case.
    pub results: Vec<ServerResult>,
    /// What the generator itself can do of this in a second of its processor time, against a reply that costs
    /// nothing; none where there is no such reply, as for an upload.
    #[serde(default)]
    pub ceiling: Option<f64>,
}

/// One server in one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerResult {
    /// Its name in reports.
    pub server: String,
    /// One for every round, in the order of rounds, `None` where a round has failed: the third of one
    /// server and the third of another were run next to each other and make a pair.
    pub rounds: Vec<Option<Recording>>,
    /// Why rounds are missing, if any are.
    pub failure: Option<String>,
    /// What a reader must know of this server: its version, its settings, how many workers.
    pub note: Option<String>,
}

/// What the clients of one server waited for, and what its workers did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// The name of the server in reports.
    pub server: String,
    /// One for every client, by its own measurement, in the order they are to be drawn. Timelines of before had none.
    #[serde(default)]
    pub clients: Vec<Lane>,
    /// One for every worker, by the server's trace, in the order they are to be drawn.
    pub lanes: Vec<Lane>,
}

/// One client; or one worker: a process, a thread, a loop.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// What it is called: `client 5`, `worker 3`.
    pub name: String,
    /// What it did.
    pub spans: Vec<Span>,
}

/// A phase of time that a client or a worker spent on one request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Its beginning, in microseconds since the first client began to connect.
    pub start_us: u64,
    /// Its end.
    pub end_us: u64,
    /// Which request it was for, from 1.
    pub request: u64,
    /// What happened. `serve`, or `slow` for the slow client: a worker was busy with it, or its reply was coming. Of
    /// clients also `wait`: no byte of the reply had come; and `accept`: the moment at which the server accepted it.
    pub kind: String,
}

impl ServerResult {
    /// The runs that there are.
    pub fn runs(&self) -> impl Iterator<Item = &Recording> {
        self.rounds.iter().flatten()
    }

    /// The median of a figure over the rounds; `None` if it is above every reply, too.
    pub fn median(&self, metric: Metric) -> Option<f64> {
        let median = stats::median_of(self.runs().map(|run| metric.of(run)));
        median.filter(|median| median.is_finite())
    }

    /// The median of a figure over the rounds, as people read it.
    pub fn show(&self, metric: Metric) -> String {
        metric.show_of(self.rounds.iter().flatten())
    }

    /// Why figures of it are not to be believed: each kind of reason once, as it was first given, with the
    /// number of rounds it was given in. Reasons that differ in their figures only are of one kind.
    pub fn invalid(&self) -> Vec<String> {
        let kind = |reason: &str| reason.replace(|c: char| c.is_ascii_digit() || c == '.', "");
        let mut reasons: Vec<(&str, usize)> = Vec::new();
        for reason in self.runs().flat_map(|run| &run.invalid) {
            match reasons.iter_mut().find(|(known, _)| kind(known) == kind(reason)) {
                Some((_, times)) => *times += 1,
                None => reasons.push((reason, 1)),
            }
        }
        let rounds = self.rounds.len();
        reasons.iter().map(|(why, n)| format!("{why} ({n} of {rounds} rounds)")).collect()
    }

    /// Whether any run of it is not to be believed.
    pub fn is_invalid(&self) -> bool {
        self.runs().any(|run| !run.invalid.is_empty())
    }
}

impl Case {
    /// What came of one server here.
    pub fn result(&self, server: &str) -> Option<&ServerResult> {
        self.results.iter().find(|result| result.server == server)
    }

    /// A figure of one server as a ratio to that of another, over the rounds that both have finished.
    pub fn ratio(&self, metric: Metric, server: &str, to: &str) -> Option<Ratio> {
        let (server, to) = (self.result(server)?, self.result(to)?);
        let pairs: Vec<_> = server
            .rounds
            .iter()
            .zip(&to.rounds)
            .map(|(a, b)| {
                (
                    a.as_ref().and_then(|run| metric.of(run)),
                    b.as_ref().and_then(|run| metric.of(run)),
                )
            })
            .collect();
        stats::ratio(&pairs, 1)
    }
}

impl Comparison {
    /// A run that stands alone, or that went in steps: each phase is a case, those that were not reached
    /// among them. `recordings` are those of the first phases.
    pub fn alone(
        workload: &Workload,
        recordings: &[Recording],
        ceiling: Option<f64>,
    ) -> Comparison {
        let phases = workload.phases();
        let server = recordings.first().map_or(String::new(), |first| first.server.clone());
        let case = |(nth, phase): (usize, &Phase)| {
            let recording = recordings.get(nth).cloned();
            let failure =
                recording.is_none().then(|| "not reached: the run ended before".to_owned());
            let rounds = vec![recording];
            let result = ServerResult { server: server.clone(), rounds, failure, note: None };
            let before = phases[..nth].iter().filter(|other| other.name == phase.name).count();
            let again = if before > 0 { format!("-{}", before + 1) } else { String::new() };
            Case {
                name: format!("{}{again}", phase.name),
                title: phase.title.clone(),
                workload: phase.workload.clone(),
                results: vec![result],
                ceiling,
            }
        };
        Comparison {
            schema: SCHEMA,
            environment: recordings.first().map(|r| r.environment.clone()).unwrap_or_default(),
            driver: None,
            baseline: None,
            cases: phases.iter().enumerate().map(case).collect(),
        }
    }

    /// The servers of all cases, in order, each once.
    pub fn servers(&self) -> Vec<&str> {
        let mut servers = Vec::new();
        for result in self.cases.iter().flat_map(|case| &case.results) {
            if !servers.contains(&result.server.as_str()) {
                servers.push(&result.server);
            }
        }
        servers
    }

    /// The server that the ratios of a case are to: the baseline where it takes part, else the first.
    pub fn baseline_of<'a>(&'a self, case: &'a Case) -> Option<&'a str> {
        let named = self.baseline.as_deref().filter(|name| case.result(name).is_some());
        named.or_else(|| case.results.first().map(|first| first.server.as_str()))
    }
}

/// Whether clients mostly wait, so that what they cost is memory: a request of each in two seconds, or less.
pub(crate) fn is_idle(workload: &Workload) -> bool {
    workload.arrivals.rate().is_some_and(|rate| rate * 2.0 <= workload.connections as f64)
}
