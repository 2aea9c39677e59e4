use super::lines::{FULL, ROOM};
use super::*;
use serde_json::Value;
use std::thread;

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap() + "]";
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

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
    let mut session = SessionTrace::new(&trace, 5);
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
    assert_eq!(named(&events, "connection 5").len(), 2);
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
    assert_eq!(named(&events, "thread_name").len(), 4);
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
    assert_eq!(named(&events, "process_name")[0]["args"]["name"], "model child");
    assert_eq!(named(&events, "thread_name").len(), 1, "the child's thread is a new one");
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
    assert_eq!(trace.lost(), 500 + 2, "and the names of the process and the thread");
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
