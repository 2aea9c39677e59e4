//! Clients that send requests without end: each other client still gets its turn.
//!
//! Counted, not timed: the server's trace shows who had the thread of a client between the moment at which this client had sent
//! its request and its turn. Between threads the kernel decides, so a model in which each client has one passes at once.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::thread;

use nix::time::{ClockId, clock_gettime};
use rustix::process::Signal;
use serde_json::Value;

use super::OnDrop;
use crate::wait::TIMEOUT;
use crate::{Exit, Root, Server, Subject};

/// How many clients send without end.
const FLOODS: usize = 8;

/// How many slices of a client a turn has at most: of 64 requests, and of one that the turn before had begun.
const SLICES: usize = 65;

/// How often the other client asks.
const PROBES: usize = 11;

pub(super) fn pipelined_files_starve_nobody(subject: &Subject) {
    each_client_gets_its_turn(subject, "GET small\n");
}

pub(super) fn pipelined_listings_starve_nobody(subject: &Subject) {
    each_client_gets_its_turn(subject, "LIST directory\n");
}

/// Between a request and its reply each of the others has two shares at most: the rest of one that it has begun, and one that
/// had been queued before. This process and the server may be held up at some of the requests, but not at most of them.
fn each_client_gets_its_turn(subject: &Subject, request: &str) {
    let root = Arc::new(Root::new());
    let trace = root.path().with_file_name("trace.json");
    let launch = subject.launch().root(&root).args(["--trace".as_ref(), trace.as_os_str()]);
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    root.write("small", "x");
    root.write("probe", "probe");
    root.mkdir("directory");
    root.write("directory/entry", "");
    let sent = sent_among_floods(&server, request);
    let text = String::from_utf8(std::fs::read(trace).expect("a trace")).expect("text");
    let mut overtaken = overtaken(&text, &sent);
    overtaken.sort_unstable();
    assert!(
        overtaken[PROBES / 2] <= 2 * SLICES,
        "another client had so many replies before the one to each of {PROBES} requests: {overtaken:?}"
    );
}

/// Asks for a file while others send `request` without end. Returns when each request was sent, in microseconds by the system's
/// monotonic clock.
fn sent_among_floods(server: &Server, request: &str) -> Vec<f64> {
    let mut probe = server.connect();
    assert_eq!(probe.ask("GET probe").text(), "probe");
    let floods: Vec<_> = (0..FLOODS).map(|_| server.connect()).collect();
    let requests = request.repeat(500);
    thread::scope(|scope| {
        let end = OnDrop(|| server.kill());
        let (begun, all_begun) = mpsc::channel();
        for mut flood in floods {
            let (mut sender, requests, begun) = (flood.sender(), &requests, begun.clone());
            scope.spawn(move || while sender.try_send(requests).is_ok() {});
            scope.spawn(move || {
                flood.reply();
                let _ = begun.send(());
                flood.drain();
            });
        }
        for _ in 0..FLOODS {
            all_begun.recv_timeout(TIMEOUT).expect("each of the others is served, too");
        }
        let ask = |_| {
            probe.send("GET probe\n");
            let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
            assert_eq!(probe.reply().text(), "probe");
            now.tv_sec() as f64 * 1e6 + now.tv_nsec() as f64 / 1e3
        };
        let sent = (0..PROBES).map(ask).collect();
        // Drained, the server leaves a whole trace.
        server.signal(Signal::TERM);
        assert_eq!(server.wait_exit(), Exit::Code(0));
        drop(end);
        sent
    })
}

/// Returns how many replies the most favoured of the other clients had on the thread that served each probe, between its
/// sending and its turn.
fn overtaken(trace: &str, sent: &[f64]) -> Vec<usize> {
    let mut start = 0.0;
    let (mut probes, mut others) = (Vec::new(), Vec::new());
    for line in trace.lines().map(|line| line.trim_start_matches(',')) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        let number = |value: &Value| value.as_f64().unwrap_or_default();
        match (event["ph"].as_str(), event["name"].as_str()) {
            (_, Some("clock")) => {
                let text = event["args"]["start_ns"].as_str().expect("the start of the clock");
                start = text.parse::<f64>().expect("nanoseconds") / 1e3;
            }
            (Some("X"), Some(name)) => {
                // Offloaded work has no connection; its reply has a slice of its own.
                let Some(connection) = event["args"]["connection"].as_u64() else { continue };
                let thread = (event["pid"].as_u64(), event["tid"].as_u64());
                let (from, length) = (number(&event["ts"]), number(&event["dur"]));
                let slices = if name == "GET probe" { &mut probes } else { &mut others };
                slices.push((thread, from, from + length, connection));
            }
            _ => {}
        }
    }
    probes.sort_by(|a, b| a.1.total_cmp(&b.1));
    // The first one was sent before the others came.
    assert_eq!(probes.len(), PROBES + 1, "the slices of the probes");
    let between = probes[1..].iter().zip(sent).map(|(&(thread, turn, ..), sent)| {
        let mut replies: HashMap<_, usize> = HashMap::new();
        for &(on, _, end, connection) in &others {
            if on == thread && end > sent - start && end <= turn {
                *replies.entry(connection).or_default() += 1;
            }
        }
        replies.into_values().max().unwrap_or(0)
    });
    between.collect()
}
