//! `--trace FILE`, of every server, from outside.

use benches::load::report::{Lane, Timeline};
use benches::load::timeline::{self, Event};
use benches::{Placement, Server, VARIANTS, Variant};
use file_service::client::Client;
use rustix::process::{Signal, kill_process};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

const CLIENTS: usize = 3;
const REQUESTS: usize = 4;

/// In bytes: more than the buffers of two sockets hold.
const LARGE: usize = 16 << 20;

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
        fs::write(directory.path().join("root/large"), vec![0; LARGE]).unwrap();
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

/// The events of the file, which is strict JSON.
fn read_strictly(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {}", tail(&text)))
}

fn tail(text: &str) -> String {
    let length = text.chars().count();
    text.chars().skip(length.saturating_sub(300)).collect()
}

/// Each event has what a viewer needs of it.
fn check(events: &[Value]) {
    for event in events {
        let has = |key: &str, wanted: fn(&Value) -> bool| {
            assert!(event.get(key).is_some_and(wanted), "{key}: {event}");
        };
        has("name", Value::is_string);
        has("ph", |ph| ["M", "i", "X", "b", "e", "B", "E"].contains(&ph.as_str().unwrap()));
        has("ts", Value::is_number);
        has("pid", Value::is_u64);
        has("tid", Value::is_u64);
        match event["ph"].as_str().unwrap() {
            "X" => has("dur", Value::is_number),
            "b" | "e" => {
                has("id", Value::is_string);
                has("cat", Value::is_string);
            }
            _ => {}
        }
    }
}

fn nanos(value: &Value) -> i64 {
    (value.as_f64().unwrap() * 1e3).round() as i64
}

fn lane(event: &Value) -> (u64, u64) {
    (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap())
}

/// The events of each kind that are in the file, in the order of time; equal moments in that of the file.
fn in_order<'a>(events: &'a [Value], kinds: &[&str]) -> Vec<&'a Value> {
    let of_kind = |event: &&Value| kinds.contains(&event["ph"].as_str().unwrap());
    let mut found: Vec<_> = events.iter().filter(of_kind).collect();
    found.sort_by_key(|event| nanos(&event["ts"]));
    found
}

/// The beginning and the end of a slice in nanoseconds, and its name.
type Slice<'a> = (i64, i64, &'a str);

/// The slices of a thread nest: a viewer drops or moves those that overlap in part.
fn check_nesting(label: &str, events: &[Value]) {
    let mut slices: BTreeMap<(u64, u64), Vec<Slice>> = BTreeMap::new();
    let mut open: BTreeMap<(u64, u64), Vec<&Value>> = BTreeMap::new();
    for event in in_order(events, &["X", "B", "E"]) {
        let (at, name) = (nanos(&event["ts"]), event["name"].as_str().unwrap());
        let slice = match event["ph"].as_str().unwrap() {
            "X" => (at, at + nanos(&event["dur"]), name),
            "B" => {
                open.entry(lane(event)).or_default().push(event);
                continue;
            }
            _ => {
                let begun = open.get_mut(&lane(event)).and_then(Vec::pop);
                let begun = begun.unwrap_or_else(|| panic!("{label}: E without B: {event}"));
                assert_eq!(begun["name"], event["name"], "{label}");
                (nanos(&begun["ts"]), at, name)
            }
        };
        slices.entry(lane(event)).or_default().push(slice);
    }
    assert!(open.values().all(Vec::is_empty), "{label}: B without E: {open:?}");
    for slices in slices.values_mut() {
        slices.sort_by_key(|(start, end, _)| (*start, -end));
        let mut around: Vec<Slice> = Vec::new();
        for slice in slices {
            while around.last().is_some_and(|outer| outer.1 <= slice.0) {
                around.pop();
            }
            if let Some(outer) = around.last() {
                assert!(slice.1 <= outer.1, "{label}: {slice:?} overlaps {outer:?}");
            }
            around.push(*slice);
        }
    }
}

/// Every asynchronous slice ends, and the outermost one of each track has the name of its client.
fn check_tracks(label: &str, events: &[Value]) {
    let mut open: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    let mut clients: BTreeMap<&str, &str> = BTreeMap::new();
    for event in in_order(events, &["b", "e"]) {
        let id = event["id"].as_str().unwrap();
        let track = open.entry(id).or_default();
        if event["ph"] == "b" {
            if track.is_empty() {
                let name = event["name"].as_str().unwrap();
                assert_eq!(clients.insert(id, name), None, "{label}: the id of two connections");
            }
            track.push(event);
        } else {
            // The innermost one of this name, as a viewer does it.
            let begun = track.iter().rposition(|begun| begun["name"] == event["name"]);
            track.remove(begun.unwrap_or_else(|| panic!("{label}: e without b: {event}")));
        }
    }
    assert!(open.values().all(Vec::is_empty), "{label}: b without e: {open:?}");
    let accepts = events.iter().filter(|event| event["name"] == "accept");
    let expected = accepts.map(|event| {
        let (number, peer) = (&event["args"]["connection"], event["args"]["peer"].as_str());
        format!("client {number} {}", peer.unwrap())
    });
    let expected: BTreeSet<String> = expected.collect();
    let found: BTreeSet<String> = clients.values().map(|name| (*name).to_owned()).collect();
    assert_eq!(found, expected, "{label}");
}

