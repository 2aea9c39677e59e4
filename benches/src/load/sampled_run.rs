//! A run whose server is sampled from outside.

use super::engine::{self, Run, Target, Watcher};
use super::recording::{Environment, Recording};
use super::report;
use super::sampler::Sampler;
use super::workload::Workload;
use crate::{Placement, Server, text};
use std::sync::atomic::AtomicBool;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The environment of a run that begins now.
pub fn environment(placement: String) -> Environment {
    let command: Vec<String> = std::env::args().collect();
    let started = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    Environment { machine: text::machine(), command: command.join(" "), started, placement }
}

/// A run and the cost of sampling its server.
#[derive(Clone, Debug)]
pub(crate) struct SampledRun {
    /// The run.
    pub(crate) recording: Recording,
    /// The share of the generator's core that it took to sample the server.
    pub(crate) share: f64,
}

/// Where a workload is run, and against which server.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The server's address and name.
    pub(crate) target: &'a Target,
    /// Its process, if that can be sampled.
    pub(crate) server: Option<&'a Server>,
    /// The cores of both sides.
    pub(crate) placement: Placement,
    /// Goes into the recording as it is.
    pub(crate) environment: &'a Environment,
    /// Set from elsewhere, it ends the run.
    pub(crate) stop: &'a AtomicBool,
}

impl Context<'_> {
    /// Samples the server from now on.
    pub(crate) fn sampler(&self) -> Option<Sampler> {
        self.server.and_then(|server| Sampler::start(server.pid(), self.placement).ok())
    }
}

impl SampledRun {
    /// Puts samples on the time axis of a recording, which begins at `origin`.
    pub(crate) fn new(
        mut recording: Recording,
        sampler: Option<Sampler>,
        origin: Instant,
    ) -> SampledRun {
        let mut share = 0.0;
        if let Some(sampler) = sampler {
            let series = sampler.finish(origin);
            share = series.cpu_share();
            (recording.empty, recording.samples) = (Some(series.first), series.samples);
            recording.notes.extend(report::why_no_cpu_split(&recording));
        }
        SampledRun { recording, share }
    }
}

/// Runs a workload on the client's core, with the server sampled from outside.
///
/// # Errors
///
/// There is nothing to record; the error says why.
pub(crate) fn run_sampled(workload: &Workload, context: Context) -> Result<SampledRun, String> {
    let Context { target, placement, environment, stop, .. } = context;
    let mut clock = Clock { sampler: context.sampler(), origin: None };
    let environment = environment.clone();
    let run = Run { workload, target, stop, watcher: Some(&mut clock), environment };
    let recording = placement.on_client_core(|| engine::run(run)).map_err(|e| e.to_string())?;
    let origin = clock.origin.unwrap_or_else(Instant::now);
    Ok(SampledRun::new(recording, clock.sampler, origin))
}

/// Asks the sampler for samples at the moments that matter.
struct Clock {
    sampler: Option<Sampler>,
    origin: Option<Instant>,
}

impl Watcher for Clock {
    fn server_has_exited(&mut self) -> bool {
        self.sampler.as_ref().is_some_and(Sampler::server_has_exited)
    }

    fn started(&mut self, at: Instant) {
        self.origin = Some(at);
        if let Some(sampler) = &self.sampler {
            sampler.sample_threads();
        }
    }

    fn drained(&mut self) {
        if let Some(sampler) = &self.sampler {
            sampler.sample_all_now();
        }
    }
}
