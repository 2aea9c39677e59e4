//! Results, for people and for machines.
//!
//! | format | for |
//! |---|---|
//! | text | the student |
//! | json | other programs: one object, with everything that is known |
//! | junit | continuous integration: the XML that Jenkins' JUnit plugin and its successors read |

use crate::grader::{Graded, Outcome};
use crate::manifest::{CheckInfo, Lab, Language};
use crate::trial::{Finding, UNWRITTEN};
use serde::Serialize;
use std::fmt::Write;

/// What came of a lab's checks.
#[derive(Clone, Debug)]
pub struct Result<'a> {
    /// The lab.
    pub lab: &'a Lab,
    /// Its checks, those that were run.
    pub graded: Vec<Graded>,
}

/// The checks of a lab that was never opened: none has passed.
pub fn unopened(lab: &Lab) -> Vec<Graded> {
    let observed = "the lab was never opened".to_owned();
    let finding = Finding { expected: "a program".into(), observed };
    let checks = lab.manifest.checks.iter();
    checks
        .map(|check| Graded {
            id: check.id.clone(),
            outcome: Outcome::Fail(finding.clone()),
            seconds: 0.0,
            seed: 0,
            leftovers: Vec::new(),
        })
        .collect()
}

/// What a run of checks amounts to, as the exit code of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sum {
    /// All passed.
    Pass = 0,
    /// Something is wrong with the student's program.
    Fail = 1,
    /// The grader could not do its work: nothing is said about the program.
    Trouble = 3,
}

impl Result<'_> {
    fn info(&self, graded: &Graded) -> Option<&CheckInfo> {
        self.lab.check(&graded.id)
    }

    /// The points of one check: what it brought, and what it is worth on this machine.
    pub fn points_of(&self, graded: &Graded) -> (u32, u32) {
        let worth = self.info(graded).map_or(0, |check| check.points);
        match graded.outcome {
            Outcome::Pass => (worth, worth),
            Outcome::Fail(_) | Outcome::Stopped(_) | Outcome::Trouble(_) => (0, worth),
            Outcome::Skip(_) => (0, 0),
        }
    }

    /// All points.
    pub fn points(&self) -> (u32, u32) {
        let points = self.graded.iter().map(|graded| self.points_of(graded));
        points.fold((0, 0), |(got, of), (more, worth)| (got + more, of + worth))
    }

    /// What it amounts to.
    pub fn sum(&self) -> Sum {
        let of = |graded: &Graded| match graded.outcome {
            Outcome::Pass | Outcome::Skip(_) => Sum::Pass,
            Outcome::Fail(_) | Outcome::Stopped(_) => Sum::Fail,
            Outcome::Trouble(_) => Sum::Trouble,
        };
        self.graded.iter().map(of).max().unwrap_or(Sum::Pass)
    }

    /// For the student.
    pub fn text(&self, language: Language) -> String {
        let mut text = String::new();
        let (got, of) = self.points();
        let title = format!("L{} {}", self.lab.number(), self.lab.manifest.title.get(language));
        let _ = writeln!(text, "{title:<60} {got}/{of}");
        let width = self.graded.iter().map(|graded| graded.id.len()).max().unwrap_or(0).max(24);
        for graded in &self.graded {
            let (got, of) = self.points_of(graded);
            let (word, rest) = match &graded.outcome {
                Outcome::Pass => ("ok", String::new()),
                Outcome::Fail(_) | Outcome::Stopped(_) => {
                    ("FAIL", format!("   seed {:x}", graded.seed))
                }
                Outcome::Skip(why) => ("skip", format!("   {why}")),
                Outcome::Trouble(why) => ("?", format!("   {why}")),
            };
            let points = format!("{got}/{of}");
            let seconds = graded.seconds;
            let _ = writeln!(
                text,
                " {word:<4}  {:<width$}  {points:>6}  {seconds:5.2} s{rest}",
                graded.id
            );
            if let Outcome::Fail(finding) | Outcome::Stopped(finding) = &graded.outcome {
                self.explain(&mut text, graded, finding, language);
            }
            for left in &graded.leftovers {
                let _ = writeln!(text, "       left      {left}");
            }
        }
        text
    }

    fn explain(&self, text: &mut String, graded: &Graded, finding: &Finding, language: Language) {
        let Some(check) = self.info(graded) else { return };
        let number = self.lab.number();
        let _ = writeln!(text, "       expected  {}", finding.expected);
        let _ = writeln!(text, "       observed  {}", finding.observed);
        if !finding.observed.contains(UNWRITTEN) {
            let _ = writeln!(text, "       meaning   {}", check.meaning.get(language));
        }
        let replay =
            format!("cargo lab test {number} --only {} --seed {:x}", check.id, graded.seed);
        if let Some(hole) = &check.hole {
            let _ = writeln!(text, "       try       cargo lab hint {number} {hole}");
        }
        let _ = writeln!(text, "       replay    {replay}");
    }
}

