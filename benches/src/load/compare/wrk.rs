//! wrk as the driver of a comparison instead of the generator of this crate.
//!
//! It is another program's opinion of the same servers, over HTTP. wrk asks for one file, in a closed loop, and does not
//! look at what it gets; so the first client of each server, in the warm-up, is the generator, which verifies the bodies.
//! Its percentiles are corrected by wrk for what it calls coordinated omission; it counts no clients and has no
//! time series.

use crate::load::content;
use crate::load::engine::{self, Run, Target};
use crate::load::failure::Failure;
use crate::load::process::myself;
use crate::load::recording::{
    Environment, ErrorKind, Generator, Latencies, Recording, SCHEMA, Totals,
};
use crate::load::sampler::{self, Sampler};
use crate::load::watched::Watched;
use crate::load::workload::{Arrivals, Lifetime, Mix, Workload};
use crate::{Placement, Server, tether};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
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
    pub(super) fn run(
        &self,
        workload: &Workload,
        target: &Target,
        server: Option<&Server>,
        placement: Placement,
        environment: &Environment,
        stop: &AtomicBool,
    ) -> Result<Watched, String> {
        let sampler = server.and_then(|server| Sampler::start(server.pid(), placement).ok());
        self.warm_up(workload, target, placement, environment, stop)?;
        let origin = Instant::now();
        let text = self.drive(workload, target, placement, sampler.as_ref());
        let text = text.map_err(|error| format!("wrk: {error}"))?;
        let mut recording = parse(&text, workload, target, environment)
            .ok_or_else(|| format!("wrk printed no figures: {}", text.escape_debug()))?;
        let mut share = 0.0;
        if let Some(sampler) = sampler {
            let series = sampler.finish(origin);
            share = series.cpu_share();
            (recording.empty, recording.samples) = (Some(series.first), series.samples);
        }
        Ok(Watched { recording, share })
    }

    /// One client of the generator's own, which verifies the replies.
    fn warm_up(
        &self,
        workload: &Workload,
        target: &Target,
        placement: Placement,
        environment: &Environment,
        stop: &AtomicBool,
    ) -> Result<(), String> {
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
            Some((kind, count)) => Err(format!("{count} errors ({kind}) while it warmed up")),
            None => Ok(()),
        }
    }

    fn drive(
        &self,
        workload: &Workload,
        target: &Target,
        placement: Placement,
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
        command.arg(format!("http://{}/{}", target.addr, content::file_name(0)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        tether::mark(&mut command);
        let child = placement.on_client_core(|| command.spawn())?;
        if let Some(sampler) = sampler {
            sampler.sample_threads();
            // While all clients are still there.
            let last = workload.duration.saturating_sub(sampler::PERIOD);
            if !ends_within(&child, last)? {
                sampler.sample_all();
            }
        }
        let output = child.wait_with_output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn ends_within(child: &Child, time: Duration) -> io::Result<bool> {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
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
        generator: Generator { cpu_seconds, share: cpu_seconds / seconds.max(1e-9) },
        empty: None,
        samples: Vec::new(),
        invalid: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_wrk_are_read() {
        let text = "Running 2s test @ http://127.0.0.1:1/4k
  1 threads and 64 connections
  139846 requests in 2.00s, 580.00MB read
Requests/sec:  69889.58
requests 139846
bytes 608174080
micros 2000500
connect 0
lost 3
refused 1
timeout 0
cpu 1.52
latency 900 100000
latency 1200 39846
";
        let target = Target { addr: ([127, 0, 0, 1], 1).into(), name: "x".into() };
        let workload = Workload::default();
        let run = parse(text, &workload, &target, &Environment::default()).unwrap();
        assert_eq!((run.totals.done, run.seconds), (139_845, 2.0005));
        let errors = BTreeMap::from([("lost".to_owned(), 3), ("refused".to_owned(), 1)]);
        assert_eq!(run.errors, errors);
        assert_eq!(run.response_time.percentile(50.0) / 1000, 900);
        assert!((0.75..0.77).contains(&run.generator.share));
        assert!(parse("unable to connect", &workload, &target, &Environment::default()).is_none());
    }

    #[test]
    fn workloads_beyond_wrk_are_named() {
        let of = |name: &str| {
            let cases = super::super::cases::named(&[name.into()], &Workload::default()).unwrap();
            Wrk::unsupported(&cases[0].workload)
        };
        for possible in ["get-4k", "get-64k", "get-1m", "connect-4k", "get-64m"] {
            assert_eq!(of(possible), None, "{possible}");
        }
        for impossible in ["put", "mixed", "idle", "visitors"] {
            assert!(of(impossible).is_some(), "{impossible}");
        }
    }
}
