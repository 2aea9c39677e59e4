//! What the generator makes of connections that are refused, closed or lost, and of errors.

use crate::fake::{Fake, Faults};
use crate::scripted::{Act, Scripted, held_port};
use crate::{MS, assert_in_time, run, short, target};
use benches::load::engine::{self, Run};
use benches::load::recording::{Environment, Recording};
use benches::load::verdict;
use benches::load::workload::{Arrivals, Lifetime, Mix, Protocol, Workload};
use harness::wait::{eventually, pause};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const BUSY: Act =
    Act::Reply("HTTP/1.1 503 Service Unavailable", "Connection: close\r\n", b"busy\n");

fn http() -> Workload {
    Workload { protocol: Protocol::Http, ..short() }
}

#[test]
fn errors_cause_no_pause() {
    // One client: every other request fails, and its connection ends.
    let workload = Workload { connections: 1, ..http() };
    assert_in_time("an error in less than 50 ms", || {
        let server = Scripted::start(&workload, |ask| match ask.of_all % 2 {
            0 => Act::File(""),
            _ => BUSY,
        });
        run(&workload, server.addr).errors.get("busy").is_some_and(|busy| *busy > 10)
    });
}

#[test]
fn refused_clients_have_been_connected() {
    let server = Scripted::start(&http(), |ask| match ask.of_all % 3 {
        0 => Act::File(""),
        _ => BUSY,
    });
    let recording = run(&http(), server.addr);
    assert!(recording.errors["busy"] > 0, "{:?}", recording.errors);
    assert_eq!(recording.totals.connections_made, 4);
    assert!(!recording.invalid.iter().any(|why| why.contains("connections were made")));
}

#[test]
fn announced_close_resends_pipelined_requests() {
    let mix = Mix { get: 1, put: 1, ..Mix::default() };
    for (fields, mix) in [
        ("Connection: close\r\n", Mix::default()),
        ("Connection: foo, Close\r\n", Mix::default()),
        ("Connection: close\r\nConnection: keep-alive\r\n", Mix::default()),
        ("Connection: close\r\n", mix),
    ] {
        let workload =
            Workload { pipelining: 8, mix, sizes: vec![200, 100_000].into(), ..http() };
        let server = Scripted::start(&workload, move |ask| match ask.nth % 3 {
            2 => Act::File(fields),
            _ => Act::File(""),
        });
        let recording = run(&workload, server.addr);
        assert!(recording.errors.is_empty(), "{fields:?}: {:?}", recording.errors);
        let totals = recording.totals;
        assert!(totals.done > 0 && totals.done == totals.planned, "{totals:?}");
        assert!(server.seen.connections.load(Ordering::Relaxed) > 4);
    }
}

#[test]
fn resent_requests_keep_planned_time() {
    // Each reply takes 30 ms and is its connection's last: a request waits for the three before it, too.
    let workload = Workload { pipelining: 4, connections: 1, ..http() };
    let server = Scripted::start(&workload, |_| {
        harness::wait::pause(Duration::from_millis(30));
        Act::File("Connection: close\r\n")
    });
    let recording = run(&workload, server.addr);
    assert!(recording.errors.is_empty(), "{:?}", recording.errors);
    assert!(recording.totals.done >= 4, "{:?}", recording.totals);
    assert!(recording.response_time.percentile(50.0) >= 100 * MS);
}

#[test]
fn unannounced_close_loses_pipelined_requests() {
    let workload = Workload { pipelining: 4, ..http() };
    let server = Scripted::start(&workload, |ask| match ask.nth {
        2 => Act::Close,
        _ => Act::File(""),
    });
    let recording = run(&workload, server.addr);
    assert!(recording.errors["lost"] > 0, "{:?}", recording.errors);
}

/// A run against a server that is away for 300 ms after 50 requests.
fn run_with_restart(workload: &Workload) -> Recording {
    let workload = Workload { duration: Duration::from_secs(600), ..workload.clone() };
    let (_held, addr) = held_port();
    let serve = || Scripted::start_on(addr, &workload, |_| Act::File(""));
    let first = serve();
    let stop = AtomicBool::new(false);
    let run = || {
        engine::run(Run {
            workload: &workload,
            target: &target(addr),
            stop: &stop,
            watcher: None,
            environment: Environment::default(),
        })
    };
    thread::scope(|scope| {
        let running = scope.spawn(|| run().unwrap());
        let asked = |server: &Scripted, count| {
            let requests = &server.seen.requests;
            eventually("requests", || {
                requests.load(Ordering::Relaxed) >= count || running.is_finished()
            });
        };
        asked(&first, 50);
        first.end();
        pause(Duration::from_millis(300));
        let second = serve();
        asked(&second, 100);
        let served = &second.seen.connections;
        eventually("all clients", || {
            served.load(Ordering::Relaxed) >= 4 || running.is_finished()
        });
        stop.store(true, Ordering::Relaxed);
        running.join().unwrap()
    })
}

#[test]
fn restarted_server_is_waited_for() {
    let per_request = Workload { lifetime: Lifetime::PerRequest, ..http() };
    let open = Workload { arrivals: Arrivals::Fixed { rate: 400.0 }, connections: 256, ..http() };
    for workload in [http(), per_request, open] {
        let recording = run_with_restart(&workload);
        assert!(!verdict::server_ended(&recording), "{:?}", recording.invalid);
        // What was under way when the server ended is lost; what came later waited.
        let errors = &recording.errors;
        let lost = errors.get("lost").copied().unwrap_or(0);
        assert!(errors.keys().all(|kind| kind == "lost"), "{errors:?}");
        assert!(lost <= workload.connections as u64, "{errors:?}");
        assert!(recording.response_time.0.max() >= 250 * MS);
        let away = "the server was away once, for 0.";
        assert!(recording.notes.iter().any(|note| note.starts_with(away)), "{:?}", recording.notes);
    }
}
