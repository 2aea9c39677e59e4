//! Reports for machines, held against samples of the forms that their readers document:
//!
//! - Gradescope: <https://gradescope-autograders.readthedocs.io/en/latest/specs/>
//! - GitHub Classroom: <https://github.com/classroom-resources/autograding-grading-reporter>
//! - JUnit: the schema `junit-10.xsd` of <https://github.com/jenkinsci/xunit-plugin>
//! - JSON: our own, in the documentation of `labs::formats`

use labs::formats;
use labs::grader::{CheckResult, Finding, Outcome};
use labs::lab::Lab;
use labs::report::LabReport;
use serde_json::Value;
use std::collections::BTreeMap;

fn lab() -> Lab {
    Lab::load(&labs::labs_directory().join("06_processes")).unwrap()
}

fn graded(lab: &Lab, outcomes: Vec<Outcome>) -> Vec<CheckResult> {
    let checks = lab.manifest.checks.iter().zip(outcomes);
    checks
        .map(|(check, outcome)| CheckResult {
            id: check.id.clone(),
            outcome,
            seconds: 1.25,
            seed: 0xbeef,
            leftovers: vec!["pid 7 is waiting in pause".into()],
        })
        .collect()
}

fn awkward() -> Finding {
    let observed =
        "\"<tags> & 'quotes'\" \u{1} \u{1b}[31mred\u{1b}[0m ]]> \u{fffe} 僵尸\n\ttab".into();
    Finding { expected: "<nothing>".into(), observed }
}

/// Two passed, one skipped, two failed.
fn some_fail() -> Vec<Outcome> {
    vec![
        Outcome::Pass,
        Outcome::Pass,
        Outcome::Skip("no \"moon\"".into()),
        Outcome::Fail(awkward()),
        Outcome::Stopped(awkward()),
    ]
}

/// As that, and one of which nothing is known.
fn grader_error() -> Vec<Outcome> {
    let mut outcomes = some_fail();
    outcomes.push(Outcome::GraderError("the machine was <too> busy".into()));
    outcomes
}

fn reported(outcomes: Vec<Outcome>, format: fn(&[LabReport<'_>]) -> String) -> String {
    let lab = lab();
    let graded = graded(&lab, outcomes);
    format(&[LabReport { lab: &lab, graded }])
}

fn parsed(outcomes: Vec<Outcome>, format: fn(&[LabReport<'_>]) -> String) -> Value {
    serde_json::from_str(&reported(outcomes, format)).unwrap()
}

/// Every key of `value` is in one of the samples, with a value of the same kind.
fn fits(value: &Value, samples: &[&Value], at: &str) {
    let kind = |value: &Value| match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "text",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    };
    assert!(
        samples.iter().any(|sample| kind(sample) == kind(value)),
        "{at}: {value} is of no kind that the sample has there"
    );
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let samples: Vec<&Value> = samples.iter().filter_map(|one| one.get(key)).collect();
                assert!(!samples.is_empty(), "{at}.{key}: the sample has no such key");
                fits(value, &samples, &format!("{at}.{key}"));
            }
        }
        Value::Array(items) => {
            let samples: Vec<&Value> =
                samples.iter().filter_map(|one| one.as_array()).flatten().collect();
            items.iter().for_each(|item| fits(item, &samples, &format!("{at}[]")));
        }
        _ => {}
    }
}

fn sample(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn gradescope_has_documented_form() {
    let sample = sample(include_str!("samples/gradescope.json"));
    let report = parsed(some_fail(), formats::gradescope);
    fits(&report, &[&sample], "gradescope");
    let tests = report["tests"].as_array().unwrap();
    assert_eq!(tests.len(), 5);
    for test in tests {
        let (score, max) = (test["score"].as_f64().unwrap(), test["max_score"].as_f64().unwrap());
        assert!((0.0..=max).contains(&score), "{test}");
        let visible = test["visibility"].as_str().unwrap();
        assert!(["hidden", "after_due_date", "after_published", "visible"].contains(&visible));
        if let Some(status) = test.get("status") {
            assert!(status == "passed" || status == "failed", "{status}");
        }
    }
    assert_eq!(tests[0]["score"], 5);
    assert_eq!(tests[3]["status"], "failed");
    assert!(tests[3]["output"].as_str().unwrap().contains("<nothing>"));
    // What was skipped is worth 0 of 0, and says why.
    assert_eq!((&tests[2]["score"], &tests[2]["max_score"]), (&0.into(), &0.into()));
    assert!(tests[2]["output"].as_str().unwrap().contains("no \"moon\""));
}

#[test]
fn gradescope_has_no_score_after_grader_error() {
    let report = parsed(grader_error(), formats::gradescope);
    fits(&report, &[&sample(include_str!("samples/gradescope.json"))], "gradescope");
    assert!(report.get("score").is_none());
    assert_eq!(report["extra_data"]["grader_error"], true);
    assert!(report["output"].as_str().unwrap().contains("there is no score"));
    for test in report["tests"].as_array().unwrap() {
        assert!(test.get("score").is_none() && test.get("max_score").is_none(), "{test}");
    }
    let last = &report["tests"][5];
    assert!(last.get("status").is_none(), "{last}");
    assert!(last["output"].as_str().unwrap().contains("the machine was <too> busy"));
}

#[test]
fn classroom_has_reporters_form() {
    let sample = sample(include_str!("samples/classroom.json"));
    let lab = lab();
    let graded = graded(&lab, some_fail());
    let results = [LabReport { lab: &lab, graded }];
    let report = formats::classroom_object(&results);
    fits(&report, &[&sample], "classroom");
    assert_eq!(report["status"], "fail");
    assert_eq!(report["max_score"], 5 + 5 + 6 + 10);
    for test in report["tests"].as_array().unwrap() {
        assert!(["pass", "fail", "error"].contains(&test["status"].as_str().unwrap()), "{test}");
        assert!(test["score"].as_u64().is_some() && test["line_no"].as_u64().is_some(), "{test}");
    }
    assert_eq!(report["tests"][0]["message"], Value::Null);
    let scores = report["tests"].as_array().unwrap().iter().map(|test| test["score"].as_u64());
    assert_eq!(scores.map(Option::unwrap).sum::<u64>(), 10);
    // One line, as an output of a step must be.
    let encoded = formats::classroom(&results);
    assert_eq!(encoded.matches('\n').count(), 1);
    assert!(encoded.trim_end().bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b)));
}

