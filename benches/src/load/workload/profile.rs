//! How the load grows within one run, and the phases that are recorded one by one.

use super::{Arrivals, Workload};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How the load grows within one run. Levels are connections in a closed loop, and requests per second in an
/// open one, where they take the place of the rate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "shape")]
pub enum Profile {
    /// Not at all.
    #[default]
    Steady,
    /// From level to level. Each is warmed up and then measured for `duration`, and has a recording of its own.
    Steps {
        /// One after the other.
        levels: Vec<f64>,
    },
    /// Evenly from one level to another over `duration`.
    Ramp {
        /// The level at the beginning, which is warmed up.
        from: f64,
        /// The level at the end.
        to: f64,
    },
}

/// The phases that a ramp is recorded in.
const RAMP_PHASES: usize = 10;

/// A part of a run that has a recording of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// What is asked in it; of a ramp's phase, in the middle of it.
    pub workload: Workload,
    /// The level at its beginning.
    pub from: f64,
    /// The level at its end.
    pub to: f64,
    /// A short name: `step-16`, `ramp-3`.
    pub name: String,
    /// The same in words: `steps, 16 connections`.
    pub title: String,
}

impl Workload {
    /// The most connections that there are at once.
    pub fn most_connections(&self) -> usize {
        match (&self.profile, self.arrivals) {
            (Profile::Steps { levels }, Arrivals::Closed) => {
                levels.iter().fold(0, |most, level| most.max(*level as usize))
            }
            (Profile::Ramp { from, to }, Arrivals::Closed) => from.max(*to) as usize,
            (Profile::Steady, Arrivals::Closed) => self.connections,
            // Each connection has as many under way as the pipelining depth.
            (_, Arrivals::Fixed { .. } | Arrivals::Poisson { .. }) => {
                let most = self.max_in_flight.map(|most| most.div_ceil(self.depth().max(1)));
                most.unwrap_or(self.connections)
            }
        }
    }

    /// How many connections an open loop makes before the load begins: the others follow when they are needed.
    pub(crate) fn first_connections(&self) -> usize {
        self.connections.min(self.most_connections())
    }

    /// How long is measured, all phases together.
    pub fn measured(&self) -> Duration {
        match &self.profile {
            Profile::Steps { levels } => {
                self.duration.saturating_mul(u32::try_from(levels.len()).unwrap_or(u32::MAX))
            }
            Profile::Steady | Profile::Ramp { .. } => self.duration,
        }
    }

    /// The parts that are recorded one by one; the whole, if its profile is steady.
    pub fn phases(&self) -> Vec<Phase> {
        let open = self.arrivals.rate().is_some();
        let at = |level: f64| match open {
            true => Workload { arrivals: self.arrivals.at(level), ..self.clone() },
            false => Workload { connections: level.round() as usize, ..self.clone() },
        };
        let unit = |level: f64| match open {
            true => "requests per second",
            false if level == 1.0 => "connection",
            false => "connections",
        };
        match &self.profile {
            Profile::Steady => {
                let level = self.arrivals.rate().unwrap_or(self.connections as f64);
                let title = format!("{level} {}", unit(level));
                let (workload, name) = (self.clone(), "load".to_owned());
                vec![Phase { workload, from: level, to: level, name, title }]
            }
            Profile::Steps { levels } => {
                let phase = |&level: &f64| Phase {
                    workload: at(level),
                    from: level,
                    to: level,
                    name: format!("step-{level}"),
                    title: format!("steps, {level} {}", unit(level)),
                };
                levels.iter().map(phase).collect()
            }
            Profile::Ramp { from, to } => {
                let levels = if open { RAMP_PHASES } else { (to - from).abs().round() as usize };
                let count = levels.clamp(1, RAMP_PHASES);
                let place = |nth: usize| from + (to - from) * nth as f64 / count as f64;
                let phase = |nth: usize| {
                    let (from, to) = (place(nth), place(nth + 1));
                    let workload = at(f64::midpoint(from, to));
                    let duration = self.duration / count as u32;
                    Phase {
                        workload: Workload { duration, ..workload },
                        from,
                        to,
                        name: format!("ramp-{}", nth + 1),
                        title: format!("a ramp, {from:.0} to {to:.0} {}", unit(to)),
                    }
                };
                (0..count).map(phase).collect()
            }
        }
    }
}
