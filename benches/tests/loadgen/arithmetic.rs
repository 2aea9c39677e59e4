//! The generator against a reference server: the counts of both sides are equal, and times are those of arithmetic. A lower
//! bound in time is exact. An upper bound holds in one attempt of five, since the machine may be busy.

use crate::reference::{Counts, Mode, Reference};
use crate::{MS, assert_in_time, run};
use benches::load::latencies::Latencies;
use benches::load::recording::Recording;
use benches::load::verdict::{self, Bounds};
use benches::load::workload::{Arrivals, Lifetime, Protocol, Workload};
use std::collections::BTreeMap;
use std::time::Duration;

const SHARE: f64 = 0.05;

fn workload() -> Workload {
    Workload { protocol: Protocol::Http, ..crate::short() }
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Runs against a server of this mode. Every request is done, dropped or an error, and all that were sent have arrived.
#[track_caller]
fn measure(workload: &Workload, mode: Mode) -> (Recording, Counts) {
    let server = Reference::start(workload, mode);
    let recording = run(workload, server.addr);
    let counts = server.stop();
    let totals = recording.totals;
    let errors: u64 = recording.errors.values().sum();
    if !matches!(mode, Mode::Unsolicited) {
        assert_eq!(totals.planned, totals.done + totals.dropped + errors, "{recording:?}");
    }
    assert_eq!(recording.response_time.0.len(), totals.done);
    (recording, counts)
}

/// The errors of `recording` are of this kind alone, and so many.
#[track_caller]
fn assert_errors(recording: &Recording, kind: &str, count: u64) {
    let expected = BTreeMap::from([(kind.to_owned(), count)]);
    assert_eq!(recording.errors, expected, "{:?}", recording.totals);
}

/// Both sides have counted the same bytes.
#[track_caller]
fn assert_bytes(recording: &Recording, counts: &Counts) {
    let Recording { totals, .. } = recording;
    assert_eq!(totals.bytes_in, counts.bytes_out, "from the server");
    assert_eq!(totals.bytes_out, counts.bytes_in, "to the server");
}

/// Every request was answered rightly, and both sides have counted the same.
#[track_caller]
fn assert_all_done(recording: &Recording, counts: &Counts) {
    assert!(recording.errors.is_empty(), "{:?}", recording.errors);
    assert!(recording.totals.done > 0);
    assert_eq!(recording.totals.done, recording.totals.planned);
    assert_eq!(recording.totals.done, counts.requests);
    assert_eq!(recording.totals.connections_made, recording.totals.connections_asked);
    assert_bytes(recording, counts);
}

/// A reply that the server held for some time took the client at least as long: so does each of their percentiles.
#[track_caller]
fn assert_not_below_held(times: &Latencies, counts: &Counts) {
    let mut held = counts.held.clone();
    held.sort_unstable();
    assert_eq!(times.0.len(), held.len() as u64);
    for percentile in [1.0, 10.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
        let rank = (percentile / 100.0 * held.len() as f64).ceil().max(1.0) as usize;
        let (least, found) = (held[rank - 1], Duration::from_nanos(times.percentile(percentile)));
        // Recorded to three digits.
        assert!(found >= least.mul_f64(0.999), "p{percentile}: {found:?} of {least:?}");
    }
}

/// Whether the generator itself reports that it was short of CPU time or late: then there is no upper bound.
fn is_late(recording: &Recording) -> bool {
    !verdict::own_reasons(recording, &Bounds::default()).is_empty()
}

/// A percentile of the response time.
fn response(recording: &Recording, percentile: f64) -> Duration {
    Duration::from_nanos(recording.response_time.percentile(percentile))
}

#[test]
fn fixed_delay_sets_rate_and_percentiles() {
    assert_in_time("most replies within twice the delay, at the rate that this makes", || {
        let (recording, counts) = measure(&workload(), Mode::Delay(ms(20)));
        assert_all_done(&recording, &counts);
        assert_not_below_held(&recording.response_time, &counts);
        assert_eq!(recording.service_time, recording.response_time);
        assert_eq!((counts.connections, counts.most_open), (4, 4));
        // Each of 4 clients makes a request every 20 ms at most.
        assert!(recording.totals.done <= 4 * 25, "{:?}", recording.totals);
        let mean = recording.response_time.0.mean() / 1e9;
        let clients = recording.totals.done as f64 / recording.seconds * mean;
        response(&recording, 50.0) < ms(40) && (3.2..4.8).contains(&clients)
    });
}

#[test]
fn warm_up_is_not_counted() {
    let workload = Workload { warm_up: ms(300), ..workload() };
    let (recording, counts) = measure(&workload, Mode::Delay(ms(10)));
    assert!(recording.errors.is_empty() && recording.totals.done > 0);
    assert!(recording.totals.done <= 4 * 50, "{:?}", recording.totals);
    assert!(counts.requests > recording.totals.done, "{counts:?}");
}

#[test]
fn uniform_delays_have_uniform_percentiles() {
    let mode = Mode::Uniform { low: ms(0), high: ms(80) };
    let arrivals = Arrivals::Fixed { rate: 400.0 };
    let workload = Workload { arrivals, connections: 256, ..workload() };
    assert_in_time("a quarter, a half and three quarters of the longest delay", || {
        let (recording, counts) = measure(&workload, mode);
        assert_all_done(&recording, &counts);
        assert_not_below_held(&recording.service_time, &counts);
        assert_not_below_held(&recording.response_time, &counts);
        assert!(response(&recording, 100.0) > ms(70), "200 draws, none of them above 70 ms");
        is_late(&recording)
            || [25, 50, 75].into_iter().all(|percent| {
                let found = response(&recording, percent as f64);
                let expected = ms(80 * percent / 100);
                found > expected.saturating_sub(ms(15)) && found < expected + ms(15)
            })
    });
}

#[test]
fn slow_share_of_replies_is_counted() {
    let mode = Mode::Bimodal { fast: ms(1), slow: ms(100), share: 0.2 };
    let workload = Workload { duration: ms(1000), ..workload() };
    assert_in_time("slow replies are those that the server held", || {
        let (recording, counts) = measure(&workload, mode);
        assert_all_done(&recording, &counts);
        assert_not_below_held(&recording.response_time, &counts);
        let slow = counts.held.iter().filter(|held| **held >= ms(100)).count() as u64;
        let found = recording.response_time.0.count_between(100 * MS * 999 / 1000, u64::MAX);
        assert!(slow > 0 && found >= slow, "{found} of {slow}");
        found == slow && response(&recording, 50.0) < ms(50)
    });
}

#[test]
fn stall_is_seen_by_planned_arrivals() {
    let mode = Mode::Stall { at: ms(300), length: ms(500) };
    let arrivals = Arrivals::Fixed { rate: 200.0 };
    let workload = Workload { arrivals, connections: 256, duration: ms(1000), ..workload() };
    assert_in_time("half of the arrivals wait, evenly up to the length of the stall", || {
        let (recording, counts) = measure(&workload, mode);
        assert_all_done(&recording, &counts);
        assert_not_below_held(&recording.response_time, &counts);
        // 100 of 200 arrive in the stall. The longest wait is all of it, the median of all next to nothing.
        let longer = |ms: u64| recording.response_time.0.count_between(ms * MS, u64::MAX);
        let waits = [longer(100), longer(250), longer(400)];
        is_late(&recording)
            || (75..=85).contains(&waits[0])
                && (45..=55).contains(&waits[1])
                && (15..=25).contains(&waits[2])
                && response(&recording, 99.0) > ms(480)
                && response(&recording, 99.0) < ms(530)
    });
}

#[test]
fn resets_are_lost_requests() {
    let (recording, counts) = measure(&workload(), Mode::Reset { share: SHARE });
    assert!(counts.resets > 0);
    assert_errors(&recording, "lost", counts.resets);
    assert_eq!(recording.totals.planned, counts.requests);
    assert_eq!(recording.totals.done, counts.replies);
    assert_bytes(&recording, &counts);
}

#[test]
fn share_of_503_is_busy() {
    let (recording, counts) = measure(&workload(), Mode::Unavailable { share: SHARE });
    assert!(counts.unavailable > 0);
    assert_errors(&recording, "busy", counts.unavailable);
    assert_eq!(recording.totals.planned, counts.requests);
    assert_bytes(&recording, &counts);
    // The connections have stayed.
    assert_eq!(counts.connections, 4);
}

#[test]
fn statuses_are_errors_by_kind() {
    for (status, kind) in [
        (204, "wrong-body"),
        (206, "wrong-body"),
        (302, "refused"),
        (304, "refused"),
        (404, "refused"),
        (500, "refused"),
        (503, "busy"),
    ] {
        let workload = Workload { duration: ms(100), ..workload() };
        let (recording, counts) = measure(&workload, Mode::Status(status));
        assert_errors(&recording, kind, counts.requests);
        assert_bytes(&recording, &counts);
    }
}

#[test]
fn wrong_bodies_are_counted_exactly() {
    for mode in
        [Mode::WrongLength { share: SHARE }, Mode::WrongBody { share: SHARE }, Mode::OtherFile]
    {
        let (recording, counts) = measure(&workload(), mode);
        assert!(counts.wrong > 0);
        assert_errors(&recording, "wrong-body", counts.wrong);
        assert_eq!(recording.totals.planned, counts.requests);
        assert_eq!(counts.connections, 4, "{mode:?}");
        assert_bytes(&recording, &counts);
    }
}

#[test]
fn dribbled_reply_takes_all_pieces() {
    let mode = Mode::Dribble { piece: 64, every: ms(20) };
    let workload = Workload { sizes: vec![200].into(), ..workload() };
    let (recording, counts) = measure(&workload, mode);
    assert_all_done(&recording, &counts);
    assert_not_below_held(&recording.response_time, &counts);
    // 200 bytes and their header are four pieces: three waits.
    assert!(recording.response_time.0.min() >= 60 * MS * 999 / 1000);
}

#[test]
fn unannounced_close_loses_next_request() {
    let (recording, counts) = measure(&workload(), Mode::CloseAfter(10));
    assert!(recording.totals.done > 0 && counts.closes > 0);
    assert_eq!(recording.totals.done, counts.replies);
    // One that sees the close first makes a new connection, and loses nothing.
    let lost = recording.errors.get("lost").copied().unwrap_or(0);
    assert!(lost == counts.unprocessed && lost <= counts.closes, "{lost} {counts:?}");
    assert_bytes(&recording, &counts);
}

#[test]
fn announced_close_loses_nothing() {
    let (recording, counts) = measure(&workload(), Mode::AnnouncedCloseAfter(10));
    assert_all_done(&recording, &counts);
    assert_eq!(counts.unprocessed, 0);
    assert!(counts.connections > 4 && counts.closes >= counts.connections - 4, "{counts:?}");
}

#[test]
fn client_closes_after_last_request() {
    let workload = Workload { lifetime: Lifetime::PerRequest, ..workload() };
    let (recording, counts) = measure(&workload, Mode::Delay(ms(1)));
    assert_all_done(&recording, &counts);
    assert_eq!((counts.connections, counts.closes), (counts.requests, counts.requests));
}

#[test]
fn early_end_is_lost() {
    let (recording, counts) = measure(&workload(), Mode::EarlyEnd { share: SHARE });
    assert!(counts.wrong > 0);
    assert_errors(&recording, "lost", counts.wrong);
    assert_eq!(recording.totals.planned, counts.requests);
    assert_bytes(&recording, &counts);
}

#[test]
fn every_lawful_framing_is_understood() {
    for mode in [
        Mode::Chunked(1000),
        Mode::Chunked(1),
        Mode::NoLength,
        Mode::Http10,
        Mode::Http10KeepAlive,
        Mode::Hints,
        Mode::NoReason,
        Mode::HugeHeader(8000),
        Mode::HugeHeader(100_000),
        Mode::DuplicateLength,
        Mode::LineFeedOnly,
    ] {
        // What is not understood shows before long.
        let workload = Workload { duration: ms(200), timeout: ms(2000), ..workload() };
        let (recording, counts) = measure(&workload, mode);
        assert!(recording.errors.is_empty(), "{mode:?}: {:?}", recording.errors);
        assert_all_done(&recording, &counts);
        let closes = matches!(mode, Mode::NoLength | Mode::Http10);
        let expected = if closes { counts.requests } else { 4 };
        // One more for each client, made before the end was noticed.
        assert!((expected..=expected + 4).contains(&counts.connections), "{mode:?}: {counts:?}");
    }
}

#[test]
fn pipelined_replies_are_matched() {
    let workload = Workload { pipelining: 8, ..workload() };
    for mode in [Mode::Delay(ms(1)), Mode::Chunked(100), Mode::Hints] {
        let (recording, counts) = measure(&workload, mode);
        assert_all_done(&recording, &counts);
        assert_not_below_held(&recording.response_time, &counts);
    }
}

#[test]
fn missing_replies_are_timeouts() {
    let workload = Workload { timeout: ms(300), ..workload() };
    let (recording, counts) = measure(&workload, Mode::Never);
    assert!(counts.requests >= 4);
    // The bytes are not compared: after such a run the generator asks the server whether it speaks TLS.
    assert_errors(&recording, "timeout", counts.requests);
    assert_eq!(recording.response_percentile(50.0), Some(f64::INFINITY));

    let workload = Workload { timeout: ms(2000), ..workload };
    let (recording, counts) = measure(&workload, Mode::SometimesNever { share: SHARE });
    assert!(counts.wrong > 0);
    assert_errors(&recording, "timeout", counts.wrong);
    assert_eq!(recording.totals.done, counts.replies);
    assert_bytes(&recording, &counts);
}

#[test]
fn unread_requests_are_timeouts() {
    let workload = Workload { timeout: ms(300), names: 1, ..workload() };
    let (recording, counts) = measure(&workload, Mode::NeverReads);
    assert!(counts.connections >= 4 && counts.bytes_in == 0);
    assert_errors(&recording, "timeout", recording.totals.planned);
    assert!(recording.totals.planned <= counts.connections);
    // They were sent into the socket, all of the same length.
    assert_eq!(recording.totals.bytes_out % recording.totals.planned, 0);
}

#[test]
fn bytes_after_reply_are_malformed() {
    let (recording, counts) = measure(&workload(), Mode::Garbage);
    assert!(recording.totals.done > 0);
    let malformed = recording.errors["malformed"];
    assert_errors(&recording, "malformed", malformed);
    assert!(malformed <= counts.connections && recording.totals.done <= counts.connections);
}

#[test]
fn unsolicited_reply_is_an_error() {
    let (recording, counts) = measure(&workload(), Mode::Unsolicited);
    let errors: u64 = recording.errors.values().sum();
    assert!(errors >= counts.connections.saturating_sub(4) && errors > 0, "{counts:?}");
    let expected = |kind: &String| matches!(kind.as_str(), "malformed" | "wrong-body");
    assert!(recording.errors.keys().all(expected), "{:?}", recording.errors);
}

#[test]
fn accepted_and_closed_is_lost() {
    let (recording, counts) = measure(&workload(), Mode::AcceptAndClose);
    assert_eq!(recording.totals.done, 0);
    assert_errors(&recording, "lost", recording.totals.planned);
    assert!(recording.totals.planned <= counts.connections && counts.bytes_out == 0);
}

#[test]
fn idle_close_loses_what_is_pending() {
    let (recording, counts) = measure(&workload(), Mode::IdleClose(ms(100)));
    assert!(recording.totals.done > 0 && counts.closes >= 4);
    assert_eq!(recording.totals.done, counts.replies);
    let lost = recording.errors.get("lost").copied().unwrap_or(0);
    assert!(lost > 0 && lost <= counts.closes, "{lost} {counts:?}");
    assert_errors(&recording, "lost", lost);
}

/// Where the generator's figures were wrong once.
mod past_faults {
    use super::*;
    use std::process::Command;

    #[test]
    fn default_connections_drop_no_arrival() {
        let folder = tempfile::tempdir().unwrap();
        let json = folder.path().join("r.json");
        let mode = Mode::Stall { at: ms(300), length: ms(500) };
        assert_in_time("p99 is nearly the length of the stall", || {
            let server = Reference::start(&Workload::default(), mode);
            let output = Command::new(env!("CARGO_BIN_EXE_loadgen"))
                .args(["--addr", &server.addr.to_string(), "--protocol", "http", "--rate", "400"])
                .args(["--duration", "1", "--warm-up", "0", "--no-null-run", "--json"])
                .arg(&json)
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let text = std::fs::read_to_string(&json).expect(&stderr);
            let recording: Recording = serde_json::from_str(&text).unwrap();
            let counts = server.stop();
            // 200 of 400 arrive in the stall, many more than 64 connections have room for.
            assert_eq!(recording.totals.dropped, 0, "{:?}", recording.totals);
            assert!(recording.errors.is_empty(), "{:?}", recording.errors);
            assert_eq!(recording.totals.done, counts.requests);
            let p99 = Duration::from_nanos(recording.response_percentile(99.0).unwrap() as u64);
            p99 > ms(480) && p99 < ms(550)
        });
    }

    #[test]
    fn replies_longer_than_run_obey_little() {
        // The reply takes longer than the run, as long, or a good part of it.
        for (delay, duration) in [(600, 200), (300, 300), (200, 500)] {
            let workload = Workload { duration: ms(duration), ..workload() };
            assert_in_time("rate x time = clients", || {
                let (recording, counts) = measure(&workload, Mode::Delay(ms(delay)));
                assert_all_done(&recording, &counts);
                let mean = recording.response_time.0.mean() / 1e9;
                let clients = recording.totals.done as f64 / recording.seconds * mean;
                // Each client at most once in the delay, however busy the machine is. The mean is of whole replies: it
                // weighs a late one that is cut by the end more than the rate does.
                let rate = recording.totals.done as f64 / recording.seconds;
                assert!(rate * delay as f64 / 1000.0 < 4.04, "{rate} of 4 clients");
                (3.6..4.2).contains(&clients)
            });
        }
    }

    #[test]
    fn errors_do_not_pause_clients() {
        assert_in_time("more errors than with a pause of 100 ms after each", || {
            let (recording, counts) = measure(&workload(), Mode::Reset { share: 0.5 });
            assert_errors(&recording, "lost", counts.resets);
            counts.resets > 4 * 6
        });
    }

    #[test]
    fn busy_replies_leave_connections_made() {
        let (recording, counts) = measure(&workload(), Mode::Unavailable { share: 0.5 });
        assert_eq!(counts.connections, 4);
        assert_eq!(recording.totals.connections_made, 4, "{:?}", recording.invalid);
        assert_eq!(recording.totals.clients_served, 4);
    }

    #[test]
    fn close_in_list_is_understood() {
        let (recording, counts) = measure(&workload(), Mode::ConnectionList);
        assert_all_done(&recording, &counts);
        assert_eq!(counts.unprocessed, 0);
        assert_eq!(counts.closes, counts.requests);
    }

    #[test]
    fn pipelined_behind_close_is_resent() {
        let workload = Workload { pipelining: 4, ..workload() };
        for mode in [Mode::AnnouncedCloseAfter(10), Mode::ConnectionList, Mode::NoLength] {
            let (recording, counts) = measure(&workload, mode);
            assert_all_done(&recording, &counts);
            assert!(counts.unprocessed > 0, "{mode:?}: {counts:?}");
        }
    }
}
