//! What is measured of one phase.

use super::TICK;
use super::incidents::Incidents;
use super::usage::Usage;
use crate::load::latencies::Latencies;
use crate::load::recording::{
    Environment, ErrorKind, Generator, Interval, Recording, SCHEMA, Totals,
};
use crate::load::workload::Phase;
use crate::text;
use std::collections::BTreeMap;
use std::time::Duration;

/// Replies that come later than this share of the run after its end are noted.
const LONG_DRAIN: f64 = 0.1;

/// What is measured of one phase. Times are nanoseconds of the run's clock.
#[derive(Debug)]
pub(super) struct Measurement {
    /// When it begins: `u64::MAX` until that is known.
    pub(super) begin: u64,
    /// When it ends.
    pub(super) end: u64,
    pub(super) totals: Totals,
    /// How many of the planned requests of a closed loop were under way from before the beginning until after the end.
    spanning: u64,
    /// How many requests each client has finished; known when the phase is over.
    pub(super) per_client: Vec<u64>,
    /// How many connections there were when it began.
    pub(super) clients_at_begin: u64,
    pub(super) response: Latencies,
    lag: Latencies,
    service: Latencies,
    errors: BTreeMap<ErrorKind, u64>,
    /// The response times of the interval that is not over yet.
    interval: Latencies,
    interval_errors: u64,
    interval_dropped: u64,
    /// Dropped arrivals and timeouts of that interval.
    interval_unanswered: u64,
    intervals: Vec<Interval>,
    /// How many of the intervals the watcher has seen.
    shown: usize,
    /// In a closed loop: how many requests were answered in the phase, one that was under way at its beginning or its
    /// end with the share of its time that lies within.
    answered_within: f64,
    /// When the requests of an open loop were planned, and when they were answered.
    planned: Moments,
    answered: Moments,
    /// When the last of its replies came.
    last_reply: u64,
    longest: u64,
    /// What the generator had used at the beginning.
    usage_begin: Usage,
    /// What the generator has used over the whole; none if it has not begun.
    usage: Option<Usage>,
    /// How long was measured.
    pub(super) length: u64,
    pub(super) incidents: Incidents,
}

impl Measurement {
    pub(super) fn new(connections: usize) -> Measurement {
        Measurement {
            begin: u64::MAX,
            end: u64::MAX,
            totals: Totals { connections_asked: connections as u64, ..Totals::default() },
            spanning: 0,
            per_client: Vec::new(),
            clients_at_begin: connections as u64,
            response: Latencies::new(),
            lag: Latencies::new(),
            service: Latencies::new(),
            errors: BTreeMap::new(),
            interval: Latencies::new(),
            interval_errors: 0,
            interval_dropped: 0,
            interval_unanswered: 0,
            intervals: Vec::new(),
            shown: 0,
            answered_within: 0.0,
            planned: Moments::default(),
            answered: Moments::default(),
            last_reply: 0,
            longest: 0,
            usage_begin: Usage::default(),
            usage: None,
            length: 0,
            incidents: Incidents::default(),
        }
    }

    /// Whether a request that is planned for this moment is measured.
    pub(super) fn contains(&self, planned: u64) -> bool {
        planned >= self.begin && planned < self.end
    }

    /// Begins, when the generator has used so much.
    pub(super) fn start(&mut self, usage: Usage) {
        self.usage_begin = usage;
        self.clients_at_begin = self.totals.connections_asked;
    }

    /// Ends, at the planned end or at `now` if that is earlier; without `usage` it has not begun.
    pub(super) fn stop(&mut self, now: u64, usage: Option<Usage>) {
        self.end = self.end.min(now);
        self.length = self.end.saturating_sub(self.begin);
        self.usage = usage.map(|usage| usage.since(self.usage_begin));
        self.end_intervals(now);
        // The rest is no interval.
        self.totals.outside_intervals += self.interval.0.len();
        self.response.merge(&self.interval);
        self.interval.0.reset();
    }

    /// Records an arrival of an open loop, and how late it was sent if it was; otherwise it was dropped.
    pub(super) fn arrive(&mut self, planned: u64, lag: Option<u64>) {
        self.totals.planned += 1;
        match lag {
            Some(lag) => {
                self.planned.add(self.place(planned));
                self.lag.record(lag);
            }
            None => {
                self.totals.dropped += 1;
                self.interval_dropped += 1;
                self.interval_unanswered += 1;
            }
        }
    }

