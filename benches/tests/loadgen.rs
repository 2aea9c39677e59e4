//! The load generator against servers whose behaviour is known: what it reports is what arithmetic
//! predicts. Lower bounds are exact; upper ones are generous, since the machine may be busy. Nothing here
//! is about speed.

use benches::load::content::{self, Content, Upload};
use benches::load::engine::{self, Run, RunError, Target, Watcher};
use benches::load::recording::{Environment, Interval, Latencies, Recording, Totals};
use benches::load::verdict::{self, Bounds};
use benches::load::workload::{Arrivals, Lifetime, Mix, Protocol, Workload};
use benches::{CONTENDERS, Placement, Server};
use harness::wait::pause;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MS: u64 = 1_000_000;

/// What a server in this process does wrong.
#[derive(Clone, Copy, Default)]
struct Faults {
    /// Before every reply.
    delay: Duration,
    /// From when, after the first request, and for how long nobody is answered.
    stall: Option<(Duration, Duration)>,
    /// One byte of every body is wrong.
    wrong: bool,
    /// Connections beyond so many are told `busy`.
    room: Option<u64>,
    /// It is gone after so many requests.
    dies_after: Option<u64>,
    /// It never answers.
    silent: bool,
    /// It ends every connection without a word.
    hangs_up: bool,
}

/// A server of the file protocol and of HTTP that does as it is told, a thread for each connection.
struct Fake {
    addr: SocketAddr,
    connections: Arc<AtomicU64>,
}

impl Fake {
    fn start(workload: &Workload, faults: Faults) -> Fake {
        let listener = file_service::listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let content = Arc::new(Content::new(workload));
        let connections = Arc::new(AtomicU64::new(0));
        let counted = connections.clone();
        // They end with the test's process.
        thread::spawn(move || accept(&listener, &content, faults, &counted));
        Fake { addr, connections }
    }
}

#[derive(Default)]
struct Shared {
    requests: AtomicU64,
    begun: std::sync::OnceLock<Instant>,
}

fn accept(
    listener: &TcpListener,
    content: &Arc<Content>,
    faults: Faults,
    connections: &Arc<AtomicU64>,
) {
    let shared = Arc::new(Shared::default());
    for socket in listener.incoming() {
        let Ok(socket) = socket else { return };
        let before = connections.fetch_add(1, Ordering::Relaxed);
        if faults.room.is_some_and(|room| before >= room) {
            let _ = (&socket).write_all(b"ERR busy no room\n");
            let _ = socket.shutdown(Shutdown::Write);
            // Closing at once would destroy what the client has not read.
            thread::spawn(move || BufReader::new(socket).lines().count());
            continue;
        }
        if faults.hangs_up {
            continue;
        }
        let (content, shared) = (content.clone(), shared.clone());
        let listener = listener.try_clone().unwrap();
        thread::spawn(move || {
            let last = converse(&socket, &content, faults, &shared);
            if last.is_none() && faults.dies_after.is_some() {
                let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
            }
        });
    }
}

/// None if the server is to die.
fn converse(socket: &TcpStream, content: &Content, faults: Faults, shared: &Shared) -> Option<()> {
    let mut lines = BufReader::new(socket);
    let mut http = false;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).ok()? == 0 {
            return Some(());
        }
        let mut words = line.split_whitespace();
        let verb = words.next().unwrap_or_default().to_owned();
        let file = words.next().unwrap_or_default().trim_start_matches('/').to_owned();
        http |= line.contains("HTTP/1.1");
        while http && line.trim() != "" {
            line.clear();
            lines.read_line(&mut line).ok()?;
        }
        let begun = *shared.begun.get_or_init(Instant::now);
        let count = shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if faults.dies_after.is_some_and(|most| count > most) {
            let _ = socket.shutdown(Shutdown::Both);
            return None;
        }
        pause_for(faults.delay);
        if let Some((from, length)) = faults.stall {
            let since = begun.elapsed();
            if since >= from && since < from + length {
                pause_for((begun + from + length).saturating_duration_since(Instant::now()));
            }
        }
        if faults.silent {
            continue;
        }
        let mut body = match verb.as_str() {
            "GET" => whole(content, file[5..].parse().unwrap()),
            _ => Vec::new(),
        };
        if faults.wrong {
            *body.last_mut().unwrap() ^= 1;
        }
        let head = match http {
            true => format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()),
            false => format!("OK {}\n", body.len()),
        };
        let reply = [head.as_bytes(), &body].concat();
        (&*socket).write_all(&reply).ok()?;
        if verb == "QUIT" {
            return Some(());
        }
    }
}

