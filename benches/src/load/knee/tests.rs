use super::bracket::FASTEST;
use super::*;
use crate::load::verdict;
use std::convert::Infallible;

fn found(start: f64, knee: f64, generator: f64) -> (Bracket, usize) {
    let mut attempts = 0;
    let bracket = bisect(start, 0.05, |rate| -> Result<Verdict, Infallible> {
        attempts += 1;
        Ok(match rate {
            rate if rate > generator => Verdict::Unknown,
            rate if rate > knee => Verdict::Breaks,
            _ => Verdict::Holds,
        })
    });
    (bracket.unwrap(), attempts)
}

#[test]
fn bracket_contains_knee_from_any_start() {
    for start in [1.0, 100.0, 30_000.0, 1e6] {
        let (bracket, attempts) = found(start, 12_345.0, f64::INFINITY);
        let (high, why) = bracket.fails.unwrap();
        assert!(bracket.holds <= 12_345.0 && high > 12_345.0, "{bracket:?}");
        assert!(high / bracket.holds <= 1.05 && why == Verdict::Breaks, "{bracket:?}");
        assert!(attempts < 25, "{attempts}");
    }
}

#[test]
fn bracket_at_the_limits() {
    let (nothing, _) = found(1000.0, 0.1, f64::INFINITY);
    assert_eq!(nothing.holds, 0.0);
    let (everything, _) = found(1000.0, f64::INFINITY, f64::INFINITY);
    assert_eq!((everything.holds, everything.fails), (FASTEST, None));
    let (generator, _) = found(1000.0, 1e9, 50_000.0);
    assert_eq!(generator.fails.map(|(_, why)| why), Some(Verdict::Unknown));
    assert!(conclusion("p99", &generator, 3).contains("generator"));
}

#[test]
fn bound_is_parsed() {
    let five = Bound { percentile: 99.0, time: Duration::from_millis(5) };
    assert_eq!(parse_bound("p99=5ms"), Ok(five));
    assert_eq!(parse_bound("p99.9=500us").unwrap().percentile, 99.9);
    for wrong in ["", "p99", "99=5ms", "p99=5", "p101=5ms", "p99=0ms", "p99=-1s", "p99=5m"] {
        assert!(parse_bound(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn late_generator_never_blames_server() {
    let recording = |millis: u64, lag: u64, more: &[&str]| {
        let arrivals = Arrivals::Fixed { rate: 10.0 };
        let workload = Workload { arrivals, ..Workload::default() };
        let totals = r#"{"planned":1,"done":1,"dropped":0,"bytes_in":0,"bytes_out":0,
            "connections_asked":1,"connections_made":1,"clients_served":1}"#;
        let mut recording: Recording = serde_json::from_value(serde_json::json!({
            "schema": 1, "server": "x", "workload": workload, "seconds": 1.0, "errors": {},
            "environment": {"machine": "", "command": "", "started": 0, "placement": ""},
            "totals": serde_json::from_str::<serde_json::Value>(totals).unwrap(),
            "service_time": [], "response_time": [[millis * 1_000_000, 100]],
            "lag": [[lag * 1_000_000, 100]], "intervals": [], "per_client": [],
            "generator": {"cpu_seconds": 0.1, "share": 0.1}, "samples": [], "invalid": more,
        }))
        .unwrap();
        let reasons = verdict::reasons(&recording, &verdict::Bounds::default(), None);
        recording.invalid.extend(reasons);
        judge(parse_bound("p99=5ms").unwrap(), 10.0, &recording).verdict
    };
    assert_eq!(recording(4, 0, &[]), Verdict::Holds);
    assert_eq!(recording(6, 0, &[]), Verdict::Breaks);
    assert_eq!(recording(4, 3, &[]), Verdict::Holds);
    assert_eq!(recording(6, 3, &[]), Verdict::Unknown);
    assert_eq!(recording(4, 3, &["something else"]), Verdict::Unknown);
}

#[test]
fn majority_of_repeats_decides() {
    let attempts = |verdicts: &[Verdict]| {
        let one = |&verdict| Attempt {
            rate: 1.0,
            verdict,
            time: Duration::ZERO,
            unanswered: false,
            reason: None,
        };
        majority(&verdicts.iter().map(one).collect::<Vec<_>>())
    };
    use Verdict::{Breaks, Holds, Unknown};
    assert_eq!(attempts(&[Holds, Breaks, Holds]), Holds);
    assert_eq!(attempts(&[Holds, Breaks]), Breaks);
    assert_eq!(attempts(&[Holds, Unknown, Unknown]), Unknown);
    assert_eq!(attempts(&[Breaks, Unknown]), Breaks);
}