    /// Records a reply; in an open loop with its service time.
    pub(super) fn record(&mut self, now: u64, response: u64, service: Option<u64>) {
        self.totals.done += 1;
        self.last_reply = self.last_reply.max(now);
        self.longest = self.longest.max(response);
        if now < self.end {
            self.end_intervals(now);
            self.interval.record(response);
        } else {
            self.totals.outside_intervals += 1;
            self.response.record(response);
        }
        if let Some(service) = service {
            self.service.record(service);
            self.answered.add(self.place(now));
        }
    }

    /// Whether requests that span the whole phase are measured: no other was sent within it, since replies take longer
    /// than the phase.
    pub(super) fn measures_spanning(&self) -> bool {
        self.totals.planned == self.spanning
    }

    /// Measures a request that spans the whole phase.
    pub(super) fn add_spanning(&mut self) {
        self.totals.planned += 1;
        self.spanning += 1;
    }

    /// Counts a request of a closed loop that was under way from `sent` to `now`, with the share of that time which
    /// lies within the phase.
    pub(super) fn record_share(&mut self, sent: u64, now: u64) {
        let within = now.min(self.end).saturating_sub(sent.max(self.begin));
        if within > 0 {
            self.answered_within += within as f64 / (now - sent) as f64;
        }
    }

    /// Counts a reply to a client that came when the phase was over.
    pub(super) fn count_late_reply(&mut self, client: usize) {
        if let Some(finished) = self.per_client.get_mut(client) {
            self.totals.clients_served += u64::from(*finished == 0);
            *finished += 1;
        }
    }

    pub(super) fn fail(&mut self, kind: ErrorKind, count: u64, now: u64) {
        if count == 0 {
            return;
        }
        *self.errors.entry(kind).or_default() += count;
        if now < self.end {
            self.end_intervals(now);
            self.interval_errors += count;
            self.interval_unanswered += if kind == ErrorKind::Timeout { count } else { 0 };
        }
    }

    /// Requests that were not answered: dropped arrivals and timeouts.
    pub(super) fn unanswered(&self) -> u64 {
        self.totals.dropped + self.errors.get(&ErrorKind::Timeout).copied().unwrap_or(0)
    }

    /// Ends the intervals that are over by now, by the clock: those in which this process did not get to run are empty.
    pub(super) fn end_intervals(&mut self, now: u64) {
        let until = now.min(self.end);
        loop {
            let end = self.begin.saturating_add(TICK * (self.intervals.len() as u64 + 1));
            if end > until {
                return;
            }
            let percentile = |percentile: f64| -> Option<u64> {
                let found = self.interval.percentile_below(percentile, self.interval_unanswered);
                found.filter(|nanos| nanos.is_finite()).map(|nanos| nanos as u64)
            };
            self.intervals.push(Interval {
                at: (TICK * (self.intervals.len() as u64 + 1)) as f64 / 1e9,
                done: self.interval.0.len(),
                errors: self.interval_errors,
                dropped: self.interval_dropped,
                p50: percentile(50.0),
                p99: percentile(99.0),
                max: percentile(100.0),
            });
            if !self.interval.0.is_empty() {
                self.response.merge(&self.interval);
                self.interval.0.reset();
            }
            (self.interval_errors, self.interval_dropped, self.interval_unanswered) = (0, 0, 0);
        }
    }

    /// The next interval that the watcher has not seen.
    pub(super) fn show_next(&mut self) -> Option<Interval> {
        let next = self.intervals.get(self.shown).copied()?;
        self.shown += 1;
        Some(next)
    }

    /// The errors by the names that recordings have for them.
    pub(super) fn named_errors(&self) -> BTreeMap<String, u64> {
        self.errors.iter().map(|(kind, count)| (kind.as_str().to_owned(), *count)).collect()
    }

    /// Where a moment lies in the phase: 0 is its beginning, 1 its end.
    fn place(&self, moment: u64) -> f64 {
        let length = self.end.saturating_sub(self.begin).max(1);
        moment.saturating_sub(self.begin) as f64 / length as f64
    }

