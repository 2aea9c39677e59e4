//! Which phase of its profile a run is in, and what is measured of each.

use super::measurement::Measurement;
use super::nanos;
use crate::load::recording::{Environment, ErrorKind, Recording, Totals};
use crate::load::verdict::{self, Bounds, SERVER_ENDED};
use crate::load::workload::{Phase, Profile, Workload};
use std::time::Duration;

/// The phases of a run, and their measurements.
pub(super) struct Phases {
    plan: Vec<Phase>,
    /// What is measured now, or will be when the warm-up is over.
    pub(super) current: Measurement,
    /// What was measured before that.
    past: Vec<Measurement>,
    /// Whether the warm-up of the current phase is over.
    pub(super) warmed_up: bool,
    ramp: bool,
    warm_up: Duration,
}

impl Phases {
    pub(super) fn new(workload: &Workload, clients: usize) -> Phases {
        Phases {
            plan: workload.phases(),
            current: Measurement::new(clients),
            past: Vec::new(),
            warmed_up: false,
            ramp: matches!(workload.profile, Profile::Ramp { .. }),
            warm_up: workload.warm_up,
        }
    }

    pub(super) fn is_ramp(&self) -> bool {
        self.ramp
    }

    /// The number of the current phase.
    pub(super) fn number(&self) -> usize {
        self.past.len()
    }

    /// The current phase.
    pub(super) fn phase(&self) -> &Phase {
        &self.plan[self.number()]
    }

    /// Whether no phase comes after this one.
    pub(super) fn is_last(&self) -> bool {
        self.number() + 1 >= self.plan.len()
    }

    /// Whether the clients of the current phase come all at once, unlike those of a ramp.
    pub(super) fn clients_come_at_once(&self) -> bool {
        !self.ramp || self.number() == 0
    }

    /// The number of the phase in which a request planned for this moment is measured, if it is.
    pub(super) fn of(&self, planned: u64) -> Option<u32> {
        self.current.contains(planned).then_some(self.number() as u32)
    }

    /// Leaves open when the current phase begins.
    pub(super) fn postpone(&mut self) {
        (self.current.begin, self.current.end) = (u64::MAX, u64::MAX);
    }

    pub(super) fn is_postponed(&self) -> bool {
        self.current.begin == u64::MAX
    }

    /// Begins the warm-up of the current phase at `from`.
    pub(super) fn set_window(&mut self, from: u64) {
        // A ramp has no steps to get used to.
        let warm_up = if self.clients_come_at_once() { self.warm_up } else { Duration::ZERO };
        let begin = from + nanos(warm_up);
        let end = begin + nanos(self.phase().workload.duration);
        (self.current.begin, self.current.end) = (begin, end);
    }

    /// Begins to measure now, where this process did not get to run when the warm-up ended. Otherwise the
    /// measurement might be over before it has begun. Not in a ramp, and not without a warm-up. Returns
    /// whether it was so.
    pub(super) fn begin_late(&mut self, now: u64) -> bool {
        let Measurement { begin, end, .. } = self.current;
        let late = now - begin;
        let shifts = !self.ramp && !self.warm_up.is_zero() && late > (end - begin) / 10;
        if shifts {
            (self.current.begin, self.current.end) = (now, end + late);
        }
        shifts
    }

    /// How many clients a ramp has at this moment; none before and after it is measured.
    pub(super) fn ramp_clients(&self, now: u64) -> Option<usize> {
        let Measurement { begin, end, .. } = self.current;
        if !self.warmed_up || now < begin {
            return None;
        }
        let phase = self.phase();
        let share = ((now - begin) as f64 / (end - begin).max(1) as f64).min(1.0);
        Some((phase.from + (phase.to - phase.from) * share).round() as usize)
    }

    /// Goes on to the next phase, with so many clients.
    pub(super) fn advance(&mut self, clients: usize) {
        let next = Measurement::new(clients);
        self.past.push(std::mem::replace(&mut self.current, next));
        self.warmed_up = false;
    }

    /// The measurement of an earlier phase; none if it is the current one.
    pub(super) fn past_mut(&mut self, phase: u32) -> Option<&mut Measurement> {
        self.past.get_mut(phase as usize)
    }

    /// Counts errors; `of` is the phase that the request belongs to. An error in a warm-up counts where its
    /// request belongs.
    pub(super) fn fail(&mut self, kind: ErrorKind, count: u64, now: u64, of: Option<u32>) {
        if now >= self.current.begin {
            self.current.fail(kind, count, now);
        } else if let Some(past) = of.and_then(|phase| self.past.get_mut(phase as usize)) {
            past.fail(kind, count, now);
        }
    }

    /// Counts a request of a closed loop in every phase that it was under way in, from `sent` to `now`.
    pub(super) fn record_share(&mut self, sent: u64, now: u64) {
        self.current.record_share(sent, now);
        if sent < self.current.begin {
            let past = self.past.iter_mut().rev().take_while(|past| past.end > sent);
            past.for_each(|past| past.record_share(sent, now));
        }
    }

    /// Closes the measurement of the current phase with these counts.
    pub(super) fn close(&mut self, totals: Totals, per_client: Vec<u64>) {
        self.current.totals = totals;
        self.current.per_client = per_client;
    }

    /// A recording of each phase that was begun, judged.
    pub(super) fn into_recordings(
        self,
        server: &str,
        environment: &Environment,
        open_loop: bool,
        server_ended: bool,
    ) -> Vec<Recording> {
        // One that was not begun says nothing, unless there is no other.
        let mut all = self.past;
        if self.warmed_up || all.is_empty() {
            all.push(self.current);
        }
        let (count, first) = (all.len(), all[0].begin);
        let recordings = all.into_iter().zip(&self.plan).enumerate();
        let recordings = recordings.map(|(nth, (measurement, phase))| {
            let since = measurement.begin.saturating_sub(first) as f64 / 1e9;
            let ended_after = measurement.incidents.away_since().unwrap_or(measurement.length);
            let mut recording =
                measurement.into_recording(server, phase, environment, since, open_loop);
            if self.ramp && !open_loop {
                // Clients come in the middle: that they have fewer replies is not unfair.
                recording.per_client = Vec::new();
            }
            if server_ended && nth + 1 == count {
                let seconds = ended_after as f64 / 1e9;
                recording.invalid.push(format!("{SERVER_ENDED} after {seconds:.1} s of the run"));
            }
            verdict::judge(&mut recording, &Bounds::default(), None);
            recording
        });
        recordings.collect()
    }
}
