//! What the generator can do when the server costs next to nothing.

use super::{Run, RunError, Target, run};
use crate::load::null;
use crate::load::recording::Environment;
use crate::load::workload::{Arrivals, Mix, Profile, Workload};
use std::io;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How long a null run lasts.
const NULL_RUN: Duration = Duration::from_millis(300);

/// The most connections of a null run.
const NULL_CONNECTIONS: usize = 256;

/// How often a null run is tried in which nothing was done.
const NULL_RUNS: u32 = 5;

/// What the generator can do when the server costs nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ceiling {
    /// Requests per second of the generator's CPU time.
    pub per_cpu_second: f64,
}

/// Runs the gets of a workload against an in-process reply: what the generator itself can do.
///
/// # Errors
///
/// As [`run`].
pub fn null_ceiling(workload: &Workload) -> Result<Ceiling, RunError> {
    let workload = Workload {
        // Enough of them to be handled in batches, as in the run itself.
        connections: workload.most_connections().min(NULL_CONNECTIONS),
        arrivals: Arrivals::Closed,
        max_in_flight: None,
        profile: Profile::Steady,
        duration: NULL_RUN,
        warm_up: NULL_RUN / 4,
        mix: Mix::default(),
        slow_share: 0.0,
        ..workload.clone()
    };
    workload.validate().map_err(RunError::Unusable)?;
    let unusable = |error: io::Error| RunError::Unusable(format!("null run: {error}"));
    let server = null::Server::start(&workload).map_err(unusable)?;
    let target = Target::new(server.addr(), "null");
    let stop = AtomicBool::new(false);
    let mut left = NULL_RUNS;
    loop {
        let (watcher, environment) = (None, Environment::default());
        let recording =
            run(Run { workload: &workload, target: &target, stop: &stop, watcher, environment })?;
        left -= 1;
        let done = recording.totals.done;
        // A run in which the process never got the CPU says nothing.
        if done > 0 || left == 0 {
            let cpu = recording.generator.cpu_seconds.max(1e-9);
            return Ok(Ceiling { per_cpu_second: done as f64 / cpu });
        }
    }
}
