//! The load generator against servers whose behaviour is known: what it reports is what arithmetic
//! predicts. Lower bounds are exact; upper ones are generous, since the machine may be busy. Nothing here
//! is about speed.

mod arithmetic;
mod connections;
mod fake;
mod measurement;
mod outputs;
mod program;
mod reference;
mod scripted;
mod signals;
mod verdicts;

use benches::load::content::{self, Content};
use benches::load::engine::{self, Run, RunError, Target, Watcher};
use benches::load::latencies::Latencies;
use benches::load::recording::{Environment, Interval, Recording, Totals};
use benches::load::verdict::{self, Bounds};
use benches::load::workload::{
    Arrivals, Distribution, Lifetime, Mix, Profile, Protocol, Sizes, Workload,
};
use benches::{Placement, Server, VARIANTS};
use fake::{Fake, Faults, chunking, unlistened_port, whole};
use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const MS: u64 = 1_000_000;

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

fn target(addr: SocketAddr) -> Target {
    Target::new(addr, "server")
}

fn try_run(workload: &Workload, addr: SocketAddr) -> Result<Recording, RunError> {
    let target = target(addr);
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
fn run_phases(workload: &Workload, addr: SocketAddr) -> Vec<Recording> {
    let target = target(addr);
    let (stop, environment) = (AtomicBool::new(false), Environment::default());
    let run = Run { workload, target: &target, stop: &stop, watcher: None, environment };
    engine::run_phases(run).unwrap()
}

/// What has an upper bound in time holds, unless the machine stands still at the wrong moment: not so five times in a row.
#[track_caller]
fn assert_in_time(what: &str, attempt: impl FnMut() -> bool) {
    assert!(std::iter::repeat_with(attempt).take(5).any(|held| held), "never: {what}");
}

/// Runs against a new server, until every client has been served in every phase: where nobody gets to run for as long as one
/// lasts, nothing is measured in it. Not so five times in a row.
#[track_caller]
fn measured(workload: &Workload, faults: Faults) -> (Fake, Vec<Recording>) {
    let mut left = 5;
    loop {
        let fake = Fake::start(workload, faults);
        let recordings = run_phases(workload, fake.addr);
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
    assert_eq!(in_intervals + totals.outside_intervals, totals.done, "nothing is counted twice");
    assert!(recording.per_client.iter().sum::<u64>() >= totals.done);
    assert_eq!(totals.connections_made, totals.connections_asked);
}

#[track_caller]
fn assert_invalid(recording: &Recording, why: &str) {
    assert!(recording.invalid.iter().any(|reason| reason.contains(why)), "{:?}", recording.invalid);
}

#[test]
fn known_delay_is_reported() {
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
fn stall_delays_all_open_loop_arrivals() {
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
    assert_in_time("no other request waits", || {
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
fn arrivals_beyond_connections_are_dropped() {
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
fn wrong_bodies_are_found_if_verified() {
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
fn busy_is_counted_in_both_protocols() {
    for protocol in [Protocol::File, Protocol::Http] {
        let workload = Workload { protocol, ..short() };
        let faults = Faults { max_connections: Some(2), ..Faults::default() };
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
fn lost_connections_are_counted() {
    let recording = load(&short(), Faults { hangs_up: true, ..Faults::default() });
    assert_eq!(recording.totals.done, 0);
    assert!(recording.errors["lost"] >= 4, "{:?}", recording.errors);
    assert!(!verdict::server_ended(&recording));
}

#[test]
fn dead_server_ends_run() {
    let faults = Faults { dies_after: Some(50), ..Faults::default() };
    let (duration, timeout) = (Duration::from_secs(60), Duration::from_millis(500));
    let recording = load(&Workload { duration, timeout, ..short() }, faults);
    assert!(verdict::server_ended(&recording), "{:?}", recording.invalid);
    assert!(recording.totals.done > 0 && recording.totals.done <= 50);
    assert!(recording.seconds < 50.0);
    assert!(!recording.errors.is_empty());
    // The time in which it was waited for is not part of that.
    let reason =
        recording.invalid.iter().find_map(|why| why.strip_prefix("the server ended after "));
    let after: f64 = reason.unwrap().split(' ').next().unwrap().parse().unwrap();
    let measured = recording.generator.seconds;
    assert!(after < measured - 0.4, "ended after {after} s of {measured} s");
}

#[test]
fn closed_port_is_unreachable() {
    // In all three ways of connecting.
    let (_taken, addr) = unlistened_port();
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
fn invalid_workload_is_rejected_first() {
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
fn pipelined_requests_keep_order() {
    for protocol in [Protocol::File, Protocol::Http] {
        let workload = Workload { pipelining: 16, protocol, ..short() };
        assert_sound(&load(&workload, Faults::default()));
    }
}

#[test]
fn lifetime_sets_number_of_connections() {
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
fn slow_clients_are_not_sampled() {
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
fn stop_flag_ends_run() {
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
    let target = target(addr);
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
fn each_bound_has_its_verdict() {
    let sound = || {
        let mut recording = load(&short(), Faults::default());
        recording.generator.share = 0.5;
        recording.generator.waiting = Some(0.0);
        recording
    };
    let base = sound();
    let reasons =
        |recording: &Recording, ceiling| verdict::reasons(recording, &Bounds::default(), ceiling);
    assert_eq!(reasons(&base, None), Vec::<String>::new());
    assert_eq!(reasons(&base, Some(1e12)), Vec::<String>::new());
    #[track_caller]
    fn assert_reason(reasons: Vec<String>, why: &str) {
        assert!(reasons.len() == 1 && reasons[0].contains(why), "{reasons:?}");
    }
    assert_reason(reasons(&base, Some(1.0)), "generator can do");
    let mut busy = base.clone();
    busy.generator.share = 0.81;
    assert_reason(reasons(&busy, None), "81% of its core");
    let mut starved = base.clone();
    starved.generator.waiting = Some(0.11);
    assert_reason(reasons(&starved, None), "core for 11% of the time");
    starved.generator.waiting = None;
    assert_eq!(reasons(&starved, None), Vec::<String>::new(), "not counted, not judged");
    let mut late = base.clone();
    late.workload.arrivals = Arrivals::Fixed { rate: 10.0 };
    (0..100).for_each(|_| late.lag.record(2 * MS));
    assert_reason(reasons(&late, None), "lag p99 is 2.0 ms");
    let mut dropping = base.clone();
    dropping.totals.dropped = base.totals.planned / 50 + 1;
    assert_reason(reasons(&dropping, None), "raise --connections");
    dropping.workload.max_in_flight = Some(50);
    assert_reason(reasons(&dropping, None), "raise --max-in-flight");
    let mut unanswered = base.clone();
    (unanswered.totals.done, unanswered.totals.planned) = (0, 0);
    assert_reason(reasons(&unanswered, None), "use a longer --duration");
    unanswered.totals.planned = 1;
    assert_reason(reasons(&unanswered, None), "no request was answered");
    let mut alone = base.clone();
    alone.totals.connections_made = 3;
    assert_reason(reasons(&alone, None), "only 3 of 4 connections");
    let mut failing = base.clone();
    failing.errors.insert("lost".into(), base.totals.done / 100 + 1);
    assert_reason(reasons(&failing, None), "errors");
    verdict::judge(&mut failing, &Bounds { errors: 0.5, ..Bounds::default() }, None);
    assert!(failing.invalid.is_empty());
}

#[test]
fn null_run_has_ceiling() {
    for protocol in [Protocol::File, Protocol::Http] {
        for lifetime in [Lifetime::KeepAlive, Lifetime::PerRequest] {
            let workload = Workload { protocol, lifetime, ..short() };
            let ceiling = engine::null_ceiling(&workload).unwrap();
            assert!(ceiling.per_cpu_second.is_finite() && ceiling.per_cpu_second > 0.0);
        }
    }
}

#[test]
fn mixed_load_on_every_model() {
    let root = tempfile::tempdir().unwrap();
    for protocol in [Protocol::File, Protocol::Http] {
        let both = u32::from(protocol == Protocol::File);
        let mix = Mix { get: 10, put: 5, list: 1, hash: both, quit: both };
        let sizes = vec![0, 10, 4096, 300_000].into();
        let workload = Workload { protocol, mix, sizes, names: 8, pipelining: 2, ..short() };
        content::make_files(root.path(), &workload).unwrap();
        for variant in VARIANTS.iter().filter(|variant| variant.is_default()) {
            let serve = Command::new(env!("CARGO_BIN_EXE_serve"));
            let connections = if variant.many { 4 } else { 1 };
            let workload = Workload { connections, ..workload.clone() };
            let server =
                Server::start(serve, variant, root.path(), &[], Placement::Unpinned).unwrap();
            let recording = run(&workload, server.addr());
            assert_sound(&recording);
        }
    }
}

/// Steps or a ramp of so long each, or in all.
fn growing(profile: Profile, millis: u64) -> Workload {
    let (duration, warm_up) = (Duration::from_millis(millis), Duration::from_millis(100));
    Workload { profile, duration, warm_up, ..short() }
}

#[test]
fn steps_reuse_connections_and_record_each() {
    let delay = Duration::from_millis(20);
    let steps = growing(Profile::Steps { levels: vec![1.0, 3.0, 6.0] }, 300);
    let (fake, recordings) = measured(&steps, Faults { delay, ..Faults::default() });
    assert_eq!(fake.connections.load(Ordering::Relaxed), 6, "those of a step go on in the next");
    assert_eq!(recordings.len(), 3);
    for (recording, clients) in recordings.iter().zip([1, 3, 6]) {
        assert_sound(recording);
        assert_eq!(recording.workload.connections as u64, clients);
        assert_eq!(recording.totals.connections_asked, clients);
        assert_eq!(recording.totals.clients_served, clients);
        assert_eq!(recording.per_client.len() as u64, clients);
        let measured = recording.generator.seconds;
        assert!((measured - 0.3).abs() < 0.01, "{measured}");
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
        let profile = Profile::Steps { levels: vec![4.0, 1.0, 2.0] };
        let steps = Workload { lifetime, ..growing(profile, 200) };
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
fn late_reply_counts_in_its_step() {
    // Longer than a step and its warm-up: every reply comes in a later step.
    let faults = Faults { delay: Duration::from_millis(500), ..Faults::default() };
    let arrivals = Arrivals::Fixed { rate: 0.0 };
    let steps = growing(Profile::Steps { levels: vec![20.0, 40.0] }, 300);
    let steps = Workload { arrivals, connections: 64, ..steps };
    let recordings = run_phases(&steps, Fake::start(&steps, faults).addr);
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
fn warm_up_errors_belong_to_previous_step() {
    // The first step's requests are lost in the second's warm-up, when their time is over.
    let steps = Workload {
        timeout: Duration::from_millis(500),
        arrivals: Arrivals::Fixed { rate: 0.0 },
        connections: 32,
        ..growing(Profile::Steps { levels: vec![10.0, 10.0] }, 300)
    };
    let steps = Workload { warm_up: Duration::from_secs(1), ..steps };
    let faults = Faults { silent: true, ..Faults::default() };
    assert_in_time("their time is over when it is", || {
        let recordings = run_phases(&steps, Fake::start(&steps, faults).addr);
        let (first, planned) = (&recordings[0], recordings[0].totals.planned);
        assert!(first.totals.done == 0 && (2..=4).contains(&planned), "{:?}", first.totals);
        // Those of its own, and those of its warm-up that were lost in it.
        first.errors.get("timeout").is_some_and(|lost| *lost >= 2 * planned - 1)
    });
}

#[test]
fn ramp_adds_clients_one_by_one() {
    let workload = growing(Profile::Ramp { from: 2.0, to: 6.0 }, 800);
    let (mut fake, mut recordings) = (None, Vec::new());
    assert_in_time("something in every phase", || {
        let new = Fake::start(&workload, Faults::default());
        recordings = run_phases(&workload, new.addr);
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
        end = recording.since + recording.generator.seconds;
    }
    assert!((end - 0.8).abs() < 0.02, "{end}");
    let down = growing(Profile::Ramp { from: 4.0, to: 1.0 }, 600);
    let recordings = run_phases(&down, Fake::start(&down, Faults::default()).addr);
    assert!(recordings.len() == 3 && recordings.iter().all(|r| r.errors.is_empty()));
}

#[test]
fn dead_server_ends_steps_early() {
    let faults = Faults { dies_after: Some(200), ..Faults::default() };
    let steps = growing(Profile::Steps { levels: vec![1.0, 2.0, 3.0] }, 60_000);
    let steps = Workload { timeout: Duration::from_millis(500), ..steps };
    let recordings = run_phases(&steps, Fake::start(&steps, faults).addr);
    assert_eq!(recordings.len(), 1);
    assert!(verdict::server_ended(&recordings[0]));
}

#[test]
fn files_of_distribution_are_verified() {
    let distribution = Distribution::Lognormal { median: 500, sigma: 1.5, max: 100_000 };
    let workload = Workload { sizes: Sizes::Distribution(distribution), names: 100, ..short() };
    assert_sound(&load(&workload, Faults::default()));
    let sizes = workload.file_sizes();
    assert!(sizes.iter().any(|size| *size < 300) && sizes.iter().any(|size| *size > 1000));
}

#[test]
fn chunked_replies_are_verified() {
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
    let target = target(listener.local_addr().unwrap());
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
fn single_address_connections_end_by_reset() {
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