#[test]
fn classroom_has_no_points_after_grader_error() {
    let lab = lab();
    let graded = graded(&lab, grader_error());
    let report = formats::classroom_object(&[LabReport { lab: &lab, graded }]);
    fits(&report, &[&sample(include_str!("samples/classroom.json"))], "classroom");
    // The reporter leaves out whatever is worth nothing, and fails where a status is `error`.
    assert_eq!((&report["status"], &report["max_score"]), (&"error".into(), &0.into()));
    assert_eq!(report["tests"][5]["status"], "error");
}

#[test]
fn json_has_documented_form() {
    let sample = sample(include_str!("samples/report.json"));
    // The points of all are a number, unless something is not known.
    let mut graded = sample.clone();
    graded["points"] = 14.into();
    let report = parsed(some_fail(), formats::json);
    fits(&report, &[&sample, &graded], "json");
    assert_eq!((&report["status"], &report["points"]), (&"fail".into(), &10.into()));
    let report = parsed(grader_error(), formats::json);
    fits(&report, &[&sample], "json");
    assert_eq!((&report["status"], &report["points"]), (&"grader_error".into(), &Value::Null));
    let lab = &report["labs"][0];
    assert_eq!((&lab["status"], &lab["points"]), (&"grader_error".into(), &Value::Null));
    let statuses: Vec<&str> = lab["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| check["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["pass", "pass", "skip", "fail", "fail", "grader_error"]);
    assert_eq!(lab["checks"][5]["points"], Value::Null);
}

#[test]
fn text_shows_question_mark_after_grader_error() {
    let lab = lab();
    let graded = graded(&lab, grader_error());
    let text = LabReport { lab: &lab, graded }.text(labs::manifest::Language::En);
    assert!(text.lines().next().unwrap().contains(" ?/"), "{text}");
    assert!(text.contains("says nothing about your program"), "{text}");
}

/// An element of XML: its name, its attributes, and how deep it lies.
type Element = (String, BTreeMap<String, String>, usize);

/// Reads XML as strictly as is needed to see that any parser would: tags are balanced, attributes quoted, entities
/// known, and every character is one that XML has.
fn elements(xml: &str) -> Vec<Element> {
    let legal = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(xml.chars().all(legal), "a character that XML has no place for");
    let text = |text: &str| {
        assert!(!text.contains('<') && !text.contains("]]>"), "{text:?}");
        for entity in text.split('&').skip(1) {
            let name = entity.split(';').next().unwrap();
            assert!(["amp", "lt", "gt", "quot", "apos"].contains(&name), "&{entity}");
        }
    };
    let rest = xml.strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n").unwrap();
    let (mut found, mut open) = (Vec::new(), Vec::new());
    let mut rest = rest;
    while let Some(start) = rest.find('<') {
        text(&rest[..start]);
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name));
            continue;
        }
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut pairs = BTreeMap::new();
        while !attributes.is_empty() {
            let (key, value) = attributes.split_once("=\"").expect("an attribute is quoted");
            let (value, more) = value.split_once('"').expect("an attribute ends");
            text(value);
            assert!(pairs.insert(key.to_owned(), value.to_owned()).is_none(), "{key} twice");
            attributes = more.trim_start();
        }
        found.push((name.to_owned(), pairs, open.len()));
        if !empty {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} {rest:?}");
    found
}

#[test]
fn junit_follows_schema() {
    let sample = elements(include_str!("samples/junit.xml"));
    let report = elements(&reported(grader_error(), formats::junit));
    for (name, attributes, depth) in &report {
        let like = sample.iter().filter(|one| one.0 == *name && one.2 == *depth);
        let keys = |attributes: &BTreeMap<String, String>| -> Vec<String> {
            attributes.keys().cloned().collect()
        };
        let like: Vec<Vec<String>> = like.map(|one| keys(&one.1)).collect();
        assert!(like.contains(&keys(attributes)), "{name} {attributes:?}: {like:?}");
        if let Some(time) = attributes.get("time") {
            let (whole, part) = time.split_once('.').unwrap();
            assert!((1..=3).contains(&whole.len()) && part.len() == 3, "{time}");
        }
    }
    let suite = &report[1].1;
    let count = |name: &str| report.iter().filter(|one| one.0 == name).count().to_string();
    assert_eq!(suite["tests"], count("testcase"));
    assert_eq!(suite["failures"], count("failure"));
    assert_eq!(suite["errors"], count("error"));
    assert_eq!(suite["skipped"], count("skipped"));
    assert_eq!((&suite["failures"][..], &suite["errors"][..]), ("2", "1"));
}
