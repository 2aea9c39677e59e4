//! Runs a check against a student's programs, contains whatever they do, and cleans up.
//!
//! The check itself runs in a *worker*, a process of its own: it may be stuck, killed or starved together with
//! what it examines, and this process will still say what happened. It is the subreaper of all that is
//! started below it, so that a daemon that has forked itself away is found, ended and waited for, too.
//!
//! | what a program does | what happens |
//! |---|---|
//! | hangs | each wait of the check has a bound; the check's deadline is behind them |
//! | forks without end | above `PROCESSES_MAX` processes all are killed; a pids cgroup holds them meanwhile, where there is one |
//! | prints without end | what is read is bounded, see `OUTPUT_MAX` in `context::program` |
//! | fills the disk | a file has a largest size, and so has the directory |
//! | leaves processes behind | they are killed and waited for, and a message names them |
//!
//! A verdict is only taken from a worker that has ended in order. Where the machine kept this process or the
//! worker from running for much of the time, or does so for a small calculation after a slow failure, the failure
//! proves nothing: the check is tried again, and in the end it is a *grader error*, which is neither a pass nor a failure.
//!
//! Ctrl-C ends a check in order. A grader that is killed outright leaves things behind, which the next one finds: see
//! [`crate::sweep`].

mod contain;
mod deadlock;
mod load;
mod outcome;
mod signals;
mod supervise;
mod worker;

pub use crate::context::Finding;
pub use contain::become_subreaper;
pub(crate) use load::BUSY;
pub use outcome::{CheckResult, Outcome};
pub use signals::{TerminationSignals, interrupted};
pub use worker::run_worker;

use crate::lab::Lab;
use crate::manifest::CheckInfo;
use crate::sweep;
use contain::{Cgroup, clean_up};
use load::starved;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
pub(crate) use supervise::AN_END;
use supervise::supervise;

/// How often a check is tried that the machine was too busy for.
const ATTEMPTS: u32 = 3;

/// A failure that took as long as this may be one of a wait, and so of a machine that was too busy.
const SLOW: Duration = Duration::from_millis(1500);

/// Runs one check against the programs in `binaries`. [`become_subreaper`] was called before, and this process has
/// no other children: those that are left afterwards are killed.
pub fn grade(lab: &Lab, check: &CheckInfo, binaries: &Path, seed: u64) -> CheckResult {
    let begun = Instant::now();
    let mut leftovers = Vec::new();
    let mut attempts = 1;
    let outcome = loop {
        if let Some(signal) = interrupted() {
            break Outcome::GraderError(format!("interrupted by {signal}"));
        }
        let tried = Instant::now();
        let (outcome, busy) = match attempt(lab, check, binaries, seed, &mut leftovers) {
            Ok(attempted) => attempted,
            Err(error) => (Outcome::GraderError(error.to_string()), None),
        };
        let slow = tried.elapsed() > SLOW && !matches!(outcome, Outcome::Pass | Outcome::Skip(_));
        let busy = busy.or_else(|| slow.then(starved).flatten());
        match (&outcome, busy) {
            // Too many processes or too large files are that on any machine.
            (Outcome::Stopped(finding), _) if !finding.expected.starts_with(AN_END) => {
                break outcome;
            }
            (Outcome::Fail(_) | Outcome::Stopped(_), Some(_)) if attempts < ATTEMPTS => {
                attempts += 1
            }
            (Outcome::Fail(_) | Outcome::Stopped(_), Some(busy)) => {
                break Outcome::GraderError(busy);
            }
            _ => break outcome,
        }
    };
    let seconds = begun.elapsed().as_secs_f64();
    CheckResult { id: check.id.clone(), outcome, seconds, seed, leftovers }
}

/// Gives the outcome and, where the machine was too busy for it to prove anything, how that showed.
fn attempt(
    lab: &Lab,
    check: &CheckInfo,
    binaries: &Path,
    seed: u64,
    leftovers: &mut Vec<String>,
) -> io::Result<(Outcome, Option<String>)> {
    let signals = TerminationSignals::block()?;
    let directory = tempfile::Builder::new().prefix(&sweep::name()).tempdir()?;
    let mut worker = Command::new(std::env::current_exe()?)
        .args(["__check", &lab.name(), &check.id, &seed.to_string()])
        .args([binaries, directory.path()])
        .env(sweep::CHECK_DIRECTORY, directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    let cgroup = Cgroup::around(worker.id());
    // The worker waits for this: it starts nothing before it is in the cgroup.
    if let Some(mut stdin) = worker.stdin.take() {
        stdin.write_all(b"\n")?;
    }
    let watched = supervise(&mut worker, check, directory.path(), &signals);
    let outcome = clean_up(&mut worker, cgroup.as_ref(), leftovers).and(watched);
    drop(cgroup);
    drop(directory);
    drop(signals);
    outcome
}
