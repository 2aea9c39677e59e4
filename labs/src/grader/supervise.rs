//! Watches a worker, with bounds on what it and the student's programs may use.

use super::contain::descendants;
use super::deadlock::deadlock;
use super::load::{BUSY, run_delay};
use super::outcome::Outcome;
use super::signals::TerminationSignals;
use crate::context::{Finding, describe_exit, describe_processes};
use crate::manifest::CheckInfo;
use crate::poll::poll_for;
use harness::proc::Process;
use rustix::event::{PollFd, PollFlags};
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

/// How many processes the programs of a check may have at once.
const PROCESSES_MAX: usize = 64;

/// The largest file that they may write, in bytes.
pub(super) const FILE_MAX: u64 = 64 << 20;

/// How much the directory of a check may hold, in bytes.
const DIRECTORY_MAX: u64 = 256 << 20;

/// How often the processes are looked at.
const TICK: Duration = Duration::from_millis(20);

/// How the expectation begins of a program that did not end.
pub(crate) const AN_END: &str = "an end within";

/// Watches a worker until it ends or has to be ended.
pub(super) fn supervise(
    worker: &mut Child,
    check: &CheckInfo,
    directory: &Path,
    signals: &TerminationSignals,
) -> io::Result<(Outcome, Option<String>)> {
    let pid = worker.id() as i32;
    let mut stdout = worker.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
    let mut stderr = worker.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
    rustix::io::ioctl_fionbio(&stdout, true)?;
    rustix::io::ioctl_fionbio(&stderr, true)?;
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let begun = Instant::now();
    let deadline = Duration::from_secs(check.deadline);
    let (mut late, mut delayed) = (Duration::ZERO, Duration::ZERO);
    let mut ticks = 0u32;
    let stopped =
        |what: String, observed: String| Outcome::Stopped(Finding { expected: what, observed });
    let outcome = loop {
        let asleep = Instant::now();
        let ended = {
            let mut fds = [PollFd::new(&stdout, PollFlags::IN)];
            poll_for(&mut fds, TICK)?;
            drain(&mut stderr, &mut errors)?;
            // Its end alone: what the worker says at last may come between a look here and the end of the other.
            drain(&mut stdout, &mut output)?
        };
        late += asleep.elapsed().saturating_sub(TICK);
        delayed = run_delay(pid).unwrap_or(delayed);
        if ended {
            drain(&mut stderr, &mut errors)?;
            break verdict(worker, &output, &errors)?;
        }
        if signals.arrived() {
            break Outcome::GraderError("interrupted".into());
        }
        ticks += 1;
        let processes = descendants();
        let students = processes.iter().filter(|p| p.pid != pid && p.state != 'Z').count();
        if students > PROCESSES_MAX {
            let what = format!("no more than {PROCESSES_MAX} processes at once");
            break stopped(what, format!("{students} processes; all were killed"));
        }
        if ticks.is_multiple_of(10) && size_of(directory) > DIRECTORY_MAX {
            let what = format!("no more than {} MiB of files", DIRECTORY_MAX >> 20);
            break stopped(what, "more than that; the program was killed".into());
        }
        if begun.elapsed() > deadline {
            let students: Vec<Process> = processes.into_iter().filter(|p| p.pid != pid).collect();
            let what = format!("{AN_END} {deadline:?}");
            break stopped(
                what,
                format!("{}{}", deadlock(&students), describe_processes(&students)),
            );
        }
    };
    let elapsed = begun.elapsed();
    let waited = late.max(delayed);
    let busy = (waited > elapsed.mul_f64(0.4) && waited > Duration::from_millis(400)).then(|| {
        format!("{BUSY}: for {waited:.1?} of {elapsed:.1?} the grader did not get to run")
    });
    Ok((outcome, busy))
}

/// The outcome that a worker has written, which has closed its output.
fn verdict(worker: &mut Child, output: &[u8], errors: &[u8]) -> io::Result<Outcome> {
    let status = worker.wait()?;
    if !status.success() {
        let last = String::from_utf8_lossy(errors).lines().take(3).collect::<Vec<_>>().join(" ");
        let how = describe_exit(status);
        return Ok(Outcome::GraderError(format!("the grader's worker {how} {last}")));
    }
    match serde_json::from_slice(output) {
        Ok(outcome) => Ok(outcome),
        Err(error) => {
            Ok(Outcome::GraderError(format!("the grader's worker has no verdict: {error}")))
        }
    }
}

/// Reads what there is; returns whether that was the end.
fn drain(stream: &mut impl Read, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 4096];
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return Ok(true),
            Ok(n) => into.extend_from_slice(&chunk[..n]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Bytes below a directory.
fn size_of(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => size_of(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
