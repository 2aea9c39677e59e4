//! The process in which a check runs.

use super::outcome::Outcome;
use super::signals::TerminationSignals;
use super::supervise::FILE_MAX;
use crate::context::{Stop, TestContext};
use nix::sys::resource::{Resource, setrlimit};
use std::io::{self, Read, Write};
use std::path::PathBuf;

/// Runs a check in this process, and writes its outcome to standard output. Returns whether there is such a check.
///
/// # Errors
///
/// The outcome cannot be written.
pub fn run_worker(
    lab: &str,
    check: &str,
    binaries: PathBuf,
    directory: PathBuf,
    seed: u64,
) -> io::Result<bool> {
    let Some(check) = crate::check_fn(lab, check) else { return Ok(false) };
    // Dies with the grader, so that nothing outlives a grader that was killed.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    // The grader has blocked them, for itself.
    TerminationSignals::set().thread_unblock()?;
    setrlimit(Resource::RLIMIT_FSIZE, FILE_MAX, FILE_MAX)?;
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    let mut go = [0];
    io::stdin().read_exact(&mut go)?;
    let outcome = match check(&TestContext::new(binaries, directory, seed)) {
        Ok(()) => Outcome::Pass,
        Err(Stop::Fail(finding)) => Outcome::Fail(finding),
        Err(Stop::Skip(why)) => Outcome::Skip(why),
        Err(Stop::GraderError(why)) => Outcome::GraderError(why),
    };
    let text = serde_json::to_string(&outcome)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(true)
}
