use super::drive::{Asked, Client};
use super::lanes::timeline;
use super::*;
use crate::VARIANTS;
use crate::load::report::{Lane, Span};

fn event(text: &str) -> Event {
    serde_json::from_str(text).unwrap()
}

fn client(name: &str, port: u16, is_slow: bool, asked: &[(u64, u64, u64)]) -> Client {
    let asked = asked.iter().map(|(since, first_byte, done)| Asked {
        since: since * 1000,
        first_byte: first_byte * 1000,
        done: done * 1000,
    });
    let addr = ([127, 0, 0, 1], port).into();
    Client { name: name.into(), addr, is_slow, asked: asked.collect() }
}

fn span(start_us: u64, end_us: u64, request: u64, kind: &str) -> Span {
    Span { start_us, end_us, request, kind: kind.into() }
}

/// The clock of the trace begins at 1,000 us, the first client at 1,100.
fn trace() -> Trace {
    let events = [
        r#"{"ph":"M","name":"process_name","pid":1,"tid":1,"args":{"name":"pool_server"}}"#,
        r#"{"ph":"M","name":"thread_name","pid":1,"tid":3,"args":{"name":"worker 0"}}"#,
        r#"{"ph":"M","name":"thread_name","pid":1,"tid":4,"args":{"name":"worker 1"}}"#,
        r#"{"ph":"i","name":"accept","ts":150,"pid":1,"tid":1,"args":{"connection":1,"peer":"127.0.0.1:11"}}"#,
        r#"{"ph":"i","name":"accept","ts":170,"pid":1,"tid":1,"args":{"connection":2,"peer":"127.0.0.1:12"}}"#,
        r#"{"ph":"X","name":"GET a","ts":160,"dur":5,"pid":1,"tid":3,"args":{"connection":1}}"#,
        r#"{"ph":"X","name":"GET c","ts":180,"dur":9,"pid":1,"tid":3,"args":{"connection":2}}"#,
        r#"{"ph":"i","name":"finish","ts":189,"pid":1,"tid":3,"args":{"connection":2}}"#,
        r#"{"ph":"X","name":"GET a","ts":190.5,"dur":5,"pid":1,"tid":4,"args":{"connection":1}}"#,
        r#"{"ph":"i","name":"finish","ts":195.5,"pid":1,"tid":4,"args":{"connection":1}}"#,
        r#"{"ph":"X","name":"GET b","ts":210,"dur":1,"pid":1,"tid":3,"args":{"connection":1}}"#,
        r#"{"ph":"i","name":"finish","ts":211,"pid":1,"tid":3,"args":{"connection":1}}"#,
    ];
    Trace { start: 1_000_000, events: events.into_iter().map(event).collect() }
}

#[test]
fn clients_and_workers_share_one_clock() {
    let pool = VARIANTS.iter().find(|variant| variant.label == "pool_server").unwrap();
    let slow = client("slow client", 11, true, &[(1100, 1165, 1197), (1200, 1211, 1212)]);
    let quick = client("client 1", 12, false, &[(1110, 1187, 1190)]);
    let timeline = timeline(pool, &[slow.clone(), quick.clone()], &trace()).unwrap();
    let slow_lane = [
        span(0, 65, 1, "wait"),
        span(50, 50, 1, "accept"),
        span(65, 97, 1, "slow"),
        span(100, 111, 3, "wait"),
        span(111, 112, 3, "slow"),
    ];
    let quick_lane = [span(10, 87, 2, "wait"), span(70, 70, 2, "accept"), span(87, 90, 2, "serve")];
    let lane = |name: &str, spans: &[Span]| Lane { name: name.into(), spans: spans.into() };
    assert_eq!(timeline.clients, [lane("slow client", &slow_lane), lane("client 1", &quick_lane)]);
    let first = [span(60, 65, 1, "slow"), span(80, 89, 2, "serve"), span(110, 111, 3, "slow")];
    let second = [span(90, 95, 1, "slow")];
    assert_eq!(timeline.lanes, [lane("worker 0", &first), lane("worker 1", &second)]);

    let error = lanes::timeline(pool, &[client("client 9", 99, false, &[])], &trace());
    assert_eq!(error.unwrap_err().to_string(), "it lacks the connection of the client 9");
    let more = client("client 1", 12, false, &[(1, 2, 3), (4, 5, 6)]);
    let error = lanes::timeline(pool, &[more], &trace()).unwrap_err();
    assert_eq!(error.to_string(), "it lacks replies of the client 1");
}

#[test]
fn malformed_trace_is_an_error() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(read(file.path()).is_err());
    std::fs::write(file.path(), "[\n{\"ph\":\"M\",\"name\":\"x\",\"pid\":1,\"tid\":1}\n").unwrap();
    assert_eq!(read(file.path()).unwrap_err().to_string(), "it has no clock event with start_ns");
    let clock =
        "[\n{\"ph\":\"M\",\"name\":\"clock\",\"pid\":1,\"tid\":1,\"args\":{\"start_ns\":\"7\"}}\n";
    for text in [clock.to_owned(), format!("{clock}]\n")] {
        std::fs::write(file.path(), text).unwrap();
        let trace = read(file.path()).unwrap();
        assert_eq!((trace.start, trace.events.len()), (7, 1));
    }
}
