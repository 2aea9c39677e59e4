//! What a check returns: nothing, or why it stopped.

use std::time::Duration;
use std::{fmt, io};

/// What came of it: passed, or why not.
pub type Verdict<T = ()> = Result<T, Stop>;

/// Why a check went no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The student's program is wrong.
    Fail(Finding),
    /// The machine cannot run this check: why.
    Skip(String),
    /// The grader could not do its own work: why. Never counted as the student's.
    GraderError(String),
}

impl Stop {
    /// Changes the finding, if the student's program is wrong.
    pub fn map_finding(mut self, change: impl FnOnce(&mut Finding)) -> Stop {
        if let Stop::Fail(finding) = &mut self {
            change(finding);
        }
        self
    }
}

/// What was seen instead of what should have been.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// What a right program does.
    pub expected: String,
    /// What this one did.
    pub observed: String,
}

/// The student's fault.
pub fn fail<T>(expected: impl fmt::Display, observed: impl fmt::Display) -> Verdict<T> {
    let (expected, observed) = (expected.to_string(), observed.to_string());
    Err(Stop::Fail(Finding { expected, observed }))
}

/// What the grader itself could not do.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::GraderError(error.to_string())
    }
}

impl From<nix::Error> for Stop {
    fn from(error: nix::Error) -> Stop {
        Stop::GraderError(error.to_string())
    }
}

/// How long something may take that should happen at once.
pub const TIMEOUT: Duration = Duration::from_secs(4);

/// How an observation begins of a program that came to a stub.
pub const UNWRITTEN: &str = "not written yet";