    /// The time by which the replies are divided to have the rate, in seconds.
    ///
    /// In a closed loop a reply that was under way at the beginning or the end counts with its share within the phase:
    /// replies that are long compared with the phase have the rate that Little's law demands. In an open loop it is
    /// longer than the phase if the replies come more slowly than the arrivals, because the server does not keep up.
    fn seconds(&self, open_loop: bool) -> f64 {
        let length = self.length as f64 / 1e9;
        match open_loop {
            true => {
                let last = self.last_reply.saturating_sub(self.begin) as f64 / 1e9;
                let stretched = length * Moments::stretch(&self.planned, &self.answered);
                stretched.min(last.max(length))
            }
            false if self.totals.done > 0 && self.answered_within > 0.0 => {
                length * self.totals.done as f64 / self.answered_within
            }
            false => length,
        }
    }

    /// What a reader has to know of replies that are long compared with the phase.
    fn note(&self, open_loop: bool) -> Option<String> {
        let (length, after) = (self.length as f64, self.last_reply.saturating_sub(self.end) as f64);
        if self.totals.done == 0 || after <= LONG_DRAIN * length {
            return None;
        }
        let show = |nanos: f64| text::duration(Duration::from_nanos(nanos as u64));
        let counts = match open_loop {
            true => {
                "the rate is that of the replies, not of the arrivals, if they came more slowly"
            }
            false => {
                "one under way at the end counts in the rate with the share of its time before that"
            }
        };
        Some(format!(
            "replies took up to {}, and came up to {} after the end of the run of {}: {counts}; --duration {} would \
             measure more of them",
            show(self.longest as f64),
            show(after),
            show(length),
            (self.longest as f64 * 10.0 / 1e9).max(length * 2.0 / 1e9).ceil()
        ))
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
        let mut notes = self.incidents.notes(&self.totals, lost);
        notes.extend(self.note(open_loop));
        let used = self.usage.unwrap_or_default();
        let generator = Generator {
            seconds,
            cpu_seconds: used.cpu,
            // The end is noticed late where another program has the core: what was used until then is a share of that time.
            share: if used.time > 0.0 { used.cpu / used.time } else { 0.0 },
            waiting: used.run_queue_wait.filter(|_| used.time > 0.0).map(|wait| wait / used.time),
            run_queue_wait: used.run_queue_wait,
            involuntary: used.involuntary,
        };
        // Connections that came in the middle have fewer replies, which is not unfair.
        let grown = open_loop && self.totals.connections_asked > self.clients_at_begin;
        Recording {
            schema: SCHEMA,
            server: server.to_owned(),
            workload: phase.workload.clone(),
            environment: environment.clone(),
            since,
            seconds: self.seconds(open_loop),
            totals: self.totals,
            errors: self.named_errors(),
            service_time: if open_loop { self.service } else { self.response.clone() },
            response_time: self.response,
            lag: self.lag,
            intervals: self.intervals,
            per_client: if grown { Vec::new() } else { self.per_client },
            generator,
            empty: None,
            samples: Vec::new(),
            invalid: Vec::new(),
            notes,
        }
    }
}

/// So many parts of a phase are told apart in [`Moments`].
const PARTS: f64 = 1000.0;

/// A phase is not called stretched by less than this share.
const NOISE: f64 = 0.02;

/// Moments in a phase and after it, counted by thousandths of it.
#[derive(Debug, Default)]
struct Moments {
    counts: Vec<u32>,
    total: u64,
}

impl Moments {
    /// Adds one: 0 is the beginning of the phase, 1 its end.
    fn add(&mut self, place: f64) {
        // Replies come at most a timeout after the end. Beyond a thousand phases all are alike.
        let at = (place * PARTS).min(1000.0 * PARTS) as usize;
        if at >= self.counts.len() {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] = self.counts[at].saturating_add(1);
        self.total += 1;
    }

    /// When this share of them was over.
    fn quantile(&self, share: f64) -> f64 {
        let mut left = share * self.total as f64;
        for (at, &count) in self.counts.iter().enumerate() {
            if count > 0 && left <= f64::from(count) {
                return (at as f64 + left / f64::from(count)) / PARTS;
            }
            left -= f64::from(count);
        }
        self.counts.len() as f64 / PARTS
    }

