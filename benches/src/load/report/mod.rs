//! What a reader gets of a run and of a comparison: tables, JSON, CSV, the histogram log and one page of HTML.
//!
//! All of it is made from a [`Recording`] or a [`Comparison`] and from nothing else, so that a file kept
//! from last month gives the same page as a run that has just ended.

pub mod csv;
pub mod hgrm;
pub mod html;
pub mod json;
pub mod svg;
pub mod table;

pub use html::{overview_svg, page, page_with};

use super::recording::{Environment, Recording, Sample};
use super::stats::{self, Difference, Direction, Ratio};
use super::workload::{Phase, Workload};
use crate::text;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// The version of the JSON that a [`Comparison`] is written as.
pub const SCHEMA: u32 = 1;

/// Several servers under the same cases, in interleaved rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where and how it was run.
    pub environment: Environment,
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

/// What the workers of one server did and when: a strip of the page.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Strip {
    /// The name of the server in reports.
    pub server: String,
    /// One for every worker, in the order they are to be drawn.
    pub lanes: Vec<Lane>,
}

/// One worker: a process, a thread, a coroutine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lane {
    /// What it is called: `worker 3`.
    pub name: String,
    /// What it did.
    pub spans: Vec<Span>,
}

/// A stretch of time that a worker spent on one thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// Its beginning, in microseconds since the beginning of the strip.
    pub start_us: u64,
    /// Its end.
    pub end_us: u64,
    /// Which request it was for, from 1.
    pub request: u64,
    /// What was done: `serve`, `slow` (for the slow client), `wait` (for a free worker).
    pub kind: String,
}

/// What stands where there is no figure.
pub const NONE: &str = "-";

/// A figure of a recording that reports show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
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
    /// That of it which the system had, for the server.
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

impl Figure {
    /// The figure of one run; `None` where there is none, as no request has no latency.
    pub fn of(self, recording: &Recording) -> Option<f64> {
        let percentile = |p: f64| {
            let latencies = &recording.response_time;
            (!latencies.0.is_empty()).then(|| latencies.percentile(p) as f64)
        };
        match self {
            // A run in which nothing was answered has a rate, and it is 0.
            Figure::Rate => {
                (recording.seconds > 0.0).then(|| recording.totals.done as f64 / recording.seconds)
            }
            Figure::P50 => percentile(50.0),
            Figure::P90 => percentile(90.0),
            Figure::P99 => percentile(99.0),
            Figure::P999 => percentile(99.9),
            Figure::Max => percentile(100.0),
            Figure::Switches => {
                per_request(recording, |s| s.voluntary as f64 + s.involuntary as f64)
            }
            Figure::Voluntary => per_request(recording, |s| s.voluntary as f64),
            Figure::Cpu => per_request(recording, |s| (s.user + s.system) * 1e6),
            Figure::System => per_request(recording, |s| s.system * 1e6),
            Figure::Memory => fullest(recording).map(|sample| memory(sample) as f64),
            Figure::PerClient => per_client(recording),
            Figure::Fairness => stats::fairness(&recording.per_client),
            Figure::Errors => Some(errors(recording) as f64),
            Figure::Served => (recording.totals.connections_asked > 0).then(|| {
                recording.totals.clients_served as f64 / recording.totals.connections_asked as f64
            }),
        }
    }

    /// The figure as people read it.
    pub fn show(self, value: Option<f64>) -> String {
        let Some(value) = value else { return NONE.to_owned() };
        match self {
            Figure::Rate => text::rate(value),
            Figure::P50 | Figure::P90 | Figure::P99 | Figure::P999 | Figure::Max => nanos(value),
            Figure::Switches | Figure::Voluntary | Figure::Fairness => digits(value),
            Figure::Cpu | Figure::System => format!("{} µs", digits(value)),
            Figure::Memory | Figure::PerClient => bytes(value),
            Figure::Errors => whole(value),
            Figure::Served => format!("{} %", digits(value * 100.0)),
        }
    }
}

impl ServerResult {
    /// The runs that there are.
    pub fn runs(&self) -> impl Iterator<Item = &Recording> {
        self.rounds.iter().flatten()
    }

