use super::lines::{FULL, ROOM};
use super::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let text = if text.ends_with("]\n") { text } else { text + "]" };
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 41_234);

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["name"] == name).collect()
}

#[test]
fn new_trace_is_valid_json() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace");
    std::fs::write(&path, "what was there before").unwrap();
    let trace = Trace::create(&path, "model").unwrap();
    let events = read(&path);
    assert_eq!(events[0]["args"]["start_ns"], trace.0.start.to_string());
    drop(trace);
    let events = read(&path);
    assert_eq!(named(&events, "process_name")[0]["args"]["name"], "model");
}

#[test]
fn request_over_two_slices_is_linked() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace");
    let trace = Trace::create(&path, "model").unwrap();
    let mut session = SessionTrace::new(&trace, 5, PEER);
    session.begin_slice();
    session.begin_request(b"GET /a\"b\\c HTTP/1.1\r\nHost: x\r\n");
    session.end_slice(false);
    session.begin_slice();
    session.first_byte(false);
    session.end_request();
    session.end_request(); // a reply without a request
    session.begin_request(b"GET small");
    session.first_byte(true);
    session.end_request();
    session.begin_request(&[b'x'; 100]);
    drop(session);
    trace.flush();
    let events = read(&path);
    let slices = named(&events, "GET /a?b?c");
    let kinds: Vec<_> = slices.iter().map(|event| event["ph"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["X", "X", "b", "e"]);
    assert_eq!(named(&events, "first byte").len(), 1);
    let small = named(&events, "GET small");
    assert_eq!((small.len(), &small[0]["args"]["at_once"]), (1, &Value::Bool(true)));
    let finishes = named(&events, "finish");
    assert_eq!(finishes.len(), 2);
    assert_eq!(finishes[1]["args"]["cut"], true);
    assert_eq!(named(&events, &"x".repeat(40)).len(), 1);
    assert_eq!(named(&events, "client 5 127.0.0.1:41234").len(), 2);
    assert!(finishes.iter().all(|event| event["args"]["connection"] == 5));
}

#[test]
fn full_buffer_is_written_in_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace");
    let trace = Trace::create(&path, "model").unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let spawned = thread::Builder::new().name("name".into()).spawn_scoped(scope, || {
                for _ in 0..500 {
                    trace.job("work", trace.now());
                    assert!(trace.0.lock().bytes.len() < FULL);
                }
            });
            spawned.unwrap();
        }
    });
    assert!(trace.0.lock().bytes.capacity() <= FULL + ROOM);
    assert!(named(&read(&path), "work").len() > 1000, "nothing was written while it ran");
    trace.flush();
    let events = read(&path);
    assert_eq!(named(&events, "work").len(), 2000);
    let names = named(&events, "thread_name");
    let names: BTreeSet<_> =
        names.iter().filter_map(|event| event["args"]["name"].as_str()).collect();
    let own = thread::current().name().unwrap().to_owned();
    assert_eq!(names, [&own[..], "name 1", "name 2", "name 3", "name 4"].into());
}

#[test]
fn forked_child_drops_parents_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace");
    let trace = Trace::create(&path, "model").unwrap();
    trace.job("the parent's", trace.now());
    trace.forked();
    trace.job("the child's", trace.now());
    trace.flush();
    let events = read(&path);
    assert_eq!(named(&events, "the parent's").len(), 0);
    assert_eq!(named(&events, "the child's").len(), 1);
    let names = |what| {
        named(&events, what).iter().map(|event| event["args"]["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("process_name"), ["model", "model process 1"]);
    assert_eq!(names("thread_name")[1..], ["process 1"], "the child's thread is a new one");
}

#[test]
fn ended_trace_is_strict_json() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace");
    let trace = Trace::create(&path, "model").unwrap();
    trace.job("before", trace.now());
    let strict = || serde_json::from_str::<Vec<Value>>(&std::fs::read_to_string(&path).unwrap());
    assert!(strict().is_err(), "it is not closed while it is written");
    trace.end();
    let length = strict().unwrap().len();
    trace.job("after", trace.now());
    trace.end();
    drop(trace);
    assert_eq!(strict().unwrap().len(), length);
}

#[test]
fn lines_after_the_end_are_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("trace");
    let trace = Trace::create(&path, "model").unwrap();
    // A process that has lines when another one ends the trace.
    trace.job("late", trace.now());
    trace.0.add(Count::Closed, 1);
    trace.flush();
    assert_eq!((named(&read(&path), "late").len(), trace.lost()), (0, 0));
}

#[test]
fn trace_waits_for_forked_processes() {
    let directory = tempfile::tempdir().unwrap();
    let trace = Trace::create(&directory.path().join("trace"), "model").unwrap();
    trace.0.add(Count::Children, 1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| trace.wait_for_children(Duration::from_secs(60)));
        trace.0.add(Count::Children, 1_u64.wrapping_neg());
        waiting.join().unwrap();
    });
    trace.0.add(Count::Children, 1);
    trace.wait_for_children(LOOK); // one that was killed holds nothing up for long
}

#[test]
fn full_disk_ends_only_the_trace() {
    assert!(Trace::create(Path::new("/dev/full"), "model").is_err());
    let directory = tempfile::tempdir().unwrap();
    let mut trace = Trace::create(&directory.path().join("trace"), "model").unwrap();
    Arc::get_mut(&mut trace.0).unwrap().file =
        OpenOptions::new().append(true).open("/dev/full").unwrap();
    (0..500).for_each(|_| trace.job("work", trace.now()));
    trace.flush();
    assert_eq!(trace.lost(), 500);
    assert!(trace.0.lock().bytes.is_empty());
}

#[test]
fn second_server_is_refused_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.json");
    let first = Trace::create(&path, "first").unwrap();
    first.flush();
    let before = std::fs::read(&path).unwrap();
    let error = Trace::create(&path, "second").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    assert_eq!(std::fs::read(&path).unwrap(), before);
    drop(first);
    Trace::create(&path, "second").unwrap();
}

#[test]
fn session_without_trace_holds_a_pointer() {
    assert_eq!(size_of::<Option<Box<SessionTrace>>>(), size_of::<usize>());
}
