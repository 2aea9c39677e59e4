//! Results for machines.
//!
//! | format | for | where the grader itself has failed |
//! |---|---|---|
//! | json | other programs | `"status": "trouble"`, and `null` for the points |
//! | junit | continuous integration: what Jenkins, GitLab and others read | `<error type="grader">`, counted in `errors` |
//! | gradescope | `results.json` of a Gradescope autograder | no score anywhere, and an `output` that says why |
//! | classroom | the reporter of GitHub Classroom's autograding | `"status": "error"`, worth 0 of 0: it reports no points |
//!
//! A failure of the grader is never a score of nothing: the exit code is 3 then, whatever the format.
//!
//! The form of `json`:
//!
//! ```text
//! {"version": 1, "status": STATUS, "points": N or null, "of": N, "labs": [
//!   {"lab": "06_processes", "title": TEXT, "status": STATUS, "points": N or null, "of": N, "checks": [
//!     {"id": "group.name", "status": STATUS or "skip", "points": N or null, "of": N, "seconds": X, "seed": HEX,
//!      "expected": TEXT, "observed": TEXT,         of a failure
//!      "reason": TEXT,                             of what was skipped, and of trouble
//!      "leftovers": [TEXT]}]}]}                    processes that the program left behind
//! STATUS is "pass", "fail" or "trouble"
//! ```

use crate::context::Finding;
use crate::grader::{Graded, Outcome};
use crate::report::{Result, Sum};
use serde::Serialize;
use serde_json::{Value, json};
use std::fmt::Write;

fn status(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail(_) | Outcome::Stopped(_) => "fail",
        Outcome::Skip(_) => "skip",
        Outcome::Trouble(_) => "trouble",
    }
}

fn word(sum: Sum) -> &'static str {
    match sum {
        Sum::Pass => "pass",
        Sum::Fail => "fail",
        Sum::Trouble => "trouble",
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
        Outcome::Skip(why) | Outcome::Trouble(why) => Some(why),
        _ => None,
    }
}