    /// The median of a figure over the rounds.
    pub fn median(&self, figure: Figure) -> Option<f64> {
        stats::median_of(self.runs().map(|run| figure.of(run)))
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
    pub fn ratio(&self, figure: Figure, server: &str, to: &str) -> Option<Ratio> {
        let (server, to) = (self.result(server)?, self.result(to)?);
        let pairs: Vec<_> = server
            .rounds
            .iter()
            .zip(&to.rounds)
            .map(|(a, b)| {
                (
                    a.as_ref().and_then(|run| figure.of(run)),
                    b.as_ref().and_then(|run| figure.of(run)),
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
pub fn is_idle(workload: &Workload) -> bool {
    workload.arrivals.rate().is_some_and(|rate| rate * 2.0 <= workload.connections as f64)
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

/// What each client costs in memory, beyond what the server holds without any.
fn per_client(recording: &Recording) -> Option<f64> {
    let empty = recording.empty.as_ref().map(memory).filter(|bytes| *bytes > 0)?;
    let clients = recording.totals.connections_made;
    let more = memory(fullest(recording)?).saturating_sub(empty);
    (clients > 0).then(|| more as f64 / clients as f64)
}

/// How much a sum of the server's has grown for each request that was done meanwhile.
fn per_request(recording: &Recording, of: impl Fn(&Sample) -> f64) -> Option<f64> {
    // The first sample is the last before the measurement began: what the others count from.
    let (first, last) = (recording.samples.first()?, recording.samples.last()?);
    let seconds = last.at - first.at;
    let done = Figure::Rate.of(recording)? * seconds;
    let grown = of(last) - of(first);
    // A process that has gone takes its sums along if nobody waits for it: no figure then.
    (done > 0.0 && grown >= 0.0).then(|| grown / done)
}

/// Writes a report, and makes the folder for it if there is none.
///
/// # Errors
///
/// The file system refuses; the error says where.
pub fn write(path: &Path, text: &str) -> io::Result<()> {
    let named = |error: io::Error| io::Error::other(format!("{}: {error}", path.display()));
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(named)?;
    }
    fs::write(path, text).map_err(named)
}

/// What may be said of a ratio, in a few words.
pub fn verdict(ratio: Option<Ratio>) -> String {
    let Some(ratio) = ratio else { return NONE.to_owned() };
    let Some((low, high)) = ratio.interval else {
        return format!("{} × (one round: no interval)", digits(ratio.value));
    };
    let interval = format!("{} to {}", digits(low), digits(high));
    match ratio.difference() {
        Difference::Shown(Direction::Higher | Direction::Lower) => {
            format!("{} × ({interval})", digits(ratio.value))
        }
        Difference::NotShown => format!("no difference shown ({interval})"),
    }
}

/// Nanoseconds as people read them.
fn nanos(value: f64) -> String {
    text::duration(Duration::from_nanos(value as u64))
}

/// Bytes as people read them: `4.20 MiB`.
fn bytes(value: f64) -> String {
    match value {
        v if v < 1024.0 => format!("{v:.0} B"),
        v if v < 1024.0 * 1024.0 => format!("{} KiB", digits(v / 1024.0)),
        v if v < 1024.0 * 1024.0 * 1024.0 => format!("{} MiB", digits(v / 1024.0 / 1024.0)),
        v => format!("{} GiB", digits(v / 1024.0 / 1024.0 / 1024.0)),
    }
}

/// Three digits that mean something, and never an exponent.
fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        v if v < 0.0995 => format!("{value:.3}"),
        v if v < 9.995 => format!("{value:.2}"),
        v if v < 99.95 => format!("{value:.1}"),
        _ => whole(value),
    }
}

/// The same without zeros that say nothing, as it stands on an axis.
fn plain(value: f64) -> String {
    let digits = digits(value);
    match digits.contains('.') {
        true => digits.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => digits,
    }
}

/// A whole number in groups of three: `1,000`.
fn whole(value: f64) -> String {
    let plain = format!("{:.0}", value.abs());
    let mut grouped = String::new();
    for (at, digit) in plain.chars().enumerate() {
        if at > 0 && (plain.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if value <= -0.5 { format!("-{grouped}") } else { grouped }
}

/// Names in a sentence: `a, b and c`.
fn listed(names: &[impl AsRef<str>]) -> String {
    match names {
        [] => String::new(),
        [one] => one.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}
