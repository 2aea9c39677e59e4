use super::*;
use crate::ipc::cases::{SIZES, all};

/// A report of figures that are known: the library takes `factor` times as long as its baseline.
pub fn sample(factor: f64, rounds: usize) -> Report {
    let result = |case: Case| {
        let missing = case.exclusion().map(str::to_owned).or_else(|| {
            let long = case.mechanism == Mechanism::SysvQueue && case.size > 8192;
            long.then(|| format!("message length in bytes: {} is not within 1 to 8192", case.size))
        });
        let base = match case.waiting {
            Waiting::Spinning => 60.0,
            Waiting::Sleeping if case.cores == Cores::One => 4_000.0,
            Waiting::Sleeping => 50_000.0,
        };
        let base = base + case.size as f64 * 0.1 + case.mechanism as u32 as f64 * 7.0;
        let outcome = |contestant: Contestant| {
            let times = if contestant == Contestant::Library { factor } else { 1.0 };
            let nanos = (0..rounds).map(|round| {
                let noise = 1.0 + 0.01 * f64::from((round * 7 % 5) as u32);
                Some((base * times * noise * 1e3).round() / 1e3)
            });
            let nanos: Vec<_> = nanos.collect();
            Outcome { contestant, messages: 1000, nanos, failure: None }
        };
        let outcomes = match missing {
            Some(_) => Vec::new(),
            None => case.contestants().into_iter().map(outcome).collect(),
        };
        Measured { case, missing, outcomes }
    };
    let environment = Environment {
        machine: "A <machine> that does not exist, 2 cores".to_owned(),
        command: "cargo bench --bench ipc".to_owned(),
        started: 1_764_000_000,
        placement: "near on core 1, far on core 0".to_owned(),
    };
    let results = all(&SIZES).into_iter().map(result).collect();
    Report { schema: SCHEMA, environment, rounds, millis: 10, results }
}

#[test]
fn json_is_read_back() {
    let report = sample(1.02, 3);
    assert!(Report::read(&report.json().unwrap()) == Ok(report), "something got lost");
    assert!(Report::read("{").unwrap_err().contains("no JSON"));
    assert!(Report::read("{}").unwrap_err().contains("schema"));
    assert!(Report::read(r#"{"schema":2}"#).unwrap_err().contains("environment"));
}

/// The first version of the format, as `cargo bench` wrote it.
#[test]
fn report_of_schema_1_is_read() {
    let old = r#"{"schema":1,"environment":{"machine":"m","command":"c","started":1,"placement":"p"},"rounds":1,"millis":3,
        "results":[{"mechanism":"ring","course":"round-trip","cores":"two","waiting":"spinning","size":100,"missing":null,
        "outcomes":[{"who":"library","messages":9,"nanos":[590.5],"failure":null},
        {"who":"bare","messages":9,"nanos":[500.0],"failure":null},
        {"who":"line","messages":9,"nanos":[400.0],"failure":null}]}]}"#;
    let report = Report::read(old).unwrap();
    assert_eq!(report.schema, SCHEMA);
    let result = &report.results[0];
    assert_eq!(result.case.pattern, Pattern::RoundTrip);
    assert_eq!(result.nanos(Contestant::Baseline), Some(500.0));
    assert_eq!(result.nanos(Contestant::CacheLine), Some(400.0));
}

#[test]
fn bounds_need_enough_rounds() {
    let verdicts = |report: &Report| -> Vec<Verdict> {
        report.results.iter().filter_map(Measured::verdict).collect()
    };
    assert!(verdicts(&sample(1.02, 15)).iter().all(|verdict| *verdict == Verdict::Kept));
    assert!(verdicts(&sample(1.5, 15)).iter().all(|verdict| *verdict == Verdict::Missed));
    assert!(verdicts(&sample(1.0, 14)).iter().all(|verdict| *verdict == Verdict::TooFew));
    // Ring and system calls have different ones.
    let some = sample(1.25, 15);
    let kept = some.results.iter().filter(|result| result.verdict() == Some(Verdict::Kept));
    let kept: Vec<String> = kept.map(|result| result.case.to_string()).collect();
    assert_eq!(
        kept,
        [
            "ring, 100 B, round trip, two cores, spinning",
            "ring, 100 B, one way, two cores, spinning"
        ]
    );
}
