//! wrk as the driver of a comparison instead of the generator of this crate.
//!
//! It is another program's opinion of the same servers, over HTTP. wrk asks for one file, in a closed loop, and does not
//! look at what it gets; so the first client of each server, in the warm-up, is the generator, which verifies the bodies.
//! Its percentiles are corrected by wrk for what it calls coordinated omission; it counts no clients and has no
//! time series.

use crate::load::content;
use crate::load::engine::{self, Run, Target};
use crate::load::failure::Failure;
use crate::load::latencies::Latencies;
use crate::load::process::myself;
use crate::load::recording::{Environment, ErrorKind, Generator, Recording, SCHEMA, Totals};
use crate::load::sampled_run::{Context, SampledRun};
use crate::load::sampler::{self, Sampler};
use crate::load::workload::{Arrivals, Lifetime, Mix, Workload};
use crate::tether;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

/// A warm-up is no shorter than this: it verifies what the server replies.
const WARM_UP: Duration = Duration::from_millis(50);

/// Prints what wrk has found in lines of a name and numbers.
const SCRIPT: &str = r#"done = function(summary, latency, requests)
  local errors = summary.errors
  io.write("requests ", summary.requests, "\nbytes ", summary.bytes, "\nmicros ", summary.duration)
  io.write("\nconnect ", errors.connect, "\nlost ", errors.read + errors.write)
  io.write("\nrefused ", errors.status, "\ntimeout ", errors.timeout, "\ncpu ", os.clock(), "\n")
  for i = 1, #latency do
    io.write("latency ", string.format("%d %d\n", latency(i)))
  end
end
"#;

/// A wrk that is installed, and a script for it.
#[derive(Clone, Debug)]
pub struct Wrk {
    program: PathBuf,
    script: PathBuf,
    /// Its name and version, as reports show it.
    pub version: String,
}

impl Wrk {
    /// Finds wrk on the PATH, and writes its script to `directory`.
    ///
    /// # Errors
    ///
    /// It is not installed, or the script cannot be written.
    pub fn find(directory: &Path) -> Result<Wrk, Failure> {
        let missing = || {
            let why = "wrk is not installed: install the package wrk (apt install wrk), or leave out --driver";
            Failure::Unusable(why.into())
        };
        let program = super::third_party::program("wrk", &[]).ok_or_else(missing)?;
        let script = directory.join("report.lua");
        fs::write(&script, SCRIPT)?;
        let output = Command::new(&program).arg("-v").output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
        Ok(Wrk { program, script, version })
    }