    /// How much longer the middle nine tenths of the replies took to come than those of the arrivals: 1 if they came as
    /// fast, however late, and 2 if a server answers half of what is asked.
    fn stretch(planned: &Moments, answered: &Moments) -> f64 {
        let middle = |moments: &Moments| moments.quantile(0.95) - moments.quantile(0.05);
        if planned.total == 0 || answered.total == 0 {
            return 1.0;
        }
        let stretch = middle(answered) / middle(planned).max(1.0 / PARTS);
        if stretch < 1.0 + NOISE { 1.0 } else { stretch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(places: impl Iterator<Item = f64>) -> Moments {
        let mut moments = Moments::default();
        places.for_each(|place| moments.add(place));
        moments
    }

    #[test]
    fn stretch_is_of_rate_not_delay() {
        let even = |n: u32| (0..n).map(move |nth| f64::from(nth) / f64::from(n));
        let planned = moments(even(1000));
        let stretch = |reply: &dyn Fn(f64) -> f64| {
            Moments::stretch(&planned, &moments(even(1000).map(reply)))
        };
        assert!((stretch(&|at| at) - 1.0).abs() < 1e-9);
        assert!((stretch(&|at| at + 3.0) - 1.0).abs() < 1e-9, "late, and as fast");
        assert!((stretch(&|at| at * 2.0) - 2.0).abs() < 0.01, "half the rate");
        assert!((stretch(&|at| at * 10.0 + 1.0) - 10.0).abs() < 0.05, "a tenth of the rate");
        assert!(
            (stretch(&|at| if at == 0.5 { 5.0 } else { at }) - 1.0).abs() < 1e-9,
            "one is late"
        );
        let stall = |at: f64| if (0.3..0.6).contains(&at) { 0.6 } else { at };
        assert!((stretch(&stall) - 1.0).abs() < 1e-9, "all was made up for");
    }

    /// From 0 to 550 ms.
    fn half_a_second() -> Measurement {
        let mut measurement = Measurement::new(1);
        (measurement.begin, measurement.end) = (0, 11 * TICK / 2);
        measurement
    }

    #[test]
    fn held_up_generator_leaves_intervals_empty() {
        let mut measurement = half_a_second();
        measurement.record(TICK / 2, 1000, None);
        measurement.end_intervals(TICK);
        // Nothing is seen for 320 ms.
        let resumed = TICK * 42 / 10;
        measurement.record(resumed, 2000, None);
        measurement.fail(ErrorKind::Lost, 2, resumed);
        measurement.record(TICK * 52 / 10, 1000, None);
        measurement.stop(TICK * 6, None);
        measurement.record(TICK * 6, 1000, None);
        let done: Vec<u64> = measurement.intervals.iter().map(|interval| interval.done).collect();
        assert_eq!(done, [1, 0, 0, 0, 1]);
        assert_eq!(measurement.intervals[4].errors, 2);
        assert_eq!(
            (measurement.intervals[4].p50, measurement.intervals[3].max),
            (Some(2000), None)
        );
        assert!((measurement.intervals[4].at - 0.5).abs() < 1e-9);
        assert_eq!((measurement.totals.done, measurement.totals.outside_intervals), (4, 2));
        assert_eq!(measurement.response.0.len(), 4);
    }

    #[test]
    fn stall_at_end_counts_once() {
        // Of 10 tenths of a second the last two are answered three tenths after the end.
        let mut measurement = Measurement::new(1);
        (measurement.begin, measurement.end) = (0, 10 * TICK);
        for nth in 0..1000 {
            let planned = nth * TICK / 100;
            measurement.arrive(planned, Some(0));
            let now = if planned < 8 * TICK { planned } else { 13 * TICK };
            measurement.record(now, now - planned, Some(now - planned));
        }
        measurement.stop(10 * TICK, None);
        assert!((measurement.seconds(true) - 1.3).abs() < 1e-9, "{}", measurement.seconds(true));
    }

    #[test]
    fn interval_percentiles_rank_drops_above() {
        let mut measurement = half_a_second();
        measurement.record(10, 1000, Some(1000));
        (0..2).for_each(|_| measurement.arrive(20, None));
        measurement.end_intervals(TICK);
        let first = measurement.intervals[0];
        assert_eq!((first.done, first.dropped, first.p50, first.max), (1, 2, None, None));
    }

    #[test]
    fn request_counts_with_its_share_within() {
        let mut measurement = half_a_second();
        measurement.begin = TICK;
        measurement.record_share(0, 2 * TICK);
        measurement.record_share(2 * TICK, 3 * TICK);
        measurement.record_share(5 * TICK, 7 * TICK);
        measurement.record_share(0, TICK);
        measurement.record_share(6 * TICK, 7 * TICK);
        assert!((measurement.answered_within - 1.75).abs() < 1e-9);
    }
}
