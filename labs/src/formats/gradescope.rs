//! The `results.json` of a Gradescope autograder.

use super::{message, overall, points};
use crate::grader::Outcome;
use crate::report::{LabReport, Status};
use serde_json::json;

/// What is said of all where the grader has failed.
const NO_SCORE: &str = "The grader could not do its own work, so there is no score: this says nothing about the \
                        program. Grade it again.";

/// The `results.json` of a Gradescope autograder. Where the grader itself has failed it has no score, neither for
/// the whole nor for a test; Gradescope then shows the submission as one whose grading has failed.
pub fn gradescope(results: &[LabReport<'_>]) -> String {
    let failed = overall(results) == Status::GraderError;
    let mut tests = Vec::new();
    for result in results {
        let number: u32 = result.lab.number().parse().unwrap_or_default();
        for (at, graded) in (1..).zip(&result.graded) {
            let (got, of) = result.points_of(graded);
            let title = result.info(graded).map_or("", |check| &check.title.en);
            let mut test = json!({
                "name": format!("{}: {title}", graded.id),
                "number": format!("{number}.{at}"),
                "output": message(result, graded).unwrap_or_default(),
                "tags": [result.lab.name()],
                "visibility": "visible",
                "extra_data": { "check": graded.id, "seed": format!("{:x}", graded.seed) },
            });
            if !failed {
                test["score"] = got.into();
                test["max_score"] = of.into();
            }
            match graded.outcome {
                Outcome::Pass => test["status"] = "passed".into(),
                Outcome::Fail(_) | Outcome::Stopped(_) => test["status"] = "failed".into(),
                // Neither: the two are all that there are.
                Outcome::Skip(_) | Outcome::GraderError(_) => {}
            }
            tests.push(test);
        }
    }
    let seconds: f64 = results.iter().flat_map(|r| &r.graded).map(|graded| graded.seconds).sum();
    let (got, of) = points(results);
    let output = if failed { NO_SCORE.into() } else { format!("{got} of {of} points") };
    let all = json!({
        "execution_time": seconds.ceil() as u64,
        "output": output,
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": { "grader_error": failed },
        "tests": tests,
    });
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}
