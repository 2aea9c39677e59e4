//! The load generator against servers whose behaviour is known: what it reports is what arithmetic
//! predicts. Lower bounds are exact; upper ones are generous, since the machine may be busy. Nothing here
//! is about speed.

use benches::load::content::{self, Content, Upload};
use benches::load::engine::{self, Run, RunError, Target, Watcher};
use benches::load::recording::{Environment, Interval, Latencies, Recording, Totals};
use benches::load::verdict::{self, Bounds};
use benches::load::workload::{Arrivals, Course, Law, Lifetime, Mix, Protocol, Sizes, Workload};
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
    shared: Arc<Shared>,
}

impl Fake {
    fn start(workload: &Workload, faults: Faults) -> Fake {
        let listener = server_core::listen("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let content = Arc::new(Content::new(workload));
        let connections = Arc::new(AtomicU64::new(0));
        let counted = connections.clone();
        let shared = Arc::new(Shared::default());
        let known = shared.clone();
        // They end with the test's process.
        thread::spawn(move || accept(&listener, &content, faults, &counted, &known));
        Fake { addr, connections, shared }
    }
}

#[derive(Default)]
struct Shared {
    requests: AtomicU64,
    /// How many of them came while nobody was answered.
    stalled: AtomicU64,
    begun: std::sync::OnceLock<Instant>,
}

fn accept(
    listener: &TcpListener,
    content: &Arc<Content>,
    faults: Faults,
    connections: &Arc<AtomicU64>,
    shared: &Arc<Shared>,
) {
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
                shared.stalled.fetch_add(1, Ordering::Relaxed);
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
        sizes: vec![200, 5000].into(),
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
fn run_stretches(workload: &Workload, addr: SocketAddr) -> Vec<Recording> {
    let target = Target { addr, name: "server".into() };
    let (stop, environment) = (AtomicBool::new(false), Environment::default());
    let run = Run { workload, target: &target, stop: &stop, watcher: None, environment };
    engine::run_stretches(run).unwrap()
}

/// What has an upper bound in time holds, unless the machine stands still at the wrong moment: not so five times in a row.
#[track_caller]
fn assert_in_time(what: &str, attempt: impl FnMut() -> bool) {
    assert!(std::iter::repeat_with(attempt).take(5).any(|held| held), "never: {what}");
}

/// Runs against a new server, until every client has been served in every stretch: where nobody gets to run for as long as one
/// lasts, nothing is measured in it. Not so five times in a row.
#[track_caller]
fn measured(workload: &Workload, faults: Faults) -> (Fake, Vec<Recording>) {
    let mut left = 5;
    loop {
        let fake = Fake::start(workload, faults);
        let recordings = run_stretches(workload, fake.addr);
        left -= 1;
        let all = |run: &Recording| run.totals.clients_served == run.totals.connections_asked;
        if recordings.iter().all(all) || left == 0 {
            return (fake, recordings);
        }
    }
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
    assert_in_time("half of them within 200 ms", || {
        let closed = load(&short(), faults);
        assert_sound(&closed);
        // Recorded to three digits: no bucket is wider than a thousandth.
        assert!(closed.response_time.0.min() >= 20 * MS * 999 / 1000);
        assert_eq!(closed.response_time, closed.service_time);
        // 4 clients, each at most once in 20 ms.
        assert!(closed.totals.done <= 4 * 25 + 4, "{}", closed.totals.done);
        closed.response_time.percentile(50.0) < 200 * MS
    });

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
    assert_in_time("few are slow, and the median looks fine", || {
        let fake = Fake::start(&base, faults);
        let closed = run(&base, fake.addr);
        assert_sound(&closed);
        let stalled = fake.shared.stalled.load(Ordering::Relaxed);
        assert!(stalled <= 4, "{stalled}");
        let slow = closed.response_time.0.count_between(1000 * MS, u64::MAX);
        (1..=4).contains(&slow) && closed.response_time.percentile(50.0) < 500 * MS
    });

    // In an open loop everybody notices who comes meanwhile: at 50/s, 100 of 150 requests.
    let arrivals = Arrivals::Fixed { rate: 50.0 };
    assert_in_time("nobody but they waits", || {
        let open = load(&Workload { arrivals, connections: 256, ..base.clone() }, faults);
        assert_sound(&open);
        assert!((145..=150).contains(&open.totals.planned), "{}", open.totals.planned);
        // They wait from 0 to 2 s, evenly: 3/4 of the 100 longer than 0.5 s, half longer than 1 s.
        let longer = |ms: u64| open.response_time.0.count_between(ms * MS, u64::MAX);
        assert!(longer(500) >= 70 && longer(1000) >= 45, "{}, {}", longer(500), longer(1000));
        assert!(open.response_time.0.max() >= 1900 * MS);
        assert!(open.response_time.percentile(50.0) >= 400 * MS, "its median does not");
        longer(500) <= 100 && longer(1000) <= 80
    });
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
        // Who is turned away comes again, and is counted if that is before the end.
        assert_in_time("two are served, and two turned away", || {
            let recording = load(&workload, faults);
            assert!(recording.totals.done > 0);
            assert_eq!(recording.totals.clients_served, 2);
            assert_eq!(recording.per_client.iter().filter(|count| **count == 0).count(), 2);
            recording.errors.get("busy").is_some_and(|busy| *busy > 0)
        });
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

/// A port that somebody has and nobody listens at, and who has it.
fn nobodys_port() -> (rustix::fd::OwnedFd, SocketAddr) {
    use rustix::net::{AddressFamily, SocketType};
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let addr = rustix::net::getsockname(&socket).unwrap().try_into().unwrap();
    (socket, addr)
}

#[test]
fn nobody_there_is_unreachable() {
    // In all three ways of connecting.
    let (_taken, addr) = nobodys_port();
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
        Workload { sizes: Vec::new().into(), ..short() },
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
        assert_in_time("enough for some to stay and some to go", || {
            let (connections, done) = count(Lifetime::Churn { ratio: 0.5 });
            connections > 4 && connections < done
        });
    }
}

#[test]
fn slow_clients_are_a_load_and_no_sample() {
    let workload =
        Workload { slow_share: 0.5, slow_rate: 1000, sizes: vec![400].into(), ..short() };
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
            self.0.store(totals.done > 0, Ordering::Relaxed);
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
        let sizes = vec![0, 10, 4096, 300_000].into();
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

/// Steps or a ramp of so long each, or in all.
fn growing(course: Course, millis: u64) -> Workload {
    let (duration, warm_up) = (Duration::from_millis(millis), Duration::from_millis(100));
    Workload { course, duration, warm_up, ..short() }
}

#[test]
fn steps_are_recorded_one_by_one_on_connections_that_live() {
    let delay = Duration::from_millis(20);
    let steps = growing(Course::Steps { levels: vec![1.0, 3.0, 6.0] }, 300);
    let (fake, recordings) = measured(&steps, Faults { delay, ..Faults::default() });
    assert_eq!(fake.connections.load(Ordering::Relaxed), 6, "those of a step go on in the next");
    assert_eq!(recordings.len(), 3);
    for (recording, clients) in recordings.iter().zip([1, 3, 6]) {
        assert_sound(recording);
        assert_eq!(recording.workload.connections as u64, clients);
        assert_eq!(recording.totals.connections_asked, clients);
        assert_eq!(recording.totals.clients_served, clients);
        assert_eq!(recording.per_client.len() as u64, clients);
        assert!((recording.seconds - 0.3).abs() < 0.01, "{}", recording.seconds);
        // Each at most once in 20 ms, and nothing of the warm-up.
        assert!(recording.totals.done <= clients * 16, "{clients}: {:?}", recording.totals);
        assert!(recording.response_time.0.min() >= 20 * MS * 999 / 1000);
        assert!(recording.intervals.iter().all(|interval| interval.at > 0.0));
    }
    // Between two beginnings lie a measurement and a warm-up.
    let since: Vec<f64> = recordings.iter().map(|recording| recording.since).collect();
    assert!(since[0] == 0.0 && since[1] >= 0.399 && since[2] >= since[1] + 0.399, "{since:?}");
}

#[test]
fn steps_go_down_too() {
    for lifetime in [Lifetime::KeepAlive, Lifetime::PerRequest, Lifetime::Churn { ratio: 0.3 }] {
        let course = Course::Steps { levels: vec![4.0, 1.0, 2.0] };
        let steps = Workload { lifetime, ..growing(course, 200) };
        let (fake, recordings) = measured(&steps, Faults::default());
        for (recording, clients) in recordings.iter().zip([4, 1, 2]) {
            assert_sound(recording);
            assert_eq!(recording.totals.clients_served, clients, "{lifetime:?}");
        }
        if lifetime == Lifetime::KeepAlive {
            // Three have ended, and one came back.
            assert_eq!(fake.connections.load(Ordering::Relaxed), 5);
        }
    }
}

#[test]
fn a_reply_counts_in_the_step_that_asked_for_it() {
    // Longer than a step and its warm-up: every reply comes in a later step.
    let faults = Faults { delay: Duration::from_millis(500), ..Faults::default() };
    let arrivals = Arrivals::Fixed { rate: 0.0 };
    let steps = growing(Course::Steps { levels: vec![20.0, 40.0] }, 300);
    let steps = Workload { arrivals, connections: 64, ..steps };
    let recordings = run_stretches(&steps, Fake::start(&steps, faults).addr);
    for (recording, planned) in recordings.iter().zip([6, 12]) {
        assert_sound(recording);
        // 20 and 40 a second for 0.3 s.
        assert!(recording.totals.planned.abs_diff(planned) <= 1, "{:?}", recording.totals);
        assert_eq!(recording.lag.0.len(), recording.totals.planned);
        assert!(recording.response_time.0.min() >= 500 * MS * 999 / 1000);
        assert_eq!(recording.workload.arrivals.rate(), Some((planned as f64 / 0.3).round()));
    }
}

#[test]
fn errors_between_two_steps_belong_to_the_first() {
    // The first step's requests are lost in the second's warm-up, when their time is over.
    let steps = Workload {
        timeout: Duration::from_millis(500),
        arrivals: Arrivals::Fixed { rate: 0.0 },
        connections: 32,
        ..growing(Course::Steps { levels: vec![10.0, 10.0] }, 300)
    };
    let steps = Workload { warm_up: Duration::from_secs(1), ..steps };
    let faults = Faults { silent: true, ..Faults::default() };
    assert_in_time("their time is over when it is", || {
        let recordings = run_stretches(&steps, Fake::start(&steps, faults).addr);
        let (first, planned) = (&recordings[0], recordings[0].totals.planned);
        assert!(first.totals.done == 0 && (2..=4).contains(&planned), "{:?}", first.totals);
        // Those of its own, and those of its warm-up that were lost in it.
        first.errors.get("timeout").is_some_and(|lost| *lost >= 2 * planned - 1)
    });
}

#[test]
fn a_ramp_adds_client_after_client() {
    let workload = growing(Course::Ramp { from: 2.0, to: 6.0 }, 800);
    let (mut fake, mut recordings) = (None, Vec::new());
    assert_in_time("something in every stretch", || {
        let new = Fake::start(&workload, Faults::default());
        recordings = run_stretches(&workload, new.addr);
        fake = Some(new);
        recordings.iter().all(|recording| recording.totals.done > 0)
    });
    let fake = fake.unwrap();
    assert_eq!(fake.connections.load(Ordering::Relaxed), 6);
    let asked: Vec<u64> = recordings.iter().map(|r| r.totals.connections_asked).collect();
    assert_eq!(asked, [3, 4, 5, 6]);
    let mut end = 0.0;
    for recording in &recordings {
        assert!(recording.errors.is_empty() && recording.totals.done > 0, "{recording:?}");
        assert_eq!(recording.totals.planned, recording.totals.done);
        assert!((recording.since - end).abs() < 0.02, "one follows upon the other");
        end = recording.since + recording.seconds;
    }
    assert!((end - 0.8).abs() < 0.02, "{end}");
    let down = growing(Course::Ramp { from: 4.0, to: 1.0 }, 600);
    let recordings = run_stretches(&down, Fake::start(&down, Faults::default()).addr);
    assert!(recordings.len() == 3 && recordings.iter().all(|r| r.errors.is_empty()));
}

#[test]
fn a_run_in_steps_can_be_ended_in_the_middle() {
    let faults = Faults { dies_after: Some(200), ..Faults::default() };
    let steps = growing(Course::Steps { levels: vec![1.0, 2.0, 3.0] }, 60_000);
    let recordings = run_stretches(&steps, Fake::start(&steps, faults).addr);
    assert_eq!(recordings.len(), 1);
    assert!(verdict::server_ended(&recordings[0]));
}

#[test]
fn files_of_a_distribution_are_verified_too() {
    let law = Law::Lognormal { median: 500, sigma: 1.5, max: 100_000 };
    let workload = Workload { sizes: Sizes::Law(law), names: 100, ..short() };
    assert_sound(&load(&workload, Faults::default()));
    let sizes = workload.file_sizes();
    assert!(sizes.iter().any(|size| *size < 300) && sizes.iter().any(|size| *size > 1000));
}

/// A foreign server: every reply comes in chunks, which come in pieces that have nothing to do with them.
fn chunking(workload: &Workload) -> SocketAddr {
    let listener = server_core::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let content = Arc::new(Content::new(workload));
    let serve = move |socket: TcpStream, content: &Content| -> Option<()> {
        socket.set_nodelay(true).ok()?;
        let mut lines = BufReader::new(&socket);
        let mut rng = fastrand::Rng::with_seed(7);
        loop {
            let (mut request, mut line) = (String::new(), String::from("x"));
            if lines.read_line(&mut request).ok()? == 0 {
                return Some(());
            }
            while !line.trim().is_empty() {
                line.clear();
                lines.read_line(&mut line).ok()?;
            }
            let name = request.split(' ').nth(1)?.trim_start_matches('/').to_owned();
            let body = match name.strip_prefix("load-") {
                Some(number) => whole(content, number.parse().ok()?),
                None => b"<html>a folder</html>".to_vec(),
            };
            let mut reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
            let mut rest = &body[..];
            while !rest.is_empty() {
                let (chunk, more) = rest.split_at(rng.usize(1..=rest.len().min(700)));
                reply.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
                reply.extend_from_slice(chunk);
                reply.extend_from_slice(b"\r\n");
                rest = more;
            }
            reply.extend_from_slice(b"0\r\nSome: trailer\r\n\r\n");
            let mut rest = &reply[..];
            while !rest.is_empty() {
                // One byte, or up to a few hundred: in the middle of sizes, of line ends, of data.
                let most = [1, 2, 400][rng.usize(..3)].min(rest.len());
                let (piece, more) = rest.split_at(rng.usize(1..=most));
                (&socket).write_all(piece).ok()?;
                rest = more;
            }
        }
    };
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let content = content.clone();
            thread::spawn(move || serve(socket, &content));
        }
    });
    addr
}

