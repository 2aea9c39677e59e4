use super::*;
use crate::load::latencies::Latencies;
use crate::load::recording::{Environment, Generator, Recording, SCHEMA as RECORDING, Totals};
use crate::load::report::SCHEMA;
use crate::load::workload::Workload;
use std::collections::BTreeMap;

fn recording(done: u64) -> Recording {
    let mut times = Latencies::new();
    (0..done).for_each(|_| times.record(1_000_000));
    Recording {
        schema: RECORDING,
        server: "a".into(),
        workload: Workload::default(),
        environment: Environment::default(),
        since: 0.0,
        seconds: 1.0,
        totals: Totals { done, ..Totals::default() },
        errors: BTreeMap::new(),
        service_time: times.clone(),
        response_time: times,
        lag: Latencies::new(),
        intervals: Vec::new(),
        per_client: Vec::new(),
        generator: Generator::default(),
        empty: None,
        samples: Vec::new(),
        invalid: Vec::new(),
        notes: Vec::new(),
    }
}

fn comparison(name: &str, done: &[u64]) -> Comparison {
    let rounds = done.iter().map(|&done| Some(recording(done))).collect();
    let result = ServerResult { server: "a".into(), rounds, failure: None, note: None };
    let case = Case {
        name: name.into(),
        title: name.into(),
        workload: Workload::default(),
        results: vec![result],
        ceiling: None,
    };
    let environment = Environment::default();
    Comparison { schema: SCHEMA, environment, driver: None, baseline: None, cases: vec![case] }
}

#[test]
fn changes_are_shown_or_not() {
    let old = comparison("x", &[1000, 1010, 990, 1005, 995]);
    let twice = changes(&old, &comparison("x", &[2000, 2010, 1990, 2005, 1995]));
    let rate = &twice.shown[0];
    assert_eq!((rate.metric, rate.better), ("requests per second", Some(true)));
    assert!((rate.ratio.value - 2.0).abs() < 0.05, "{rate:?}");
    let less = changes(&old, &comparison("x", &[500, 510, 490, 505, 495]));
    assert_eq!(less.shown[0].better, Some(false));
    let same = changes(&old, &comparison("x", &[1005, 995, 1002, 990, 1011]));
    assert!(same.shown.is_empty() && !same.not_shown.is_empty(), "{same:?}");
}

#[test]
fn incomparable_results_are_left_out() {
    let old = comparison("x", &[1000, 1000]);
    let other = changes(&old, &comparison("y", &[1000, 1000]));
    assert_eq!(other.left_out.len(), 2, "{other:?}");
    let mut harder = comparison("x", &[1000, 1000]);
    harder.cases[0].workload.connections += 1;
    assert!(changes(&old, &harder).left_out[0].contains("different work"));
    let mut failed = comparison("x", &[]);
    failed.cases[0].results[0].failure = Some("it did".into());
    assert!(changes(&old, &failed).left_out[0].contains("failed in the new"));
    let mut invalid = comparison("x", &[2000, 2000]);
    invalid.cases[0].results[0].rounds[0].as_mut().unwrap().invalid.push("busy".into());
    let invalid = changes(&old, &invalid);
    assert!(invalid.shown.is_empty() && invalid.left_out[0].contains("INVALID"), "{invalid:?}");
}

#[test]
fn unreadable_files_are_rejected() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    assert!(matches!(read(&path), Err(Failure::Unusable(_))));
    fs::write(&path, "{}").unwrap();
    assert!(matches!(read(&path), Err(Failure::Unusable(_))));
    fs::write(&path, report::json::recording(&recording(5)).unwrap()).unwrap();
    assert_eq!(read(&path).unwrap().cases.len(), 1);
}

#[test]
fn percentile_without_reply_is_not_compared() {
    let old = comparison("x", &[1000, 1010]);
    let mut new = old.clone();
    for run in new.cases[0].results[0].rounds.iter_mut().flatten() {
        run.totals.dropped = 20;
    }
    let changes = changes(&old, &new);
    let left_out = |line: &String| line.contains("p99") && line.contains("without a reply");
    assert!(changes.left_out.iter().any(left_out), "{:?}", changes.left_out);
    let compared = changes.shown.iter().chain(&changes.not_shown);
    assert!(compared.map(|change| change.metric).all(|metric| metric != "p99"));
}
