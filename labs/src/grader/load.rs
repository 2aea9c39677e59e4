//! Whether the machine lets the grader run: a failure proves nothing where it does not.

use harness::proc;
use std::fs;
use std::time::{Duration, Instant};

/// How a grader error begins that is due to a busy machine: another run may have a verdict.
pub(crate) const BUSY: &str = "the machine was too busy";

/// The calculation that shows whether this process gets to run: so much CPU time, and no longer than that.
const PROBE: (Duration, Duration) = (Duration::from_millis(40), Duration::from_secs(2));

/// How many times as long as its CPU time a calculation may take where checks can be trusted.
const STARVED: f64 = 6.0;

/// Why no verdict can be trusted, where this process hardly gets to run: shown by a calculation that should take a known
/// time. It is called when nothing of the student's runs any more.
pub(super) fn starved() -> Option<String> {
    let own = std::process::id() as i32;
    let (begun, before) = (Instant::now(), proc::cpu_time(own)?);
    let mut used = Duration::ZERO;
    while used < PROBE.0 && begun.elapsed() < PROBE.1 {
        std::hint::black_box((0..20_000u64).fold(0, |sum: u64, n| sum.rotate_left(5) ^ n));
        used = proc::cpu_time(own)?.saturating_sub(before);
    }
    let took = begun.elapsed();
    let starved = took > used.max(Duration::from_millis(4)).mul_f64(STARVED);
    starved.then(|| format!("{BUSY}: it gave the grader {used:.0?} of CPU time in {took:.1?}"))
}

/// How long a process was ready to run and did not.
pub(super) fn run_delay(pid: i32) -> Option<Duration> {
    let line = fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    Some(Duration::from_nanos(line.split_whitespace().nth(1)?.parse().ok()?))
}