/// Every process and every thread of an event has a name, and no two threads of a process have the same.
fn check_names(label: &str, events: &[Value]) {
    let named = |what: &str| {
        let of_kind = events.iter().filter(move |event| event["name"] == what);
        of_kind.map(|event| (lane(event), &event["args"])).collect::<Vec<_>>()
    };
    let processes: BTreeSet<u64> =
        named("process_name").into_iter().map(|((pid, _), _)| pid).collect();
    let threads: BTreeMap<_, _> = named("thread_name").into_iter().collect();
    let indices: BTreeMap<_, _> = named("thread_sort_index").into_iter().collect();
    for event in events {
        let (pid, tid) = lane(event);
        assert!(processes.contains(&pid), "{label}: a process without a name: {event}");
        assert!(threads.contains_key(&(pid, tid)), "{label}: a thread without a name: {event}");
        assert!(indices[&(pid, tid)]["sort_index"].is_u64(), "{label}");
    }
    let distinct: BTreeSet<_> =
        threads.iter().map(|((pid, _), args)| (pid, args["name"].as_str().unwrap())).collect();
    assert_eq!(distinct.len(), threads.len(), "{label}: {threads:?}");
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
        check(&read_strictly(&fixture.trace()));
        let events = timeline::read(&fixture.trace()).unwrap().events;
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
            let client = format!("client {connection} ");
            let ends = events.iter().filter(|event| event.name.starts_with(&client));
            let ends: Vec<f64> = ends.map(|event| event.ts).collect();
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

/// Three clients at once, each with every kind of request, over two connections.
fn converse(addr: SocketAddr) {
    thread::scope(|scope| {
        for number in 0..CLIENTS {
            scope.spawn(move || {
                for _ in 0..2 {
                    let mut client = Client::connect(addr).unwrap();
                    let content = vec![b'x'; 300_000];
                    client.put(format!("uploaded {number}"), &content).unwrap();
                    assert_eq!(client.get(format!("uploaded {number}")).unwrap(), content);
                    client.list(None).unwrap();
                    client.hash("file").unwrap();
                    assert_eq!(client.get("large").unwrap().len(), LARGE);
                    assert!(client.get("missing").is_err());
                    (0..REQUESTS).for_each(|_| drop(client.get("file").unwrap()));
                }
            });
        }
    });
}

#[test]
fn traces_keep_the_viewers_rules() {
    for variant in VARIANTS {
        let fixture = Fixture::new();
        let server = fixture.start(variant, &[]);
        converse(server.addr());
        drop(server);
        let events = read_strictly(&fixture.trace());
        check(&events);
        check_nesting(variant.label, &events);
        check_tracks(variant.label, &events);
        check_names(variant.label, &events);
    }
}

#[test]
fn cut_client_leaves_a_closed_trace() {
    for variant in VARIANTS {
        let fixture = Fixture::new();
        let server = fixture.start(variant, &["--drain-timeout", "0.1"]);
        let mut client = TcpStream::connect(server.addr()).unwrap();
        client.write_all(b"GET large\n").unwrap();
        client.read_exact(&mut [0]).unwrap(); // and no more
        drop(server);
        let events = read_strictly(&fixture.trace());
        let finish = events.iter().find(|event| event["name"] == "finish");
        let finish = finish.unwrap_or_else(|| panic!("{}: {events:?}", variant.label));
        assert_eq!(finish["args"]["cut"], true, "{}", variant.label);
        check_tracks(variant.label, &events);
        check_names(variant.label, &events);
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
    let events = timeline::read(&fixture.trace()).unwrap().events;
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
    check(&read_strictly(&fixture.trace()));
    let events = timeline::read(&fixture.trace()).unwrap().events;
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
    let text = fs::read_to_string(fixture.trace()).unwrap();
    assert!(!text.trim_end().ends_with(']'), "{}", tail(&text));
    check(&serde_json::from_str::<Vec<Value>>(&(text + "]")).unwrap());
    let finished = times(&timeline::read(&fixture.trace()).unwrap().events, 1, "finish").len();
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
        let label = variant.label;
        let recorded = timeline::record(serve(), variant).unwrap();
        let requests = |lanes: &[Lane], kind: &str| {
            let of_kind = lanes.iter().flat_map(|lane| &lane.spans).filter(|s| s.kind == kind);
            of_kind.map(|span| span.request).collect::<BTreeSet<u64>>()
        };
        for lanes in [&recorded.clients, &recorded.lanes] {
            let (slow, quick) = (requests(lanes, "slow"), requests(lanes, "serve"));
            assert_eq!((slow.len(), quick.len()), (1, 49), "{label}");
            assert_eq!(&slow | &quick, (1..=50).collect(), "{label}");
        }
        assert_eq!(requests(&recorded.clients, "wait").len(), 50, "{label}");
        assert_eq!(requests(&recorded.clients, "accept").len(), recorded.clients.len(), "{label}");
        check_clocks(label, &recorded);
        let names = |lanes: &[Lane]| lanes.iter().map(|lane| lane.name.clone()).collect::<Vec<_>>();
        let clients = (1..=7).map(|n| format!("client {n}"));
        let clients: Vec<_> = std::iter::once("slow client".to_owned()).chain(clients).collect();
        assert_eq!(names(&recorded.clients), clients, "{label}");
        let workers = names(&recorded.lanes);
        assert!(
            workers.iter().all(|name| name.ends_with(|c: char| c.is_ascii_digit())),
            "{workers:?}"
        );
        assert_eq!(workers.iter().collect::<BTreeSet<_>>().len(), workers.len(), "{workers:?}");
        match variant.model {
            "iterative_server" => assert_eq!(workers, ["worker 1"]),
            // One child may have had several of the clients.
            _ if label.contains("prefork") => assert!(workers.len() >= 2),
            "fork_server" => {
                assert_eq!(workers, (1..=8).map(|n| format!("process {n}")).collect::<Vec<_>>())
            }
            "thread_server" => assert_eq!(workers.len(), 8),
            "event_server" | "uring_server" => assert_eq!(workers, ["loop 1"]),
            _ => assert!(!workers.is_empty()),
        }
    }
}

/// What a client and a worker measured of a request is in the order of cause and effect.
fn check_clocks(label: &str, timeline: &Timeline) {
    let served = |request: u64| {
        let spans = timeline.lanes.iter().flat_map(|lane| &lane.spans);
        let spans = spans.filter(move |span| span.request == request);
        (spans.clone().map(|s| s.start_us).min().unwrap(), spans.map(|s| s.end_us).max().unwrap())
    };
    for client in &timeline.clients {
        let connected = client.spans[0].start_us;
        for spans in client.spans.chunk_by(|one, next| one.request == next.request) {
            let (wait, reply) = (&spans[0], &spans[spans.len() - 1]);
            let (begun, ended) = served(wait.request);
            // A worker may begin with a connection before the client has sent its first request.
            assert!(connected <= begun && begun <= wait.end_us, "{label}: {spans:?} {begun}");
            assert!(begun <= ended && wait.start_us <= ended, "{label}: {spans:?} {ended}");
            assert!(wait.start_us <= wait.end_us && wait.end_us == reply.start_us, "{label}");
            assert!(reply.start_us <= reply.end_us, "{label}: {spans:?}");
        }
    }
}

/// Returns when the slow client had its reply, and for each quick client when it first began to wait and until when.
fn first_waits(timeline: &Timeline) -> (u64, Vec<(u64, u64)>) {
    let slow = timeline.clients[0].spans.iter().map(|span| span.end_us).max().unwrap();
    let waits = timeline.clients[1..].iter().map(|lane| &lane.spans[0]);
    (slow, waits.map(|wait| (wait.start_us, wait.end_us)).collect())
}

#[test]
fn iterative_clients_wait_for_the_slow() {
    let recorded = timeline::record(serve(), variant("iterative_server")).unwrap();
    let (slow, waits) = first_waits(&recorded);
    assert!(waits.iter().all(|(since, until)| *since < slow && slow <= *until), "{slow} {waits:?}");
    // And the worker was with the slow client until then.
    let worker = &recorded.lanes[0].spans[0];
    assert_eq!(worker.kind, "slow");
    assert!(waits.iter().all(|(_, until)| worker.end_us <= *until), "{worker:?} {waits:?}");
}

#[test]
fn threads_serve_beside_the_slow() {
    // A machine that is busy enough can hold all of them up, but not every time.
    let served = (0..10).any(|_| {
        let recorded = timeline::record(serve(), variant("thread_server")).unwrap();
        let (slow, waits) = first_waits(&recorded);
        waits.iter().all(|(_, until)| *until < slow)
    });
    assert!(served);
}
