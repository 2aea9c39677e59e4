//! `--trace FILE`, of every server, from outside.

use benches::load::timeline::{self, Event};
use benches::{Placement, Server, VARIANTS, Variant};
use file_service::client::Client;
use rustix::process::{Signal, kill_process};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const CLIENTS: usize = 3;
const REQUESTS: usize = 4;

fn serve() -> Command {
    Command::new(env!("CARGO_BIN_EXE_serve"))
}

struct Fixture {
    directory: tempfile::TempDir,
}

impl Fixture {
    fn new() -> Fixture {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("root")).unwrap();
        fs::write(directory.path().join("root/file"), b"content").unwrap();
        Fixture { directory }
    }

    fn trace(&self) -> PathBuf {
        self.directory.path().join("trace.json")
    }

    fn start(&self, variant: &Variant, more: &[&str]) -> Server {
        let trace = self.trace();
        let mut options = vec!["--trace", trace.to_str().unwrap()];
        options.extend(more);
        let root = self.directory.path().join("root");
        Server::start(serve(), variant, &root, &options, Placement::Unpinned).unwrap()
    }
}

fn variant(label: &str) -> &'static Variant {
    VARIANTS.iter().find(|variant| variant.label == label).unwrap()
}

/// The file as JSON, each event with what a viewer needs of it.
fn check(path: &Path) {
    let text = fs::read_to_string(path).unwrap() + "]";
    let events: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    for event in events {
        let has = |key: &str, wanted: fn(&serde_json::Value) -> bool| {
            assert!(event.get(key).is_some_and(wanted), "{key}: {event}");
        };
        has("name", serde_json::Value::is_string);
        has("ph", |ph| ["M", "i", "X", "b", "e", "B", "E"].contains(&ph.as_str().unwrap()));
        has("ts", serde_json::Value::is_number);
        has("pid", serde_json::Value::is_u64);
        has("tid", serde_json::Value::is_u64);
        match event["ph"].as_str().unwrap() {
            "X" => has("dur", serde_json::Value::is_number),
            "b" | "e" => {
                has("id", serde_json::Value::is_string);
                has("cat", serde_json::Value::is_string);
            }
            _ => {}
        }
    }
}

fn times(events: &[Event], connection: u64, name: &str) -> Vec<f64> {
    let wanted = |event: &&Event| event.name == name && event.connection() == Some(connection);
    events.iter().filter(wanted).map(|event| event.ts).collect()
}

#[test]
fn requests_have_events_in_order() {
    for variant in VARIANTS {
        let fixture = Fixture::new();
        let server = fixture.start(variant, &[]);
        for _ in 0..CLIENTS {
            let mut client = Client::connect(server.addr()).unwrap();
            for _ in 0..REQUESTS {
                assert_eq!(client.get("file").unwrap(), b"content");
            }
        }
        let server_pid = server.pid().as_raw_pid().unsigned_abs();
        drop(server);
        check(&fixture.trace());
        let events = timeline::read(&fixture.trace()).unwrap();
        let label = variant.label;
        for connection in 1..=CLIENTS as u64 {
            let of = |name| times(&events, connection, name);
            let (accepted, first, finished) = (of("accept"), of("first byte"), of("finish"));
            assert_eq!(accepted.len(), 1, "{label}");
            assert_eq!((first.len(), finished.len()), (REQUESTS, REQUESTS), "{label}: {events:?}");
            assert_eq!(of("dispatch").len() % 2, 0, "{label}");
            let mut last = accepted[0];
            for (first, finished) in first.into_iter().zip(finished) {
                assert!(last <= first && first <= finished, "{label}: {last} {first} {finished}");
                last = finished;
            }
            let ends = of(&format!("connection {connection}"));
            assert!(ends.len() >= 2 && ends.iter().any(|end| *end >= last), "{label}: {ends:?}");
        }
        let slices: Vec<_> = events.iter().filter(|event| event.ph == "X").collect();
        assert!(slices.iter().all(|slice| slice.name == "GET file"), "{label}");
        let pids: BTreeSet<u32> = slices.iter().map(|slice| slice.pid).collect();
        let tids: BTreeSet<u32> = slices.iter().map(|slice| slice.tid).collect();
        match variant.model {
            "fork_server" => {
                // A preforked child serves one client after the other.
                assert!(pids.len() == CLIENTS || label.contains("prefork"), "{label}");
                assert!(!pids.contains(&server_pid), "{label}");
                assert_eq!(pids, tids, "{label}: a child has one thread");
            }
            // The parent serves nobody; of two processes that wait, one may have got all clients.
            _ if label == "coroutine_server:processes" => {
                assert!(!pids.contains(&server_pid), "{label}");
                assert!(pids.is_disjoint(&tids), "{label}");
            }
            model => {
                assert_eq!(pids, [server_pid].into(), "{label}");
                match model {
                    "iterative_server" | "event_server" | "uring_server" => {
                        assert_eq!(tids, pids, "{label}")
                    }
                    _ if label == "async_server:current" => assert_eq!(tids, pids, "{label}"),
                    "thread_server" => assert_eq!(tids.len(), CLIENTS, "{label}"),
                    _ => assert!(!tids.contains(&server_pid), "{label}"),
                }
            }
        }
    }
}