    /// Why wrk cannot drive a workload, if it cannot.
    pub(super) fn unsupported(workload: &Workload) -> Option<&'static str> {
        let Mix { put, list, hash, quit, .. } = workload.mix;
        if put + list + hash + quit > 0 {
            return Some("wrk sends GET alone");
        }
        if workload.arrivals != Arrivals::Closed {
            return Some("wrk has no open loop");
        }
        if matches!(workload.lifetime, Lifetime::Churn { .. }) {
            return Some("wrk ends its connections after each request or not at all");
        }
        None
    }

    /// Runs a workload on the client's core, with the server sampled from outside.
    pub(super) fn run(&self, workload: &Workload, context: Context) -> Result<SampledRun, String> {
        let sampler = context.sampler();
        warm_up(workload, context)?;
        let origin = Instant::now();
        let text = self.drive(workload, context, sampler.as_ref());
        let text = text.map_err(|error| format!("wrk: {error}"))?;
        let recording = parse(&text, workload, context.target, context.environment)
            .ok_or_else(|| format!("wrk printed no figures: {}", text.escape_debug()))?;
        Ok(SampledRun::new(recording, sampler, origin))
    }

    /// Runs wrk; returns what it prints.
    fn drive(
        &self,
        workload: &Workload,
        context: Context,
        sampler: Option<&Sampler>,
    ) -> io::Result<String> {
        let mut command = myself("become")?;
        command.arg(&self.program).args([
            "-t1".to_owned(),
            format!("-c{}", workload.connections),
            format!("-d{}s", workload.duration.as_secs()),
            format!("--timeout={}s", workload.timeout.as_secs().max(1)),
        ]);
        command.arg("-s").arg(&self.script);
        if workload.lifetime == Lifetime::PerRequest {
            command.args(["-H", "Connection: close"]);
        }
        command.arg(format!("http://{}/{}", context.target.authority, content::file_name(0)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        tether::mark(&mut command);
        let child = context.placement.on_client_core(|| command.spawn())?;
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
        let output = thread::scope(|scope| {
            // wrk is in a group of its own, which a Ctrl-C at the terminal does not reach.
            scope.spawn(|| {
                while let Ok(false) = ends_within(&pidfd, sampler::PERIOD) {
                    if context.stop.load(Ordering::Relaxed) {
                        let _ = pidfd_send_signal(&pidfd, Signal::TERM);
                    }
                }
            });
            if let Some(sampler) = sampler {
                sampler.sample_threads();
                // While all clients are still there.
                let last = workload.duration.saturating_sub(sampler::PERIOD);
                if !ends_within(&pidfd, last)? {
                    sampler.sample_all();
                }
            }
            child.wait_with_output()
        })?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Runs one client of the generator's own, which verifies the replies.
fn warm_up(workload: &Workload, context: Context) -> Result<(), String> {
    let Context { target, placement, environment, stop, .. } = context;
    let workload = Workload {
        connections: 1,
        duration: workload.warm_up.max(WARM_UP),
        warm_up: Duration::ZERO,
        verify: true,
        ..workload.clone()
    };
    let environment = environment.clone();
    let run = Run { workload: &workload, target, stop, watcher: None, environment };
    let run = placement.on_client_core(|| engine::run(run)).map_err(|e| e.to_string())?;
    match run.errors.iter().find(|(_, count)| **count > 0) {
        Some((kind, count)) => Err(format!("{count} errors ({kind}) in the warm-up")),
        None => Ok(()),
    }
}

fn ends_within(process: &OwnedFd, time: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    Ok(poll(&mut fds, Some(&time))? > 0)
}

fn parse(
    text: &str,
    workload: &Workload,
    target: &Target,
    environment: &Environment,
) -> Option<Recording> {
    let mut values: BTreeMap<&str, f64> = BTreeMap::new();
    let mut latencies = Latencies::new();
    for line in text.lines() {
        let mut words = line.split(' ');
        match (words.next()?, words.next(), words.next()) {
            ("latency", Some(micros), Some(count)) => {
                let nanos = micros.parse::<u64>().ok()?.saturating_mul(1000).max(1);
                latencies.0.saturating_record_n(nanos, count.parse().ok()?);
            }
            (name, Some(value), None) => {
                // Lines of wrk's own have other words.
                if let Ok(value) = value.parse() {
                    values.insert(name, value);
                }
            }
            _ => {}
        }
    }
    let value = |name: &str| values.get(name).copied();
    let count = |name: &str| value(name).map(|value| value as u64);
    let seconds = value("micros")? / 1e6;
    let (requests, cpu_seconds) = (count("requests")?, value("cpu")?);
    let refused = count("refused")?;
    let kinds = [
        (ErrorKind::Connect, count("connect")?),
        (ErrorKind::Lost, count("lost")?),
        (ErrorKind::Refused, refused),
        (ErrorKind::Timeout, count("timeout")?),
    ];
    let kinds = kinds.into_iter().filter(|(_, count)| *count > 0);
    Some(Recording {
        schema: SCHEMA,
        server: target.name.clone(),
        workload: workload.clone(),
        environment: environment.clone(),
        since: 0.0,
        seconds,
        totals: Totals {
            planned: requests,
            done: requests.saturating_sub(refused),
            bytes_in: count("bytes")?,
            ..Totals::default()
        },
        errors: kinds.map(|(kind, count)| (kind.as_str().to_owned(), count)).collect(),
        service_time: latencies.clone(),
        response_time: latencies,
        lag: Latencies::new(),
        intervals: Vec::new(),
        per_client: Vec::new(),
        generator: Generator {
            cpu_seconds,
            share: cpu_seconds / seconds.max(1e-9),
            ..Generator::default()
        },
        empty: None,
        samples: Vec::new(),
        invalid: Vec::new(),
        notes: Vec::new(),
    })
}

#[cfg(test)]
mod tests;