/// At least so long.
fn pause_for(duration: Duration) {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        pause(until.saturating_duration_since(Instant::now()));
    }
}

fn whole(content: &Content, name: usize) -> Vec<u8> {
    let mut upload = Upload::new(content, name, 0);
    let mut bytes = Vec::new();
    while upload.left() > 0 {
        let piece = upload.next(content);
        bytes.extend_from_slice(piece);
        let length = piece.len();
        upload.advance(length);
    }
    bytes
}

fn short() -> Workload {
    Workload {
        connections: 4,
        duration: Duration::from_millis(500),
        warm_up: Duration::ZERO,
        sizes: vec![200, 5000],
        names: 4,
        timeout: Duration::from_secs(20),
        ..Workload::default()
    }
}

fn try_run(workload: &Workload, addr: SocketAddr) -> Result<Recording, RunError> {
    let target = Target { addr, name: "server".into() };
    let (stop, environment) = (AtomicBool::new(false), Environment::default());
    engine::run(Run { workload, target: &target, stop: &stop, watcher: None, environment })
}

#[track_caller]
fn run(workload: &Workload, addr: SocketAddr) -> Recording {
    try_run(workload, addr).unwrap()
}

#[track_caller]
fn load(workload: &Workload, faults: Faults) -> Recording {
    run(workload, Fake::start(workload, faults).addr)
}

#[track_caller]
fn assert_sound(recording: &Recording) {
    assert!(recording.errors.is_empty(), "{:?}", recording.errors);
    let totals = recording.totals;
    assert!(totals.done > 0 && totals.done == totals.planned - totals.dropped, "{totals:?}");
    assert_eq!(recording.response_time.0.len(), totals.done);
    assert_eq!(recording.service_time.0.len(), totals.done);
    let in_intervals: u64 = recording.intervals.iter().map(|interval| interval.done).sum();
    assert_eq!(in_intervals, totals.done, "the intervals are the whole");
    assert!(recording.per_client.iter().sum::<u64>() >= totals.done);
    assert_eq!(totals.connections_made, totals.connections_asked);
}

#[track_caller]
fn assert_invalid(recording: &Recording, why: &str) {
    assert!(recording.invalid.iter().any(|reason| reason.contains(why)), "{:?}", recording.invalid);
}

#[test]
fn a_known_delay_is_what_is_reported() {
    let faults = Faults { delay: Duration::from_millis(20), ..Faults::default() };
    let closed = load(&short(), faults);
    assert_sound(&closed);
    // Recorded to three digits: no bucket is wider than a thousandth.
    assert!(closed.response_time.0.min() >= 20 * MS * 999 / 1000);
    assert!(closed.response_time.percentile(50.0) < 200 * MS);
    assert_eq!(closed.response_time, closed.service_time);
    // 4 clients, each at most once in 20 ms.
    assert!(closed.totals.done <= 4 * 25 + 4, "{}", closed.totals.done);

    let open = Workload { arrivals: Arrivals::Fixed { rate: 100.0 }, ..short() };
    let open = load(&open, faults);
    assert!(open.response_time.0.min() >= 20 * MS * 999 / 1000);
    assert!((45..=50).contains(&open.totals.planned), "{}", open.totals.planned);
    assert_eq!(open.lag.0.len(), open.totals.planned - open.totals.dropped);
}

