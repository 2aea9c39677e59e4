use super::lanes::timeline;
use super::*;
use crate::load::report::{Lane, Span};
use std::collections::BTreeSet;

fn event(text: &str) -> Event {
    serde_json::from_str(text).unwrap()
}

#[test]
fn slices_become_spans_and_waits() {
    let events = [
        event(r#"{"ph":"M","name":"thread_name","pid":1,"tid":3,"args":{"name":"worker 0"}}"#),
        event(r#"{"ph":"i","name":"accept","ts":100,"pid":1,"tid":2,"args":{"connection":1}}"#),
        event(r#"{"ph":"b","name":"dispatch","ts":101,"pid":1,"tid":3,"id":"1"}"#),
        event(
            r#"{"ph":"X","name":"GET a","ts":110,"dur":5,"pid":1,"tid":3,"args":{"connection":1}}"#,
        ),
        event(
            r#"{"ph":"X","name":"GET a","ts":120.5,"dur":5,"pid":1,"tid":4,"args":{"connection":1}}"#,
        ),
        event(r#"{"ph":"i","name":"finish","ts":125.5,"pid":1,"tid":4,"args":{"connection":1}}"#),
        event(
            r#"{"ph":"X","name":"GET b","ts":130,"dur":1,"pid":1,"tid":3,"args":{"connection":1}}"#,
        ),
    ];
    let timeline = timeline("pool", &events, &BTreeSet::new());
    let span = |start_us, end_us, request, kind: &str| Span {
        start_us,
        end_us,
        request,
        kind: kind.into(),
    };
    let first = [span(1, 10, 1, "wait"), span(10, 15, 1, "serve"), span(30, 31, 2, "serve")];
    assert_eq!(timeline.lanes[0], Lane { name: "worker 0".into(), spans: first.into() });
    let second = Lane { name: "thread 2".into(), spans: vec![span(20, 25, 1, "serve")] };
    assert_eq!(timeline.lanes[1], second);
}

#[test]
fn malformed_trace_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(read(file.path()).is_err());
    std::fs::write(file.path(), "[\n{\"ph\":\"M\",\"name\":\"x\",\"pid\":1,\"tid\":1}\n").unwrap();
    assert_eq!(read(file.path()).unwrap().len(), 1);
}
