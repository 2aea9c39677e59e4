//! Results for machines.
//!
//! | format | for | where the grader itself has failed |
//! |---|---|---|
//! | json | other programs | `"status": "grader_error"`, and `null` for the points |
//! | junit | continuous integration: what Jenkins, GitLab and others read | `<error type="grader">`, counted in `errors` |
//! | gradescope | `results.json` of a Gradescope autograder | no score anywhere, and an `output` that says why |
//! | classroom | the reporter of GitHub Classroom's autograding | `"status": "error"`, worth 0 of 0: it reports no points |
//!
//! A failure of the grader is never a score of nothing: the exit code is 3 then, whatever the format.
//!
//! The form of `json`:
//!
//! ```text
//! {"version": 2, "status": STATUS, "points": N or null, "of": N, "labs": [
//!   {"lab": "06_processes", "title": TEXT, "status": STATUS, "points": N or null, "of": N, "checks": [
//!     {"id": "group.name", "status": STATUS or "skip", "points": N or null, "of": N, "seconds": X, "seed": HEX,
//!      "expected": TEXT, "observed": TEXT,         of a failure
//!      "reason": TEXT,                             of what was skipped, and of a grader error
//!      "leftovers": [TEXT]}]}]}                    processes that the program left behind
//! STATUS is "pass", "fail" or "grader_error"; in version 1 it was "trouble"
//! ```

mod classroom;
mod gradescope;
mod json;
mod junit;

pub use classroom::{classroom, classroom_object};
pub use gradescope::gradescope;
pub use json::json;
pub use junit::junit;

use crate::context::Finding;
use crate::grader::{CheckResult, Outcome};
use crate::report::{LabReport, Status};
use std::fmt::Write;

fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail(_) | Outcome::Stopped(_) => "fail",
        Outcome::Skip(_) => "skip",
        Outcome::GraderError(_) => "grader_error",
    }
}

fn status_word(status: Status) -> &'static str {
    match status {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::GraderError => "grader_error",
    }
}

fn finding(outcome: &Outcome) -> Option<&Finding> {
    match outcome {
        Outcome::Fail(finding) | Outcome::Stopped(finding) => Some(finding),
        _ => None,
    }
}

fn reason(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::Skip(why) | Outcome::GraderError(why) => Some(why),
        _ => None,
    }
}

/// The status of all of them together.
pub fn overall(results: &[LabReport<'_>]) -> Status {
    results.iter().map(LabReport::status).max().unwrap_or(Status::Pass)
}

fn points(results: &[LabReport<'_>]) -> (u32, u32) {
    let each = results.iter().map(LabReport::points);
    each.fold((0, 0), |(got, of), (more, worth)| (got + more, of + worth))
}

/// What is shown of a check where there is only room for a text.
fn message(result: &LabReport<'_>, graded: &CheckResult) -> Option<String> {
    let mut text = match &graded.outcome {
        Outcome::Pass => return None,
        Outcome::Skip(why) => format!("skipped: {why}"),
        Outcome::GraderError(why) => {
            format!(
                "the grader could not do its own work, which says nothing about the program: {why}"
            )
        }
        Outcome::Fail(finding) | Outcome::Stopped(finding) => {
            format!("expected {}\nobserved {}", finding.expected, finding.observed)
        }
    };
    if let (Some(_), Some(check)) = (finding(&graded.outcome), result.info(graded)) {
        let _ = write!(text, "\nmeaning  {}\nreplay   {}", check.meaning.en, result.replay(graded));
    }
    for left in &graded.leftovers {
        let _ = write!(text, "\nleft     {left}");
    }
    Some(text)
}
