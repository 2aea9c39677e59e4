//! A run whose server is watched from outside.

use super::engine::{self, Run, Target, Watcher};
use super::recording::{Environment, Interval, Latencies, Recording, Totals};
use super::sampler::{self, Sampler};
use super::workload::Workload;
use crate::{Placement, Server, text};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The environment of a run that begins now.
pub fn environment(placement: String) -> Environment {
    let command: Vec<String> = std::env::args().collect();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Environment { machine: text::machine(), command: command.join(" "), started, placement }
}

/// A run and the cost of watching it.
#[derive(Clone, Debug)]
pub struct Watched {
    /// The run.
    pub recording: Recording,
    /// The share of the generator's core that it took to sample the server.
    pub share: f64,
}

/// Runs a workload on the client's core, with the server sampled from outside.
///
/// # Errors
///
/// There is nothing to record; the error says why.
pub fn run_watched(
    workload: &Workload,
    target: &Target,
    server: Option<&Server>,
    placement: Placement,
    environment: &Environment,
    stop: &AtomicBool,
) -> Result<Watched, String> {
    let sampler = server.and_then(|server| Sampler::start(server.pid(), placement).ok());
    let mut clock = Clock { sampler, origin: None, end: workload.duration.as_secs_f64() };
    let run =
        Run { workload, target, stop, watcher: Some(&mut clock), environment: environment.clone() };
    let mut recording =
        placement.on_client_core(|| engine::run(run)).map_err(|error| error.to_string())?;
    let mut share = 0.0;
    if let Some(sampler) = clock.sampler {
        let series = sampler.finish(clock.origin.unwrap_or_else(Instant::now));
        share = series.cpu_share();
        (recording.empty, recording.samples) = (Some(series.first), series.samples);
    }
    Ok(Watched { recording, share })
}

/// Tells the sampler when it matters.
struct Clock {
    sampler: Option<Sampler>,
    origin: Option<Instant>,
    end: f64,
}

impl Watcher for Clock {
    fn started(&mut self, at: Instant) {
        self.origin = Some(at);
        if let Some(sampler) = &self.sampler {
            sampler.sample_threads();
        }
    }

    fn interval(&mut self, interval: &Interval, _: &Totals, _: &BTreeMap<String, u64>) {
        // While all clients are still there.
        let last = self.end - 1.5 * sampler::PERIOD.as_secs_f64();
        if let Some(sampler) = &self.sampler
            && interval.at >= last
            && interval.at < self.end - 0.5 * sampler::PERIOD.as_secs_f64()
        {
            sampler.sample_all();
        }
    }

    fn latencies(&mut self, _: &Latencies) {}
}
