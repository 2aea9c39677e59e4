//! Which requests are made, and in an open loop when.

use crate::load::codec::Request;
use crate::load::schedule::{Choice, Schedule, Verb};
use crate::load::workload::{Lifetime, Workload};

/// Draws the requests of a run.
pub(super) struct Requests {
    choice: Choice,
    /// None in a closed loop.
    schedule: Option<Schedule>,
    lifetime: Lifetime,
    /// How many versions of files have been uploaded.
    versions: u64,
    /// The moment that the schedule counts from; 0 before that.
    start: u64,
}

impl Requests {
    pub(super) fn new(workload: &Workload) -> Requests {
        Requests {
            choice: Choice::new(workload),
            schedule: Schedule::new(workload),
            lifetime: workload.lifetime,
            versions: 0,
            start: 0,
        }
    }

    /// Begins the schedule.
    pub(super) fn start(&mut self, now: u64) {
        self.start = now;
    }

    pub(super) fn has_started(&self) -> bool {
        self.start > 0
    }

    pub(super) fn is_open_loop(&self) -> bool {
        self.schedule.is_some()
    }

    /// Whether every request has a connection of its own.
    pub(super) fn connect_each(&self) -> bool {
        self.lifetime == Lifetime::PerRequest
    }

    /// When the next arrival of an open loop is planned.
    pub(super) fn next_arrival(&self) -> Option<u64> {
        Some(self.start + self.schedule.as_ref()?.peek())
    }

    /// Goes on to the arrival after that.
    pub(super) fn advance(&mut self) {
        if let Some(schedule) = &mut self.schedule {
            schedule.step();
        }
    }

    /// Draws a request.
    pub(super) fn draw(&mut self) -> Request {
        let verb = self.choice.verb();
        let name = self.choice.name();
        let last = verb == Verb::Quit
            || match self.lifetime {
                Lifetime::KeepAlive => false,
                Lifetime::PerRequest => true,
                Lifetime::Churn { ratio } => self.choice.happens(ratio),
            };
        Request { verb, name, last }
    }

    /// The version of the next upload.
    pub(super) fn next_version(&mut self) -> u64 {
        self.versions += 1;
        self.versions
    }
}
