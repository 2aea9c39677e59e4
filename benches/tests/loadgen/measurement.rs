//! What is measured: percentiles with dropped arrivals, time series, Little's law, and the generator's own waits.

use crate::fake::{Fake, Faults};
use crate::{assert_in_time, assert_invalid, assert_sound, load, run_phases, short};
use benches::Placement;
use benches::layout::Layout;
use benches::load::recording::{Interval, Recording};
use benches::load::report::{Comparison, Metric};
use benches::load::report::{csv, hgrm, json, terminal};
use benches::load::workload::{Arrivals, Profile, Workload};
use std::process::{Child, Command};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// No reply of a busy machine takes so long.
const PATIENT: Duration = Duration::from_secs(10);

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn rate(recording: &Recording) -> f64 {
    recording.totals.done as f64 / recording.seconds
}

/// Rate times mean response time, as a share of the clients.
fn littles_share(recording: &Recording) -> f64 {
    let mean = recording.response_time.0.mean() / 1e9;
    rate(recording) * mean / recording.totals.clients_served as f64
}

#[test]
fn littles_law_holds_for_any_delay() {
    // Warm-up, run and delay: short replies; longer than the warm-up; near the length of the run; longer than both.
    for (warm_up, duration, delay) in
        [(50, 1000, 20), (50, 400, 150), (0, 400, 390), (50, 400, 330), (100, 200, 700)]
    {
        let workload = Workload {
            warm_up: millis(warm_up),
            duration: millis(duration),
            timeout: PATIENT,
            ..short()
        };
        let faults = Faults { delay: millis(delay), ..Faults::default() };
        assert_in_time("rate times mean response time is the clients", || {
            let recording = load(&workload, faults);
            let totals = recording.totals;
            assert!(recording.errors.is_empty(), "{:?}", recording.errors);
            assert_eq!(totals.done, totals.planned, "{delay} ms");
            // A generator that was held up for the whole run has nothing to report.
            totals.done > 0 && (0.85..1.15).contains(&littles_share(&recording))
        });
    }
}

#[test]
fn long_replies_are_noted() {
    let noted = |duration: u64, delay: u64| {
        let workload = Workload { duration: millis(duration), ..short() };
        let recording = load(&workload, Faults { delay: millis(delay), ..Faults::default() });
        let noted = recording.notes.iter().any(|note| note.contains("--duration"));
        assert!(
            !noted || terminal::recording(&recording, Layout::of_stdout(true)).contains("Note: ")
        );
        noted
    };
    assert!(noted(300, 200), "the last replies come 100 ms after the end");
    assert_in_time("the last replies come at once", || !noted(2000, 20));
}

#[test]
fn overloaded_server_keeps_its_own_rate() {
    // 200 requests per second to a server that answers at most 50, one after the other.
    let arrivals = Arrivals::Fixed { rate: 200.0 };
    let workload =
        Workload { arrivals, connections: 400, duration: millis(700), timeout: PATIENT, ..short() };
    let faults = Faults { delay: millis(20), one_at_a_time: true, ..Faults::default() };
    let recording = load(&workload, faults);
    assert_sound(&recording);
    assert!((135..=140).contains(&recording.totals.done), "{:?}", recording.totals);
    assert!(rate(&recording) < 60.0, "{} in {}", recording.totals.done, recording.seconds);
    assert!(
        recording.notes.iter().any(|note| note.contains("--duration")),
        "{:?}",
        recording.notes
    );
}

#[test]
fn open_loop_delay_keeps_arrival_rate() {
    // Replies that are late do not come more slowly.
    let arrivals = Arrivals::Fixed { rate: 100.0 };
    let workload = Workload { arrivals, connections: 400, duration: millis(500), ..short() };
    for delay in [5, 300, 700] {
        let faults = Faults { delay: millis(delay), ..Faults::default() };
        assert_in_time("as many are answered in a second as are planned", || {
            let recording = load(&workload, faults);
            assert_sound(&recording);
            (92.0..101.0).contains(&rate(&recording))
        });
    }
}

#[test]
fn late_replies_belong_to_no_interval() {
    let workload = Workload { duration: millis(550), ..short() };
    for (arrivals, delay) in [(Arrivals::Closed, 70), (Arrivals::Fixed { rate: 200.0 }, 130)] {
        let workload = Workload { arrivals, connections: 100, ..workload.clone() };
        let recording = load(&workload, Faults { delay: millis(delay), ..Faults::default() });
        assert_sound(&recording);
        assert_equal_slots(&recording, 5);
        assert!(recording.totals.outside_intervals > 0, "those that came after the end");
    }
}

/// Intervals are tenths of a second, `most` of them.
#[track_caller]
fn assert_equal_slots(recording: &Recording, most: usize) {
    for (nth, interval) in recording.intervals.iter().enumerate() {
        assert!((interval.at - 0.1 * (nth + 1) as f64).abs() < 1e-9, "{:?}", recording.intervals);
    }
    assert_eq!(recording.intervals.len(), most);
}