#[test]
fn a_known_stall_is_felt_by_all_who_come_in_it() {
    let stall = Some((Duration::from_millis(500), Duration::from_secs(2)));
    let faults = Faults { stall, ..Faults::default() };
    let base = Workload { duration: Duration::from_secs(3), ..short() };

    // In a closed loop only those notice that were under way when it began, one for each client.
    let closed = load(&base, faults);
    assert_sound(&closed);
    let slow = closed.response_time.0.count_between(1000 * MS, u64::MAX);
    assert!((1..=4).contains(&slow), "{slow}");
    assert!(closed.response_time.percentile(50.0) < 500 * MS, "its median looks fine");

    // In an open loop everybody notices who comes meanwhile: at 50/s, 100 of 150 requests.
    let arrivals = Arrivals::Fixed { rate: 50.0 };
    let open = load(&Workload { arrivals, connections: 128, ..base }, faults);
    assert_sound(&open);
    assert!((145..=150).contains(&open.totals.planned), "{}", open.totals.planned);
    // They wait from 0 to 2 s, evenly: 3/4 of the 100 longer than 0.5 s, half longer than 1 s.
    let longer = |ms: u64| open.response_time.0.count_between(ms * MS, u64::MAX);
    assert!((70..=100).contains(&longer(500)), "{}", longer(500));
    assert!((45..=80).contains(&longer(1000)), "{}", longer(1000));
    assert!(open.response_time.0.max() >= 1900 * MS);
    assert!(open.response_time.percentile(50.0) >= 400 * MS, "its median does not");
}

#[test]
fn arrivals_beyond_the_cap_are_dropped_and_not_sent_later() {
    let faults = Faults { delay: Duration::from_millis(400), ..Faults::default() };
    let arrivals = Arrivals::Fixed { rate: 200.0 };
    let recording = load(&Workload { arrivals, connections: 2, ..short() }, faults);
    let totals = recording.totals;
    assert!((95..=100).contains(&totals.planned), "{totals:?}");
    assert_eq!(totals.planned, totals.dropped + totals.done);
    assert!(totals.done <= 4, "{totals:?}");
    assert_invalid(&recording, "were dropped");
}

#[test]
fn merged_histograms_are_the_whole() {
    let mut rng = fastrand::Rng::with_seed(5);
    let (mut parts, mut whole) = (vec![Latencies::new(); 7], Latencies::new());
    for nth in 0..10_000 {
        let digits = rng.u32(1..40);
        let nanos = rng.u64(1..1 << digits);
        whole.record(nanos);
        parts[nth % 7].record(nanos);
    }
    let mut merged = Latencies::new();
    parts.iter().for_each(|part| merged.merge(part));
    assert_eq!(merged, whole);
}

#[test]
fn wrong_bodies_are_found_or_not_looked_for() {
    let faults = Faults { wrong: true, ..Faults::default() };
    for protocol in [Protocol::File, Protocol::Http] {
        let workload = Workload { protocol, ..short() };
        let recording = load(&workload, faults);
        assert_eq!(recording.totals.done, 0);
        assert!(recording.errors["wrong-body"] > 0, "{:?}", recording.errors);
        assert_invalid(&recording, "errors");
        assert_invalid(&recording, "no request was answered");
        assert_sound(&load(&Workload { verify: false, ..workload }, faults));
    }
}

#[test]
fn who_finds_no_room_is_counted_in_both_protocols() {
    for protocol in [Protocol::File, Protocol::Http] {
        let workload = Workload { protocol, ..short() };
        let faults = Faults { room: Some(2), ..Faults::default() };
        let recording = load(&workload, faults);
        assert!(recording.totals.done > 0);
        assert!(recording.errors["busy"] > 0, "{:?}", recording.errors);
        assert_eq!(recording.totals.clients_served, 2);
        assert_eq!(recording.per_client.iter().filter(|count| **count == 0).count(), 2);
    }
}

#[test]
fn silence_is_a_timeout() {
    let faults = Faults { silent: true, ..Faults::default() };
    let workload = Workload { timeout: Duration::from_millis(200), ..short() };
    let recording = load(&workload, faults);
    assert_eq!(recording.totals.done, 0);
    assert!(recording.errors["timeout"] >= 4, "{:?}", recording.errors);
}

#[test]
fn connections_that_are_lost_are_counted() {
    let recording = load(&short(), Faults { hangs_up: true, ..Faults::default() });
    assert_eq!(recording.totals.done, 0);
    assert!(recording.errors["lost"] >= 4, "{:?}", recording.errors);
    assert!(!verdict::server_ended(&recording));
}