#[test]
fn queue_time_ends_at_free_worker() {
    let fixture = Fixture::new();
    let server = fixture.start(variant("pool_server:connection"), &["--workers", "1"]);
    let mut first = Client::connect(server.addr()).unwrap();
    first.get("file").unwrap();
    let second = Client::connect(server.addr()).unwrap();
    first.get("file").unwrap();
    drop(first);
    let mut second = second;
    second.get("file").unwrap();
    drop(second);
    drop(server);
    let events = timeline::read(&fixture.trace()).unwrap();
    let last = *times(&events, 1, "finish").last().unwrap();
    let queue = times(&events, 2, "dispatch");
    assert!(queue[0] <= queue[1] && last <= queue[1], "{last} {queue:?}");
}

#[test]
fn refused_requests_are_recorded() {
    let fixture = Fixture::new();
    let server = fixture.start(variant("coroutine_server"), &["--max-connections", "1"]);
    let mut client = Client::connect(server.addr()).unwrap();
    assert!(client.get("missing \" \\ \u{1} name").is_err());
    client.list(None).unwrap();
    assert!(Client::connect(server.addr()).unwrap().get("file").is_err());
    client.quit().unwrap();
    drop(server);
    check(&fixture.trace());
    let events = timeline::read(&fixture.trace()).unwrap();
    assert_eq!(times(&events, 1, "finish").len(), 3);
    assert_eq!(times(&events, 2, "busy").len(), 1);
    let names: BTreeSet<&str> = events.iter().map(|event| &event.name[..]).collect();
    assert!(names.contains("job list") && names.contains("QUIT"), "{names:?}");
}

#[test]
fn trace_of_killed_server_is_readable() {
    let fixture = Fixture::new();
    let server = fixture.start(variant("thread_server"), &[]);
    let mut client = Client::connect(server.addr()).unwrap();
    for _ in 0..2000 {
        client.get("file").unwrap();
    }
    kill_process(server.pid(), Signal::KILL).unwrap();
    drop(server);
    check(&fixture.trace());
    let finished = times(&timeline::read(&fixture.trace()).unwrap(), 1, "finish").len();
    assert!((1000..=2000).contains(&finished), "{finished}");
}

#[test]
fn unwritable_trace_is_an_error() {
    for file in ["/dev/full", "/no/such/directory/trace"] {
        let output = serve()
            .args(["iterative_server", "--addr", "127.0.0.1:0", "--trace", file])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{file}");
        let line = String::from_utf8(output.stderr).unwrap();
        assert!(line.contains("cannot write the trace") && line.lines().count() == 1, "{line}");
    }
}

#[test]
fn every_variant_has_a_timeline() {
    for variant in VARIANTS {
        let recorded = timeline::record(serve(), variant).unwrap();
        let spans = || recorded.lanes.iter().flat_map(|lane| &lane.spans);
        let requests = |kind: &str| {
            let of_kind = spans().filter(|span| span.kind == kind);
            of_kind.map(|span| span.request).collect::<BTreeSet<u64>>().len()
        };
        assert_eq!((requests("slow"), requests("serve")), (1, 50), "{}", variant.label);
        assert!(spans().all(|span| span.start_us <= span.end_us), "{}", variant.label);
        match variant.model {
            "iterative_server" => assert_eq!(recorded.lanes.len(), 1),
            // One child may have had several of the clients.
            _ if variant.label.contains("prefork") => assert!(recorded.lanes.len() >= 2),
            "fork_server" | "thread_server" => assert_eq!(recorded.lanes.len(), 6),
            _ => assert!(!recorded.lanes.is_empty()),
        }
    }
}