#[test]
fn steps_have_equal_intervals() {
    let faults = Faults { delay: millis(130), ..Faults::default() };
    let steps = Workload {
        profile: Profile::Steps { levels: vec![3.0, 6.0, 2.0] },
        duration: millis(320),
        warm_up: millis(60),
        ..short()
    };
    for recording in run_phases(&steps, Fake::start(&steps, faults).addr) {
        assert_sound(&recording);
        assert_equal_slots(&recording, 3);
    }
}

#[test]
fn starved_generator_is_invalid() {
    let placement = Placement::choose();
    let workload = Workload { duration: millis(1500), ..short() };
    for arrivals in [Arrivals::Closed, Arrivals::Fixed { rate: 500.0 }] {
        let workload = Workload { arrivals, ..workload.clone() };
        let starved = || {
            let recording = placement.on_client_core(|| {
                // They inherit the core.
                let _busy: Vec<Busy> = (0..4).map(|_| Busy::start()).collect();
                load(&workload, Faults::default())
            });
            let waiting = recording.generator.waiting.unwrap();
            assert!((0.0..1.001).contains(&waiting), "{waiting}");
            let text = terminal::recording(&recording, Layout::of_stdout(true));
            assert!(text.contains("waited for its core"), "{text}");
            recording.invalid.iter().any(|why| why.contains("was ready to run and had no core"))
        };
        // Where the server's threads share the core and wait for it most of the time, the generator sleeps.
        assert_in_time("the generator waits for its core", starved);
    }
}

/// A process that never sleeps.
struct Busy(Child);