#[test]
fn replies_in_chunks_are_understood() {
    let mix = Mix { get: 3, list: 1, ..Mix::default() };
    let workload =
        Workload { protocol: Protocol::Http, mix, sizes: vec![200, 1500].into(), ..short() };
    assert_sound(&run(&workload, chunking(&workload)));
    // What is in the chunks is verified.
    let other = Workload { sizes: vec![200, 1501].into(), ..workload.clone() };
    assert_in_time("a file is asked for that is another there", || {
        run(&other, chunking(&workload)).errors.contains_key("wrong-body")
    });
}

#[test]
fn ports_do_not_run_out() {
    const CONNECTIONS: u64 = 32_000; // more than one address has ports
    struct Enough<'a>(&'a AtomicBool);
    impl Watcher for Enough<'_> {
        fn started(&mut self, _: Instant) {}
        fn interval(&mut self, _: &Interval, totals: &Totals, _: &BTreeMap<String, u64>) {
            self.0.store(totals.done >= CONNECTIONS, Ordering::Relaxed);
        }
    }
    let workload = Workload {
        lifetime: Lifetime::PerRequest,
        duration: Duration::from_secs(600),
        sizes: vec![10].into(),
        ..short()
    };
    // One who answers all, one after the other, and remembers where they came from.
    let listener = server_core::listen("127.0.0.1:0").unwrap();
    let target = Target { addr: listener.local_addr().unwrap(), name: "server".into() };
    let reply = [b"OK 10\n", &whole(&Content::new(&workload), 0)[..]].concat();
    let workload = Workload { names: 1, ..workload };
    let sources = Arc::new(std::sync::Mutex::new(BTreeMap::<std::net::IpAddr, u64>::new()));
    let counted = sources.clone();
    thread::spawn(move || {
        while let Ok((mut socket, peer)) = listener.accept() {
            *counted.lock().unwrap().entry(peer.ip()).or_default() += 1;
            let mut request = [0; 64];
            let _ = std::io::Read::read(&mut socket, &mut request);
            let _ = socket.write_all(&reply);
            // The client closes first: it is his port that waits.
            let _ = std::io::Read::read(&mut socket, &mut request);
        }
    });
    let stop = AtomicBool::new(false);
    let mut enough = Enough(&stop);
    let run = Run {
        workload: &workload,
        target: &target,
        stop: &stop,
        watcher: Some(&mut enough),
        environment: Environment::default(),
    };
    let recording = engine::run(run).unwrap();
    assert!(recording.errors.is_empty(), "{:?}", recording.errors);
    assert!(recording.totals.done >= CONNECTIONS);
    let sources = sources.lock().unwrap();
    let most = sources.values().max().unwrap();
    // 250 addresses take turns, so each is asked for a 250th of the ports.
    assert!(sources.len() == 250 && *most <= recording.totals.done / 250 + 10, "{most}");
}

