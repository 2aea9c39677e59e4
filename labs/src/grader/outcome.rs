//! What a check has found.

use crate::context::Finding;
use serde::{Deserialize, Serialize};

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The program does what it should.
    Pass,
    /// It does not.
    Fail(Finding),
    /// It did not come to an end, or had to be stopped: what it did.
    Stopped(Finding),
    /// The machine cannot run the check: why.
    Skip(String),
    /// The grader could not do its own work: why.
    #[serde(alias = "trouble")]
    GraderError(String),
}

/// A check that was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The check.
    pub id: String,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The seed of its random choices.
    pub seed: u64,
    /// Processes that were left behind, each in words.
    pub leftovers: Vec<String>,
}