#[derive(Serialize)]
struct JsonLab<'a> {
    lab: String,
    title: &'a str,
    points: u32,
    of: u32,
    checks: Vec<JsonCheck<'a>>,
}

#[derive(Serialize)]
struct JsonCheck<'a> {
    id: &'a str,
    status: &'static str,
    points: u32,
    of: u32,
    seconds: f64,
    seed: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn status(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail(_) | Outcome::Stopped(_) => "fail",
        Outcome::Skip(_) => "skip",
        Outcome::Trouble(_) => "trouble",
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

/// All results as one JSON object: `{"points", "of", "labs": [{"lab", "title", "points", "of", "checks": [...]}]}`.
pub fn json(results: &[Result<'_>]) -> String {
    #[derive(Serialize)]
    struct All<'a> {
        points: u32,
        of: u32,
        labs: Vec<JsonLab<'a>>,
    }
    let labs: Vec<JsonLab<'_>> = results
        .iter()
        .map(|result| {
            let (points, of) = result.points();
            let checks = result.graded.iter().map(|graded| {
                let (points, of) = result.points_of(graded);
                JsonCheck {
                    id: &graded.id,
                    status: status(&graded.outcome),
                    points,
                    of,
                    seconds: graded.seconds,
                    seed: format!("{:x}", graded.seed),
                    expected: finding(&graded.outcome).map(|finding| &finding.expected[..]),
                    observed: finding(&graded.outcome).map(|finding| &finding.observed[..]),
                    reason: reason(&graded.outcome),
                }
            });
            let title = &result.lab.manifest.title.en[..];
            JsonLab { lab: result.lab.name(), title, points, of, checks: checks.collect() }
        })
        .collect();
    let all = All {
        points: labs.iter().map(|lab| lab.points).sum(),
        of: labs.iter().map(|lab| lab.of).sum(),
        labs,
    };
    serde_json::to_string_pretty(&all).unwrap_or_default() + "\n"
}

/// All results in the XML of JUnit: a suite for each lab, a case for each check.
pub fn junit(results: &[Result<'_>]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for result in results {
        let count = |wanted: &[&str]| {
            let matches = result.graded.iter().filter(|g| wanted.contains(&status(&g.outcome)));
            matches.count()
        };
        let time: f64 = result.graded.iter().map(|graded| graded.seconds).sum();
        let _ = writeln!(
            xml,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{time:.3}\">",
            escape(&result.lab.name()),
            result.graded.len(),
            count(&["fail"]),
            count(&["trouble"]),
            count(&["skip"]),
        );
        for graded in &result.graded {
            let _ = write!(
                xml,
                "    <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\"",
                escape(&result.lab.name()),
                escape(&graded.id),
                graded.seconds
            );
            let element = match &graded.outcome {
                Outcome::Pass => None,
                Outcome::Fail(finding) | Outcome::Stopped(finding) => Some(format!(
                    "<failure message=\"{}\">expected {}\nobserved {}</failure>",
                    escape(&finding.observed),
                    escape(&finding.expected),
                    escape(&finding.observed)
                )),
                Outcome::Skip(why) => Some(format!("<skipped message=\"{}\"/>", escape(why))),
                Outcome::Trouble(why) => Some(format!("<error message=\"{}\"/>", escape(why))),
            };
            let _ = match element {
                None => writeln!(xml, "/>"),
                Some(element) => writeln!(xml, ">\n      {element}\n    </testcase>"),
            };
        }
        xml.push_str("  </testsuite>\n");
    }
    xml + "</testsuites>\n"
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
