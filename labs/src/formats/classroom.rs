//! What the reporter of GitHub Classroom's autograding takes.

use super::{message, outcome_word, overall, points};
use crate::report::{LabReport, Status};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// What the reporter of GitHub Classroom's autograding takes from a step's output `result`: an object, in base64.
/// Where the grader itself has failed its status is `error` and it is worth 0 of 0, so that the reporter fails and
/// reports no points.
pub fn classroom(results: &[LabReport<'_>]) -> String {
    STANDARD.encode(classroom_object(results).to_string()) + "\n"
}

/// What [`classroom`] encodes.
pub fn classroom_object(results: &[LabReport<'_>]) -> Value {
    let failed = overall(results) == Status::GraderError;
    let mut tests = Vec::new();
    for result in results {
        for graded in &result.graded {
            let (got, _) = result.points_of(graded);
            let status = match outcome_word(&graded.outcome) {
                "grader_error" => "error",
                "fail" => "fail",
                // What was skipped is worth 0 of 0; there is no word for it here.
                _ => "pass",
            };
            tests.push(json!({
                "name": format!("{} {}", result.lab.number(), graded.id),
                "status": status,
                "score": if failed { 0 } else { got },
                "message": message(result, graded),
                "test_code": result.replay(graded),
                "filename": "",
                "line_no": 0,
                "duration": (graded.seconds * 1000.0).round() as u64,
            }));
        }
    }
    let status = match overall(results) {
        Status::Pass => "pass",
        Status::Fail => "fail",
        Status::GraderError => "error",
    };
    let max = if failed { 0 } else { points(results).1 };
    json!({ "version": 1, "status": status, "max_score": max, "tests": tests })
}