/// What they all amount to.
pub fn sum(results: &[Result<'_>]) -> Sum {
    results.iter().map(Result::sum).max().unwrap_or(Sum::Pass)
}

fn points(results: &[Result<'_>]) -> (u32, u32) {
    let each = results.iter().map(Result::points);
    each.fold((0, 0), |(got, of), (more, worth)| (got + more, of + worth))
}

/// All results as one object, in the form that this module's documentation shows.
pub fn json(results: &[Result<'_>]) -> String {
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
    let known = |sum: Sum, points: u32| (sum != Sum::Trouble).then_some(points);
    let labs = results.iter().map(|result| {
        let checks = result.graded.iter().map(|graded| {
            let (points, of) = result.points_of(graded);
            let outcome = &graded.outcome;
            let finding = finding(outcome);
            Check {
                id: &graded.id,
                status: status(outcome),
                points: (status(outcome) != "trouble").then_some(points),
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
            status: word(result.sum()),
            points: known(result.sum(), points),
            of,
            checks: checks.collect(),
        }
    });
    let (got, of) = points(results);
    let all = All {
        version: 1,
        status: word(sum(results)),
        points: known(sum(results), got),
        of,
        labs: labs.collect(),
    };
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}

/// All results in the XML of JUnit: a suite for each lab, a case for each check.
pub fn junit(results: &[Result<'_>]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for result in results {
        let count = |wanted: &str| {
            result.graded.iter().filter(|graded| status(&graded.outcome) == wanted).count()
        };
        let time: f64 = result.graded.iter().map(|graded| graded.seconds).sum();
        let name = escape(&result.lab.name());
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{time:.3}\">",
            result.graded.len(),
            count("fail"),
            count("trouble"),
            count("skip"),
        );
        for graded in &result.graded {
            let _ = write!(
                xml,
                "    <testcase classname=\"{name}\" name=\"{}\" time=\"{:.3}\"",
                escape(&graded.id),
                graded.seconds
            );
            let _ = match element(graded) {
                None => writeln!(xml, "/>"),
                Some(element) => writeln!(xml, ">\n      {element}\n    </testcase>"),
            };
        }
        xml.push_str("  </testsuite>\n");
    }
    xml + "</testsuites>\n"
}

/// What JUnit has inside a case that has not passed.
fn element(graded: &Graded) -> Option<String> {
    Some(match &graded.outcome {
        Outcome::Pass => return None,
        Outcome::Fail(finding) | Outcome::Stopped(finding) => format!(
            "<failure type=\"check\" message=\"{}\">expected {}\nobserved {}\nseed {:x}</failure>",
            escape(&finding.observed),
            escape(&finding.expected),
            escape(&finding.observed),
            graded.seed
        ),
        Outcome::Skip(why) => format!("<skipped message=\"{}\"/>", escape(why)),
        Outcome::Trouble(why) => format!("<error type=\"grader\" message=\"{}\"/>", escape(why)),
    })
}

/// For an attribute or text of XML 1.0, which has no place for most control characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(char),
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => {
                escaped.push(char::REPLACEMENT_CHARACTER);
            }
            char => escaped.push(char),
        }
    }
    escaped
}

/// What is shown of a check where there is only room for a text.
fn message(result: &Result<'_>, graded: &Graded) -> Option<String> {
    let mut text = match &graded.outcome {
        Outcome::Pass => return None,
        Outcome::Skip(why) => format!("skipped: {why}"),
        Outcome::Trouble(why) => {
            format!(
                "the grader could not do its own work, which says nothing about the program: {why}"
            )
        }
        Outcome::Fail(finding) | Outcome::Stopped(finding) => {
            format!("expected {}\nobserved {}", finding.expected, finding.observed)
        }
    };
    if let (Some(_), Some(check)) = (finding(&graded.outcome), result.info(graded)) {
        let _ =
            write!(text, "\nmeaning  {}\nreplay   {}", check.meaning.en, replay(result, graded));
    }
    for left in &graded.leftovers {
        let _ = write!(text, "\nleft     {left}");
    }
    Some(text)
}

fn replay(result: &Result<'_>, graded: &Graded) -> String {
    let number = result.lab.number();
    format!("cargo lab test {number} --only {} --seed {:x}", graded.id, graded.seed)
}

/// What is said of all where the grader has failed.
const NO_SCORE: &str = "The grader could not do its own work, so there is no score: this says nothing about the \
                        program. Grade it again.";

/// The `results.json` of a Gradescope autograder. Where the grader itself has failed it has no score, neither for
/// the whole nor for a test; Gradescope then shows the submission as one whose grading has failed.
pub fn gradescope(results: &[Result<'_>]) -> String {
    let trouble = sum(results) == Sum::Trouble;
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
            if !trouble {
                test["score"] = got.into();
                test["max_score"] = of.into();
            }
            match graded.outcome {
                Outcome::Pass => test["status"] = "passed".into(),
                Outcome::Fail(_) | Outcome::Stopped(_) => test["status"] = "failed".into(),
                // Neither: the two are all that there are.
                Outcome::Skip(_) | Outcome::Trouble(_) => {}
            }
            tests.push(test);
        }
    }
    let seconds: f64 = results.iter().flat_map(|r| &r.graded).map(|graded| graded.seconds).sum();
    let (got, of) = points(results);
    let output = if trouble { NO_SCORE.into() } else { format!("{got} of {of} points") };
    let all = json!({
        "execution_time": seconds.ceil() as u64,
        "output": output,
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "extra_data": { "trouble": trouble },
        "tests": tests,
    });
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}

/// What the reporter of GitHub Classroom's autograding takes from a step's output `result`: an object, in base64.
/// Where the grader itself has failed its status is `error` and it is worth 0 of 0, so that the reporter fails and
/// reports no points.
pub fn classroom(results: &[Result<'_>]) -> String {
    base64(classroom_object(results).to_string().as_bytes()) + "\n"
}

/// What [`classroom`] encodes.
pub fn classroom_object(results: &[Result<'_>]) -> Value {
    let trouble = sum(results) == Sum::Trouble;
    let mut tests = Vec::new();
    for result in results {
        for graded in &result.graded {
            let (got, _) = result.points_of(graded);
            let status = match status(&graded.outcome) {
                "trouble" => "error",
                "fail" => "fail",
                // What was skipped is worth 0 of 0; there is no word for it here.
                _ => "pass",
            };
            tests.push(json!({
                "name": format!("{} {}", result.lab.number(), graded.id),
                "status": status,
                "score": if trouble { 0 } else { got },
                "message": message(result, graded),
                "test_code": replay(result, graded),
                "filename": "",
                "line_no": 0,
                "duration": (graded.seconds * 1000.0).round() as u64,
            }));
        }
    }
    let status = match sum(results) {
        Sum::Pass => "pass",
        Sum::Fail => "fail",
        Sum::Trouble => "error",
    };
    let max = if trouble { 0 } else { points(results).1 };
    json!({ "version": 1, "status": status, "max_score": max, "tests": tests })
}

/// RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = bits >> (18 - 6 * digit) & 63;
            let padding = digit > chunk.len();
            text.push(if padding { '=' } else { char::from(DIGITS[value as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::base64;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (plain, encoded) in vectors {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
    }
}
