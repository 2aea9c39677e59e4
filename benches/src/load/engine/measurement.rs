//! What is measured of one phase.

use super::incidents::Incidents;
use crate::load::latencies::Latencies;
use crate::load::recording::{
    Environment, ErrorKind, Generator, Interval, Recording, SCHEMA, Totals,
};
use crate::load::workload::Phase;
use std::collections::BTreeMap;

/// What is measured of one phase. Times are nanoseconds of the run's clock.
#[derive(Debug)]
pub(super) struct Measurement {
    /// When it begins: `u64::MAX` until that is known.
    pub(super) begin: u64,
    /// When it ends.
    pub(super) end: u64,
    pub(super) totals: Totals,
    /// How many requests each client has finished; known when the phase is over.
    pub(super) per_client: Vec<u64>,
    pub(super) response: Latencies,
    lag: Latencies,
    service: Latencies,
    errors: BTreeMap<ErrorKind, u64>,
    /// The current interval, or what comes when the phase is over.
    interval: Latencies,
    interval_errors: u64,
    intervals: Vec<Interval>,
    /// The generator's CPU time at the beginning, in seconds.
    cpu_begin: f64,
    /// The generator's CPU time over the whole, in seconds.
    cpu_seconds: f64,
    /// How long was measured.
    length: u64,
    pub(super) incidents: Incidents,
}

impl Measurement {
    pub(super) fn new(connections: usize) -> Measurement {
        Measurement {
            begin: u64::MAX,
            end: u64::MAX,
            totals: Totals { connections_asked: connections as u64, ..Totals::default() },
            per_client: Vec::new(),
            response: Latencies::new(),
            lag: Latencies::new(),
            service: Latencies::new(),
            errors: BTreeMap::new(),
            interval: Latencies::new(),
            interval_errors: 0,
            intervals: Vec::new(),
            cpu_begin: 0.0,
            cpu_seconds: 0.0,
            length: 0,
            incidents: Incidents::default(),
        }
    }

    /// Whether a request that is planned for this moment is measured.
    pub(super) fn contains(&self, planned: u64) -> bool {
        planned >= self.begin && planned < self.end
    }

    /// Begins, when the generator has used `cpu` seconds.
    pub(super) fn start(&mut self, cpu: f64) {
        self.cpu_begin = cpu;
    }

    /// Ends, at the planned end or at `now` if that is earlier; without `cpu` it has not begun.
    pub(super) fn stop(&mut self, now: u64, cpu: Option<f64>) {
        self.end = self.end.min(now);
        self.length = self.end.saturating_sub(self.begin);
        if let Some(cpu) = cpu {
            self.cpu_seconds = cpu - self.cpu_begin;
        }
    }

    /// Records a reply; in an open loop with its service time.
    pub(super) fn record(&mut self, response: u64, service: Option<u64>) {
        self.totals.done += 1;
        self.interval.record(response);
        if let Some(service) = service {
            self.service.record(service);
        }
    }

    /// Records how late a request was sent.
    pub(super) fn record_lag(&mut self, lag: u64) {
        self.lag.record(lag);
    }

    /// Counts a reply to a client that came when the phase was over.
    pub(super) fn count_late_reply(&mut self, client: usize) {
        if let Some(finished) = self.per_client.get_mut(client) {
            self.totals.clients_served += u64::from(*finished == 0);
            *finished += 1;
        }
    }

    pub(super) fn fail(&mut self, kind: ErrorKind, count: u64) {
        if count > 0 {
            *self.errors.entry(kind).or_default() += count;
            self.interval_errors += count;
        }
    }

    /// Ends an interval.
    pub(super) fn end_interval(&mut self, now: u64) -> Interval {
        let interval = Interval {
            at: now.saturating_sub(self.begin) as f64 / 1e9,
            done: self.interval.0.len(),
            errors: self.interval_errors,
            dropped: 0,
            p50: self.interval.percentile(50.0),
            p99: self.interval.percentile(99.0),
            max: self.interval.0.max(),
        };
        self.intervals.push(interval);
        self.response.merge(&self.interval);
        self.interval.0.reset();
        self.interval_errors = 0;
        interval
    }

    /// Whether the current interval has anything.
    pub(super) fn has_more(&self) -> bool {
        !self.interval.0.is_empty() || self.interval_errors > 0
    }

    /// The errors by the names that recordings have for them.
    pub(super) fn named_errors(&self) -> BTreeMap<String, u64> {
        self.errors.iter().map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect()
    }

    /// The recording, `since` seconds after the beginning of the first phase.
    pub(super) fn into_recording(
        self,
        server: &str,
        phase: &Phase,
        environment: &Environment,
        since: f64,
        open_loop: bool,
    ) -> Recording {
        let seconds = self.length as f64 / 1e9;
        let lost = self.errors.get(&ErrorKind::Lost).copied().unwrap_or(0);
        let notes = self.incidents.notes(&self.totals, lost);
        let share = if seconds > 0.0 { self.cpu_seconds / seconds } else { 0.0 };
        Recording {
            schema: SCHEMA,
            server: server.to_owned(),
            workload: phase.workload.clone(),
            environment: environment.clone(),
            since,
            seconds,
            totals: self.totals,
            errors: self.named_errors(),
            service_time: if open_loop { self.service } else { self.response.clone() },
            response_time: self.response,
            lag: self.lag,
            intervals: self.intervals,
            per_client: self.per_client,
            generator: Generator { cpu_seconds: self.cpu_seconds, share, ..Generator::default() },
            empty: None,
            samples: Vec::new(),
            invalid: Vec::new(),
            notes,
        }
    }
}
