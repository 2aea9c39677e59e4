//! The results: every round, as JSON.

use super::cases::{Bound, Case, Contestant, Cores, Mechanism, Pattern, Waiting};
use crate::load::recording::Environment;
use crate::load::stats::{self, Ratio};
use serde::{Deserialize, Serialize};

/// The version of the JSON that a [`Report`] is written as.
///
/// Version 1 called `pattern` `course` and `contestant` `who`, and its contestants `baseline` and `cache-line` were `bare`
/// and `line`; [`Report::read`] reads it too.
pub const SCHEMA: u32 = 2;

/// The least number of rounds that a bound is checked with.
pub const ENOUGH: usize = 15;

/// All cases of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Where and how it was run.
    pub environment: Environment,
    /// How many interleaved rounds were asked for.
    pub rounds: usize,
    /// For how many milliseconds each contestant was measured in each round; 0 for a few messages.
    pub millis: u64,
    /// The result of each case.
    pub results: Vec<Measured>,
}

/// The result of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What was measured.
    #[serde(flatten)]
    pub case: Case,
    /// Why it was not run; the rest is empty then.
    pub missing: Option<String>,
    /// One for each contestant.
    pub outcomes: Vec<Outcome>,
}

/// The result of a contestant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Which one.
    #[serde(alias = "who")]
    pub contestant: Contestant,
    /// How many messages, or round trips, were timed as one.
    pub messages: u64,
    /// Nanoseconds for one of them, in each round; the n-th of one and the n-th of another were run next to each other.
    pub nanos: Vec<Option<f64>>,
    /// Why rounds are missing.
    pub failure: Option<String>,
}

/// Whether a ratio is within its bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Kept,
    /// It is not.
    Missed,
    /// There were too few rounds.
    TooFew,
}

impl Report {
    /// Reads a report of this version, or of the one before.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line.
    pub fn read(json: &str) -> Result<Report, String> {
        let value: serde_json::Value =
            serde_json::from_str(json).map_err(|error| format!("no JSON: {error}"))?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(1 | 2) => {}
            found => return Err(format!("no report of schema 1 or {SCHEMA}, but {found:?}")),
        }
        let report: Report =
            serde_json::from_value(value).map_err(|error| format!("no report: {error}"))?;
        Ok(Report { schema: SCHEMA, ..report })
    }

    /// As JSON.
    ///
    /// # Errors
    ///
    /// A figure that JSON cannot hold.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self).map(|json| json + "\n")
    }

    /// The result of one case.
    pub fn find(
        &self,
        mechanism: Mechanism,
        pattern: Pattern,
        cores: Cores,
        waiting: Waiting,
        size: usize,
    ) -> Option<&Measured> {
        let case = Case { mechanism, pattern, cores, waiting, size };
        self.results.iter().find(|result| result.case == case)
    }

    /// Failures: not what the machine does not allow, but what went wrong.
    pub fn failures(&self) -> Vec<String> {
        let failures = self.results.iter().flat_map(|result| {
            result.outcomes.iter().filter_map(|outcome| {
                let why = outcome.failure.as_ref()?;
                Some(format!("{}, {}: {why}", result.case, outcome.contestant.title()))
            })
        });
        failures.collect()
    }
}

impl Measured {
    /// The outcome of one contestant.
    pub fn outcome(&self, contestant: Contestant) -> Option<&Outcome> {
        self.outcomes.iter().find(|outcome| outcome.contestant == contestant)
    }

    /// Nanoseconds of one of them: the median of the rounds.
    pub fn nanos(&self, contestant: Contestant) -> Option<f64> {
        stats::median_of(self.outcome(contestant)?.nanos.iter().copied())
    }

    /// Nanoseconds of the library, or of the baseline where the library does not take part.
    pub fn primary_nanos(&self) -> Option<f64> {
        match self.outcome(Contestant::Library) {
            Some(_) => self.nanos(Contestant::Library),
            None => self.nanos(Contestant::Baseline),
        }
    }

    /// How many times as long one of them takes as another, over the rounds.
    pub fn ratio(&self, contestant: Contestant, to: Contestant) -> Option<Ratio> {
        let (own, other) = (self.outcome(contestant)?, self.outcome(to)?);
        let pairs: Vec<_> = own.nanos.iter().copied().zip(other.nanos.iter().copied()).collect();
        stats::ratio(&pairs, 1)
    }

    /// The library's ratio to its baseline.
    pub fn to_baseline(&self) -> Option<Ratio> {
        self.ratio(Contestant::Library, self.case.baseline())
    }

    /// Whether that ratio is within its bound; `None` where nothing was promised or measured.
    pub fn verdict(&self) -> Option<Verdict> {
        let bound = self.case.bound()?;
        let ratio = self.to_baseline()?;
        let low = ratio.interval.map_or(ratio.value, |(low, _)| low);
        Some(match bound {
            _ if ratio.rounds < ENOUGH => Verdict::TooFew,
            Bound::Reaches(most) if low <= most => Verdict::Kept,
            Bound::AtMost(most) if ratio.value <= most => Verdict::Kept,
            Bound::Reaches(_) | Bound::AtMost(_) => Verdict::Missed,
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
