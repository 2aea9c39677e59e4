//! All results as one object.

use super::{finding, outcome_word, overall, points, reason, status_word};
use crate::report::{LabReport, Status};
use serde::Serialize;

/// All results as one object, in the form that this module's documentation shows.
pub fn json(results: &[LabReport<'_>]) -> String {
    #[derive(Serialize)]
    struct All<'a> {
        version: u32,
        status: &'static str,
        points: Option<u32>,
        of: u32,
        labs: Vec<Lab<'a>>,
    }
    #[derive(Serialize)]
    struct Lab<'a> {
        lab: String,
        title: &'a str,
        status: &'static str,
        points: Option<u32>,
        of: u32,
        checks: Vec<Check<'a>>,
    }
    #[derive(Serialize)]
    struct Check<'a> {
        id: &'a str,
        status: &'static str,
        points: Option<u32>,
        of: u32,
        seconds: f64,
        seed: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        expected: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        observed: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
        #[serde(skip_serializing_if = "<[String]>::is_empty")]
        leftovers: &'a [String],
    }
    let known = |status: Status, points: u32| (status != Status::GraderError).then_some(points);
    let labs = results.iter().map(|result| {
        let checks = result.graded.iter().map(|graded| {
            let (points, of) = result.points_of(graded);
            let outcome = &graded.outcome;
            let finding = finding(outcome);
            Check {
                id: &graded.id,
                status: outcome_word(outcome),
                points: (outcome_word(outcome) != "grader_error").then_some(points),
                of,
                seconds: graded.seconds,
                seed: format!("{:x}", graded.seed),
                expected: finding.map(|finding| &finding.expected[..]),
                observed: finding.map(|finding| &finding.observed[..]),
                reason: reason(outcome),
                leftovers: &graded.leftovers,
            }
        });
        let (points, of) = result.points();
        Lab {
            lab: result.lab.name(),
            title: &result.lab.manifest.title.en,
            status: status_word(result.status()),
            points: known(result.status(), points),
            of,
            checks: checks.collect(),
        }
    });
    let (got, of) = points(results);
    let all = All {
        version: 2,
        status: status_word(overall(results)),
        points: known(overall(results), got),
        of,
        labs: labs.collect(),
    };
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}
