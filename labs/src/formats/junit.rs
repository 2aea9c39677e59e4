//! The XML of JUnit.

use super::outcome_word;
use crate::grader::{CheckResult, Outcome};
use crate::report::LabReport;
use std::fmt::Write;

/// All results in the XML of JUnit: a suite for each lab, a case for each check.
pub fn junit(results: &[LabReport<'_>]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for result in results {
        let count = |wanted: &str| {
            result.graded.iter().filter(|graded| outcome_word(&graded.outcome) == wanted).count()
        };
        let time: f64 = result.graded.iter().map(|graded| graded.seconds).sum();
        let name = escape(&result.lab.name());
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{name}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{time:.3}\">",
            result.graded.len(),
            count("fail"),
            count("grader_error"),
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
fn element(graded: &CheckResult) -> Option<String> {
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
        Outcome::GraderError(why) => {
            format!("<error type=\"grader\" message=\"{}\"/>", escape(why))
        }
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
