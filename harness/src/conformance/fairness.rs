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
use crate::wire::Conn;
use crate::{Exit, Root, Server, Subject};

/// How many clients send without end.
const FLOODS: usize = 8;

/// How many slices of a client a turn has at most: of 64 requests, or of one upload, which ends the turn; and of a request that
/// the turn before had begun.
const SLICES: usize = 65;
const UPLOAD_SLICES: usize = 2;

/// How often another client asks over a connection that it keeps, and over a new one; and for which file.
const PROBES: usize = 11;
const KEPT: &str = "kept";
const FRESH: &str = "fresh";

pub(super) fn pipelined_files_starve_nobody(subject: &Subject) {
    each_client_gets_its_turn(subject, "GET small\n", SLICES);
}

pub(super) fn pipelined_listings_starve_nobody(subject: &Subject) {
    each_client_gets_its_turn(subject, "LIST directory\n", SLICES);
}

pub(super) fn pipelined_uploads_starve_nobody(subject: &Subject) {
    each_client_gets_its_turn(subject, "PUT uploaded 1\nx", UPLOAD_SLICES);
}

/// Between a request and its turn each of the others has two shares at most: the rest of one that it has begun, and one that
/// was queued before; and a third before a new connection is accepted. This process and the server may be held up at some of
/// the requests, but not at most of them.
fn each_client_gets_its_turn(subject: &Subject, request: &str, slices: usize) {
    let root = Arc::new(Root::new());
    let trace = root.path().with_file_name("trace.json");
    let launch = subject.launch().root(&root).args(["--trace".as_ref(), trace.as_os_str()]);
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    root.mkdir("directory");
    for name in ["small", KEPT, FRESH, "directory/entry"] {
        root.write(name, "x");
    }
    let sent = probe_among_floods(&server, request);
    let trace = Trace::parse(&std::fs::read_to_string(trace).expect("a trace"));
    for ((name, shares), sent) in [(KEPT, 2), (FRESH, 3)].into_iter().zip(sent) {
        let mut overtaken = trace.overtaken(name, &sent);
        overtaken.sort_unstable();
        assert!(
            overtaken[PROBES / 2] <= shares * slices,
            "another client had so many turns before each GET {name}: {overtaken:?}"
        );
    }
}

/// Asks for two files while others send `request` without end: for one over a connection that is kept, for the other over a new
/// one each time. Returns when each request was sent, in microseconds by the system's monotonic clock.
fn probe_among_floods(server: &Server, request: &str) -> [Vec<f64>; 2] {
    let requests = request.repeat(500);
    thread::scope(|scope| {
        let end = OnDrop(|| server.kill());
        let mut floods = Vec::new();
        for _ in 0..FLOODS {
            let (begun, has_begun) = mpsc::channel();
            let mut flood = server.connect();
            let (mut sender, requests) = (flood.sender(), &requests);
            floods.push(flood.sender());
            scope.spawn(move || while sender.try_send(requests).is_ok() {});
            scope.spawn(move || {
                flood.reply();
                let _ = begun.send(());
                flood.drain();
            });
            has_begun.recv_timeout(TIMEOUT).expect("each of the others is served, too");
        }
        let mut kept = server.connect();
        let ask = |conn: &mut Conn, name| {
            let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
            assert_eq!(conn.ask(format!("GET {name}")).text(), "x");
            now.tv_sec() as f64 * 1e6 + now.tv_nsec() as f64 / 1e3
        };
        let sent = (0..PROBES).map(|_| (ask(&mut kept, KEPT), ask(&mut server.connect(), FRESH)));
        let (kept, fresh) = sent.unzip();
        // Drained, the server leaves a whole trace.
        server.signal(Signal::TERM);
        assert_eq!(server.wait_exit(), Exit::Code(0));
        drop(end);
        // A sender whose window was closed would learn of the end by its next probe of the window.
        floods.iter_mut().for_each(Conn::finish);
        [kept, fresh]
    })
}

/// What a server's threads did.
struct Trace {
    /// When its clock began, in microseconds.
    start: f64,
    /// The slices of requests.
    slices: Vec<Slice>,
}

struct Slice {
    name: String,
    connection: u64,
    process_and_thread: (u64, u64),
    /// In microseconds.
    start: f64,
    end: f64,
}

impl Trace {
    fn parse(text: &str) -> Trace {
        let events = text.lines().map(|line| line.trim_start_matches(','));
        let events = events.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut trace = Trace { start: 0.0, slices: Vec::new() };
        for event in events {
            let name = event["name"].as_str().unwrap_or_default();
            if name == "clock" {
                let start = event["args"]["start_ns"].as_str().expect("the start of the clock");
                trace.start = start.parse::<f64>().expect("nanoseconds") / 1e3;
            }
            // Offloaded work has no connection; what comes of it has a slice of its own.
            if event["ph"] == "X"
                && let Some(connection) = event["args"]["connection"].as_u64()
            {
                let number = |key| event[key].as_f64().expect("a number");
                trace.slices.push(Slice {
                    name: name.into(),
                    connection,
                    process_and_thread: (number("pid") as u64, number("tid") as u64),
                    start: number("ts"),
                    end: number("ts") + number("dur"),
                });
            }
        }
        trace
    }

    /// Returns for each `GET name` how many slices the most favoured of the other clients had on the thread that served it,
    /// between its sending and its turn.
    fn overtaken(&self, name: &str, sent: &[f64]) -> Vec<usize> {
        let name = format!("GET {name}");
        let mut probes: Vec<&Slice> = self.slices.iter().filter(|s| s.name == name).collect();
        probes.sort_by(|a, b| a.start.total_cmp(&b.start));
        assert_eq!(probes.len(), sent.len(), "one slice for each {name}");
        let most = |(probe, sent): (&&Slice, &f64)| {
            let mut slices: HashMap<u64, usize> = HashMap::new();
            for slice in &self.slices {
                if slice.process_and_thread == probe.process_and_thread
                    && slice.end > sent - self.start
                    && slice.end <= probe.start
                {
                    *slices.entry(slice.connection).or_default() += 1;
                }
            }
            slices.into_values().max().unwrap_or(0)
        };
        probes.iter().zip(sent).map(most).collect()
    }
}