#[test]
fn a_server_that_dies_ends_the_run() {
    let faults = Faults { dies_after: Some(50), ..Faults::default() };
    let workload = Workload { duration: Duration::from_secs(60), ..short() };
    let recording = load(&workload, faults);
    assert!(verdict::server_ended(&recording), "{:?}", recording.invalid);
    assert!(recording.totals.done > 0 && recording.totals.done <= 50);
    assert!(recording.seconds < 50.0);
    assert!(!recording.errors.is_empty());
}

#[test]
fn nobody_there_is_unreachable() {
    // A port that was free a moment ago, in all three ways of connecting.
    let addr = file_service::listen("127.0.0.1:0").unwrap().local_addr().unwrap();
    let per_request = Workload { lifetime: Lifetime::PerRequest, ..short() };
    let open = Workload { arrivals: Arrivals::Fixed { rate: 10.0 }, ..per_request.clone() };
    for workload in [short(), per_request, open] {
        match try_run(&workload, addr) {
            Err(RunError::Unreachable(why)) => assert!(why.contains("refused"), "{why}"),
            Err(other) => panic!("{other}"),
            Ok(recording) => panic!("{:?} {:?}", recording.totals, recording.errors),
        }
    }
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_done() {
    let addr = "127.0.0.1:1".parse().unwrap();
    let hash = Mix { hash: 1, ..Mix::default() };
    for workload in [
        Workload { connections: 0, ..short() },
        Workload { mix: Mix { get: 0, ..Mix::default() }, ..short() },
        Workload { protocol: Protocol::Http, mix: hash, ..short() },
        Workload { arrivals: Arrivals::Fixed { rate: f64::NAN }, ..short() },
        Workload { sizes: vec![], ..short() },
        Workload { slow_share: 1.5, ..short() },
        Workload { connections: 2_000_000_000, ..short() },
    ] {
        assert!(matches!(try_run(&workload, addr), Err(RunError::Unusable(_))), "{workload:?}");
    }
}

#[test]
fn requests_that_are_sent_ahead_keep_their_order() {
    for protocol in [Protocol::File, Protocol::Http] {
        let workload = Workload { pipelining: 16, protocol, ..short() };
        assert_sound(&load(&workload, Faults::default()));
    }
}

#[test]
fn connections_live_as_long_as_they_are_to() {
    for protocol in [Protocol::File, Protocol::Http] {
        let count = |lifetime| {
            let workload = Workload { lifetime, protocol, ..short() };
            let fake = Fake::start(&workload, Faults::default());
            let recording = run(&workload, fake.addr);
            assert_sound(&recording);
            (fake.connections.load(Ordering::Relaxed), recording.totals.done)
        };
        assert_eq!(count(Lifetime::KeepAlive).0, 4);
        let (connections, done) = count(Lifetime::PerRequest);
        assert!(connections >= done && connections <= done + 4, "{connections} for {done}");
        let (connections, done) = count(Lifetime::Churn { ratio: 0.5 });
        assert!(connections > 4 && connections < done, "{connections} for {done}");
    }
}

#[test]
fn slow_clients_are_a_load_and_no_sample() {
    let workload = Workload { slow_share: 0.5, slow_rate: 1000, sizes: vec![400], ..short() };
    let recording = load(&workload, Faults::default());
    assert!(recording.errors.is_empty(), "{:?}", recording.errors);
    let (slow, quick) = recording.per_client.split_at(2);
    assert_eq!(recording.totals.done, quick.iter().sum::<u64>());
    // 500 bytes each in the half second, and what was saved up.
    assert!(slow.iter().all(|count| *count <= 2), "{slow:?}");
}

#[test]
fn the_end_can_be_ordered() {
    struct StopAtOnce<'a>(&'a AtomicBool, Option<Instant>, u64);
    impl Watcher for StopAtOnce<'_> {
        fn started(&mut self, at: Instant) {
            self.1 = Some(at);
        }
        fn interval(&mut self, interval: &Interval, totals: &Totals, _: &BTreeMap<String, u64>) {
            self.2 += interval.done;
            assert!(totals.done >= self.2);
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let workload = Workload { duration: Duration::from_secs(600), ..short() };
    let addr = Fake::start(&workload, Faults::default()).addr;
    let target = Target { addr, name: "server".into() };
    let stop = AtomicBool::new(false);
    let mut watcher = StopAtOnce(&stop, None, 0);
    let (watcher_ref, environment) =
        (Some(&mut watcher as &mut dyn Watcher), Environment::default());
    let run = Run {
        workload: &workload,
        target: &target,
        stop: &stop,
        watcher: watcher_ref,
        environment,
    };
    let recording = engine::run(run).unwrap();
    assert!(watcher.1.is_some());
    assert!(recording.totals.done > 0 && recording.seconds < 300.0);
}

#[test]
fn every_verdict_can_be_had() {
    let sound = || {
        let mut recording = load(&short(), Faults::default());
        recording.generator.share = 0.5;
        recording
    };
    let base = sound();
    let reasons =
        |recording: &Recording, ceiling| verdict::reasons(recording, &Bounds::default(), ceiling);
    assert_eq!(reasons(&base, None), Vec::<String>::new());
    assert_eq!(reasons(&base, Some(1e12)), Vec::<String>::new());
    #[track_caller]
    fn assert_says(reasons: Vec<String>, why: &str) {
        assert!(reasons.len() == 1 && reasons[0].contains(why), "{reasons:?}");
    }
    assert_says(reasons(&base, Some(1.0)), "generator can do");
    let mut busy = base.clone();
    busy.generator.share = 0.81;
    assert_says(reasons(&busy, None), "81% of its core");
    let mut late = base.clone();
    late.workload.arrivals = Arrivals::Fixed { rate: 10.0 };
    (0..100).for_each(|_| late.lag.record(2 * MS));
    assert_says(reasons(&late, None), "lag p99 is 2.0 ms");
    let mut dropping = base.clone();
    dropping.totals.dropped = base.totals.planned / 50 + 1;
    assert_says(reasons(&dropping, None), "were dropped");
    let mut alone = base.clone();
    alone.totals.connections_made = 3;
    assert_says(reasons(&alone, None), "only 3 of 4 connections");
    let mut failing = base.clone();
    failing.errors.insert("lost".into(), base.totals.done / 100 + 1);
    assert_says(reasons(&failing, None), "errors");
    verdict::judge(&mut failing, &Bounds { errors: 0.5, ..Bounds::default() }, None);
    assert!(failing.invalid.is_empty());
}

#[test]
fn the_null_run_has_a_ceiling() {
    for protocol in [Protocol::File, Protocol::Http] {
        for lifetime in [Lifetime::KeepAlive, Lifetime::PerRequest] {
            let workload = Workload { protocol, lifetime, ..short() };
            let ceiling = engine::null_ceiling(&workload).unwrap();
            assert!(ceiling.per_cpu_second.is_finite() && ceiling.per_cpu_second > 0.0);
        }
    }
}

#[test]
fn a_mixed_load_on_every_model() {
    let root = tempfile::tempdir().unwrap();
    for protocol in [Protocol::File, Protocol::Http] {
        let both = u32::from(protocol == Protocol::File);
        let mix = Mix { get: 10, put: 5, list: 1, hash: both, quit: both };
        let sizes = vec![0, 10, 4096, 300_000];
        let workload = Workload { protocol, mix, sizes, names: 8, pipelining: 2, ..short() };
        content::make_files(root.path(), &workload).unwrap();
        for contender in CONTENDERS.iter().filter(|contender| contender.is_default()) {
            let serve = Command::new(env!("CARGO_BIN_EXE_serve"));
            let connections = if contender.many { 4 } else { 1 };
            let workload = Workload { connections, ..workload.clone() };
            let server =
                Server::start(serve, contender, root.path(), &[], Placement::Together).unwrap();
            let recording = run(&workload, server.addr());
            assert_sound(&recording);
        }
    }
}

mod program {
    use super::*;

    fn loadgen(args: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_loadgen")).args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    fn assert_refused(args: &[&str], why: &str) {
        let (code, stdout, stderr) = loadgen(args);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("loadgen: ") && stderr.contains(why), "{stderr}");
    }

    #[test]
    fn what_is_wrong_is_one_line_and_code_2() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        assert_refused(&[], "--addr");
        assert_refused(&["--bogus"], "--bogus");
        assert_refused(&["--addr", "127.0.0.1:1", "--mix", "get"], "get=8");
        assert_refused(&["--addr", "127.0.0.1:1", "--connections", "x"], "--connections");
        assert_refused(&["--addr", "127.0.0.1:1", "--connections", "0"], "connection");
        assert_refused(&["--addr", "no port"], "--addr no port");
        assert_refused(&["--serve", "pond"], "thread_server");
        let addr = file_service::listen("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        assert_refused(&["--addr", &addr, "--no-null-run"], "cannot be reached");
        let bad = file("bad.toml", "connections = 4\nconections = 5\n");
        assert_refused(&["--addr", &addr, "--scenario", &bad], "line 2");
        assert_refused(&["--addr", &addr, "--scenario", "/nowhere/x.toml"], "x.toml");
    }

    #[test]
    fn a_scenario_against_one_of_ours_with_everything_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let scenario = "connections = 3\nduration = 0.3\nwarm_up = 0\nsizes = [100]\n\
                        [arrivals]\nloop = \"poisson\"\nrate = 100\n[mix]\nget = 1\nput = 1\n";
        std::fs::write(path("s.toml"), scenario).unwrap();
        let (code, stdout, stderr) = loadgen(&[
            "--serve",
            "thread",
            "--scenario",
            &path("s.toml"),
            "--seed",
            "7",
            "--json",
            &path("r.json"),
            "--csv",
            &path("r.csv"),
            "--hgrm",
            &path("r.hgrm"),
            "--html",
            &path("r.html"),
        ]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(stdout.contains("thread_server"), "{stdout}");
        let json = std::fs::read_to_string(path("r.json")).unwrap();
        let recording: Recording = serde_json::from_str(&json).unwrap();
        assert_eq!((recording.workload.connections, recording.workload.seed), (3, 7));
        assert!(recording.totals.done > 0 && !recording.samples.is_empty());
        for name in ["r.csv", "r.hgrm", "r.html"] {
            assert!(std::fs::metadata(path(name)).unwrap().len() > 0, "{name}");
        }
    }

    #[test]
    fn a_server_that_is_running_gets_its_files_by_upload() {
        let root = tempfile::tempdir().unwrap();
        let serve = Command::new(env!("CARGO_BIN_EXE_serve"));
        let contender = &CONTENDERS[0];
        let server =
            Server::start(serve, contender, root.path(), &[], Placement::Together).unwrap();
        let (addr, pid) = (server.addr().to_string(), server.pid().as_raw_pid().to_string());
        let (code, stdout, stderr) = loadgen(&[
            "--addr",
            &addr,
            "--pid",
            &pid,
            "--upload",
            "--names",
            "2",
            "--duration",
            "0.2",
            "--warm-up",
            "0",
            "-c",
            "1",
            "--no-null-run",
            "--protocol",
            "http",
        ]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(root.path().join("load-000001").exists());
    }

    #[test]
    fn a_server_that_dies_is_code_1_and_what_was_measured() {
        let workload = Workload::default();
        let fake = Fake::start(&workload, Faults { dies_after: Some(500), ..Faults::default() });
        let addr = fake.addr.to_string();
        let (code, stdout, _) = loadgen(&["--addr", &addr, "--no-null-run", "--warm-up", "0"]);
        assert_eq!(code, Some(1), "{stdout}");
        assert!(stdout.contains(verdict::SERVER_ENDED), "{stdout}");
    }

    #[test]
    fn an_interrupt_prints_what_there_is() {
        let workload = Workload::default();
        let fake = Fake::start(&workload, Faults::default());
        let addr = fake.addr.to_string();
        let child = Command::new(env!("CARGO_BIN_EXE_loadgen"))
            .args(["--addr", &addr, "--no-null-run", "--warm-up", "0", "--duration", "600"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        harness::wait::eventually("a connection", || {
            fake.connections.load(Ordering::Relaxed) >= 64
        });
        pause(Duration::from_millis(300));
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{stdout}");
        assert!(stdout.contains("requests answered"), "{stdout}");
    }
}