impl Busy {
    fn start() -> Busy {
        Busy(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The server answers no request from 200 ms to 700 ms after the first.
const STALL: (Duration, Duration) = (Duration::from_millis(200), Duration::from_millis(500));

/// The least that a percentile of the response time can be when `STALL` meets even arrivals, in nanoseconds.
fn true_percentile(rate: f64, duration: f64, percentile: f64) -> f64 {
    let (begin, end) = (STALL.0.as_secs_f64(), (STALL.0 + STALL.1).as_secs_f64());
    let planned = (1..).map(|nth| f64::from(nth) / rate).take_while(|at| *at < duration);
    let mut waits: Vec<f64> =
        planned.map(|at| if at >= begin && at < end { end - at } else { 0.0 }).collect();
    waits.sort_by(f64::total_cmp);
    let rank = (percentile / 100.0 * waits.len() as f64).ceil() as usize;
    1e9 * waits[rank.max(1) - 1]
}

#[test]
fn no_percentile_is_below_truth() {
    let arrivals = Arrivals::Fixed { rate: 200.0 };
    let workload = Workload { arrivals, connections: 1, duration: millis(1000), ..short() };
    let recording = load(&workload, Faults { stall: Some(STALL), ..Faults::default() });
    let totals = recording.totals;
    assert!(totals.dropped >= 90, "{totals:?}");
    for percentile in [50.0, 60.0, 75.0, 90.0, 99.0, 99.9, 100.0] {
        let found = recording.response_percentile(percentile).unwrap();
        // Arrivals are counted from the beginning of the run, the stall from the first request.
        let truth = true_percentile(200.0, 1.0, percentile);
        assert!(found >= truth - 20e6, "p{percentile}: {found}, not {truth}");
    }
    assert_eq!(Metric::P99.of(&recording), Some(f64::INFINITY));
    assert_invalid(&recording, "--connections");
    let shown = terminal::recording(&recording, Layout::of_stdout(true));
    let row = shown.lines().find(|line| line.contains("response time")).unwrap();
    assert!(row.matches("> ").count() >= 3, "{row}");
    // In an interval too: most of those in the stall have nothing but dropped arrivals.
    let above = |i: &Interval| i.dropped > 0 && i.p99.is_none() && i.max.is_none();
    assert!(recording.intervals.iter().filter(|i| above(i)).count() >= 4);
    let dropped: u64 = recording.intervals.iter().map(|interval| interval.dropped).sum();
    assert_eq!(dropped, totals.dropped);
    // Files have no number in their place, and how many are missing.
    let comparison = Comparison::alone(&workload, std::slice::from_ref(&recording), None);
    let table = csv::runs_of(&comparison);
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let (head, row) = (lines.next().unwrap(), lines.next().unwrap());
    let field = |name: &str| row[head.iter().position(|column| *column == name).unwrap()];
    assert_eq!((field("response_p99_ns"), field("response_max_ns")), ("", ""));
    assert_eq!(field("unanswered"), recording.unanswered().to_string());
    assert!(csv::intervals_of(&comparison).lines().any(|line| line.contains(",,,")));
    let log = hgrm::log(&recording.response_time, recording.unanswered());
    assert!(log.contains(&format!("#[Unanswered = {:>10}", recording.unanswered())), "{log}");
    let answered = totals.done as f64 / (totals.done + totals.dropped) as f64;
    let last = log.lines().rfind(|line| !line.starts_with('#')).unwrap();
    let last: f64 = last.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!((last - answered).abs() < 0.001, "{last}, {answered}");
    let read = json::read_recording(&json::recording(&recording).unwrap()).unwrap();
    let small = json::condensed(&recording);
    for percentile in [50.0, 90.0, 99.0] {
        let at = |run: &Recording| run.response_percentile(percentile);
        assert_eq!((at(&read), at(&small)), (at(&recording), at(&recording)), "{percentile}");
    }
}

fn loadgen(fake: &Fake, args: &[&str]) -> (String, Recording) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let addr = fake.addr.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
        .args(["--addr", &addr, "--no-null-run", "--warm-up", "0", "--sizes", "200,5000"])
        .args(["--names", "4", "--json", file.path().to_str().unwrap()])
        .args(args)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let json = std::fs::read_to_string(file.path()).unwrap();
    match json::read_recording(&json) {
        Ok(recording) => (stdout, recording),
        Err(why) => panic!("{why}: {stdout}{stderr}"),
    }
}

#[test]
fn default_cap_holds_a_stall() {
    let faults = Faults { stall: Some(STALL), ..Faults::default() };
    assert_in_time("p99 is that of the schedule", || {
        let fake = Fake::start(&short(), faults);
        let (stdout, recording) = loadgen(&fake, &["--rate", "400", "--duration", "1.5"]);
        let totals = recording.totals;
        assert_eq!((totals.dropped, totals.done), (0, totals.planned), "{stdout}");
        assert!(stdout.contains("at most 4,000 in flight"), "{stdout}");
        assert_eq!(recording.workload.max_in_flight, Some(4000));
        // 64 were made first, the others when they were needed.
        let made = fake.connections.load(Ordering::Relaxed);
        assert!((150..4000).contains(&made), "{made}");
        assert_eq!((totals.connections_asked, totals.connections_made), (made, made));
        assert_eq!(totals.clients_served, made);
        let p99 = recording.response_percentile(99.0).unwrap();
        let truth = true_percentile(400.0, 1.5, 99.0);
        assert!(p99 >= truth - 20e6, "{p99}, not {truth}");
        p99 < truth * 2.0
    });
}

#[test]
fn cap_holds_with_pipelining() {
    // Both are less than the connections could have under way.
    for (max_in_flight, least) in [(1, 1), (6, 4)] {
        let workload = Workload {
            arrivals: Arrivals::Fixed { rate: 200.0 },
            max_in_flight: Some(max_in_flight),
            pipelining: 4,
            ..short()
        };
        let faults = Faults { delay: millis(10_000), ..Faults::default() };
        let workload = Workload { timeout: millis(700), ..workload };
        let recording = load(&workload, faults);
        let sent = recording.totals.planned - recording.totals.dropped;
        assert!((least..=max_in_flight as u64).contains(&sent), "{:?}", recording.totals);
    }
}

#[test]
fn open_idle_connections_are_preferred() {
    let fake = Fake::start(&short(), Faults::default());
    let arguments = ["--rate", "200", "--duration", "0.5", "--lifetime", "churn=0.2"];
    assert_in_time("the 64 are enough", || {
        let (_, recording) = loadgen(&fake, &arguments);
        assert_eq!(recording.totals.dropped, 0);
        recording.totals.connections_asked == 64
    });
    let per_request = ["--rate", "200", "--duration", "0.5", "--lifetime", "per-request"];
    let fake = Fake::start(&short(), Faults::default());
    let (_, recording) = loadgen(&fake, &per_request);
    assert_eq!(recording.totals.dropped, 0);
    assert!(fake.connections.load(Ordering::Relaxed) >= recording.totals.done);
}

#[test]
fn explicit_connections_are_the_cap() {
    let fake = Fake::start(&short(), Faults { stall: Some(STALL), ..Faults::default() });
    let (stdout, recording) =
        loadgen(&fake, &["--rate", "200", "--duration", "1", "--connections", "3"]);
    assert_eq!(recording.workload.max_in_flight, None);
    assert!(recording.totals.dropped > 50 && stdout.contains("at most 3 in flight"), "{stdout}");
    assert_eq!(recording.totals.connections_asked, 3);
    let fake = Fake::start(&short(), Faults { stall: Some(STALL), ..Faults::default() });
    let (stdout, recording) = loadgen(
        &fake,
        &["--rate", "200", "--duration", "1", "--connections", "3", "--max-in-flight", "7"],
    );
    assert!(stdout.contains("at most 7 in flight"), "{stdout}");
    assert_invalid(&recording, "--max-in-flight");
    assert_eq!(recording.totals.connections_asked, 7);
    assert_eq!(fake.connections.load(Ordering::Relaxed), 7);
}