#[test]
fn from_one_address_connections_end_without_a_trace() {
    let workload =
        Workload { lifetime: Lifetime::PerRequest, names: 1, sizes: vec![10].into(), ..short() };
    // Not every machine has it.
    let Ok(listener) = server_core::listen("[::1]:0") else { return };
    let addr = listener.local_addr().unwrap();
    let reply = [b"OK 10\n", &whole(&Content::new(&workload), 0)[..]].concat();
    let (ends, told) = std::sync::mpsc::channel();
    thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let mut request = [0; 64];
            let _ = std::io::Read::read(&mut socket, &mut request);
            let _ = socket.write_all(&reply);
            let _ = ends.send(std::io::Read::read(&mut socket, &mut request));
        }
    });
    let recording = run(&workload, addr);
    assert!(recording.errors.is_empty() && recording.totals.done > 0, "{:?}", recording.errors);
    // A port whose connection was reset is free at once.
    for _ in 0..recording.totals.done {
        let end = told.recv_timeout(Duration::from_secs(20)).unwrap().unwrap_err();
        assert_eq!(end.kind(), std::io::ErrorKind::ConnectionReset);
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
        let (_taken, addr) = nobodys_port();
        let addr = addr.to_string();
        assert_refused(&["--addr", &addr, "--no-null-run"], "cannot be reached");
        let bad = file("bad.toml", "connections = 4\nconections = 5\n");
        assert_refused(&["--addr", &addr, "--scenario", &bad], "line 2");
        assert_refused(&["--addr", &addr, "--scenario", "/nowhere/x.toml"], "x.toml");
        for (flags, why) in [
            (&["--steps", "1,x"][..], "1,4,16,64:5"),
            (&["--steps", "1,0"], "connections"),
            (&["--steps", "1.5"], "connections"),
            (&["--steps", "1:y"], "seconds"),
            (&["--steps", "1", "--ramp", "1:2:3"], "--ramp"),
            (&["--ramp", "1:2"], "FROM:TO:SECONDS"),
            (&["--arrivals", "poisson"], "--rate"),
            (&["--rate", "0"], "rate"),
            (&["--sizes", "normal:mean=1"], "lognormal"),
            (&["--sizes", "lognormal:median=8K"], "sigma"),
            (&["--sizes", "pareto:min=8K,alpha=0"], "alpha"),
            (&["--duration=-1"], "--duration"),
            (&["--duration", "0"], "duration"),
            (&["--max-errors", "x"], "--max-errors"),
            (&["--pid", "0"], "process 0"),
            (&["--lifetime", "short"], "keep-alive"),
            (&["--protocol", "gopher"], "gopher"),
            (&["--zipf", "-1"], "Zipf"),
            (&["--slow-share", "2"], "slow"),
            (&["--root", "/nowhere"], "/nowhere"),
        ] {
            assert_refused(&[&["--addr", &addr], flags].concat(), why);
        }
        let json = folder.path().join("x.json");
        let json = json.to_str().unwrap();
        assert_refused(&["picture", json, "-o", json], "x.json");
        std::fs::write(json, "[]").unwrap();
        assert_refused(&["picture", json, "-o", json], "x.json");
    }

    #[test]
    fn steps_with_everything_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let scenario = "[course]\nshape = \"steps\"\nlevels = [9]\n";
        std::fs::write(path("s.toml"), scenario).unwrap();
        let args = ["--serve", "thread", "--scenario", &path("s.toml"), "--steps", "1,3,2:0.3"];
        let sizes = ["--sizes", "lognormal:median=2K,sigma=1,files=20", "--warm-up", "0.1"];
        let written = [
            "--json",
            &path("r.json"),
            "--csv",
            &path("r.csv"),
            "--summary-csv",
            &path("s.csv"),
            "--hgrm",
            &path("r.hgrm"),
            "--html",
            &path("r.html"),
        ];
        // Until every client was served in its step, and the server looked at when it began and ended.
        let mut last = None;
        assert_in_time("steps that were measured from their beginning to their end", || {
            let (code, stdout, stderr) = loadgen(&[&args[..], &sizes, &written].concat());
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
            let json = std::fs::read_to_string(path("r.json")).unwrap();
            let comparison = benches::load::report::json::read_comparison(&json).unwrap();
            let measured = comparison.cases.iter().zip([1, 3, 2]).all(|(case, clients)| {
                let run = case.results[0].runs().next().unwrap();
                let (first, last) = (run.samples.first().unwrap(), run.samples.last().unwrap());
                let (served, from, to) = (run.totals.clients_served, first.at.abs(), last.at);
                served == clients && from < 0.2 && to > 0.1
            });
            last = Some((stdout, comparison));
            measured
        });
        let (stdout, comparison) = last.unwrap();
        assert!(stdout.contains("20 files from"), "{stdout}");
        let names: Vec<&str> = comparison.cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["step-1", "step-3", "step-2"]);
        for case in &comparison.cases {
            assert!(stdout.contains(&case.title), "{}: {stdout}", case.title);
            let run = case.results[0].runs().next().unwrap();
            assert!(run.errors.is_empty(), "{:?}", run.errors);
            assert!(run.empty.is_some());
            assert!(case.ceiling.is_some());
        }
        let rows = std::fs::read_to_string(path("s.csv")).unwrap();
        assert_eq!(rows.lines().count(), 4, "{rows}");
        let rows = std::fs::read_to_string(path("r.csv")).unwrap();
        assert!(names.iter().all(|name| rows.contains(&format!("{name},thread_server"))), "{rows}");
        assert!(names.iter().all(|name| folder.path().join(format!("r-{name}.hgrm")).exists()));
        let page = std::fs::read_to_string(path("r.html")).unwrap();
        assert!(page.contains("More and more clients: steps"), "its curve");
        let (code, stdout, stderr) = loadgen(&["compare", &path("r.json"), &path("r.json")]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");

        let picture = path("docs/picture.svg");
        let (code, stdout, stderr) = loadgen(&["picture", &path("r.json"), "-o", &picture]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        assert!(std::fs::read_to_string(picture).unwrap().starts_with("<svg xmlns="));
    }

    #[test]
    fn rates_in_steps() {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("r.json").to_str().unwrap().to_owned();
        let html = folder.path().join("r.html").to_str().unwrap().to_owned();
        let args = ["--serve", "pool", "--arrivals", "poisson", "--ramp", "100:400:1"];
        let more = ["--warm-up", "0", "--json", &json, "--html", &html, "--no-null-run"];
        let (code, stdout, stderr) = loadgen(&[&args[..], &more].concat());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
        let text = std::fs::read_to_string(json).unwrap();
        let comparison = benches::load::report::json::read_comparison(&text).unwrap();
        assert_eq!(comparison.cases.len(), 10);
        let planned = |case: &benches::load::report::Case| {
            case.results[0].runs().map(|run| run.totals.planned).sum::<u64>()
        };
        // 250 on average, of which Poisson's law allows 16 more or less, and often twice that.
        let all: u64 = comparison.cases.iter().map(planned).sum();
        assert!((170..330).contains(&all), "{all}");
        let page = std::fs::read_to_string(html).unwrap();
        assert!(page.contains("More and more requests") && !page.contains("NaN"));
    }

    #[test]
    fn of_a_server_started_elsewhere_nothing_is_claimed() {
        let workload = Workload::default();
        let addr = Fake::start(&workload, Faults::default()).addr.to_string();
        let short = ["--no-null-run", "--warm-up", "0", "--duration", "0.2"];
        let (_, stdout, _) = loadgen(&[&["--addr", &addr][..], &short].concat());
        assert!(stdout.contains("cores are not known"), "{stdout}");
        assert!(!stdout.contains("server pinned"), "{stdout}");
        let own = std::process::id().to_string();
        let (_, stdout, _) = loadgen(&[&["--addr", &addr, "--pid", &own][..], &short].concat());
        assert!(stdout.contains("may use these cores: "), "{stdout}");
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
        // One for each of its clients: whoever asks once more has got a reply.
        harness::wait::eventually("a reply that was read", || {
            fake.shared.requests.load(Ordering::Relaxed) > 64
        });
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{stdout}");
        assert!(stdout.contains("requests answered"), "{stdout}");
    }
}
