//! Who gets the workers, and what a full queue delays.

use harness::wait::eventually;
use harness::{Exit, Root, Subject};
use rustix::process::Signal;
use std::sync::Arc;

#[test]
fn full_queue_delays_no_refusal() {
    for pool in ["channel", "steal", "rayon"] {
        let args = ["--pool", pool, "--dispatch", "connection", "--workers", "1", "--queue", "1"];
        let server = Subject::new(env!("CARGO_BIN_EXE_pool_server")).start(&args);
        // Where this process is held up, the last client has waited too long for its place.
        eventually("a client is refused while the next one waits for a place", || {
            let mut served = server.connect();
            assert!(served.ask("HASH none").is("not-found"));
            let queued = server.connect();
            // Waits for a place for a second, and is silent when it is refused.
            let mut silent = server.connect();
            let mut next = server.connect();
            next.send("HASH none\n");
            assert_eq!(silent.reply().code(), "busy");
            drop((served, queued));
            next.reply().is("not-found")
        });
    }
}

/// A hash is many jobs, and after the first ones the server sees that the client has ended its side.
#[test]
fn half_closed_clients_keep_two_workers() {
    const CLIENTS: usize = 6;
    let root = Arc::new(Root::new());
    root.sparse("large", 48 << 20);
    for pool in ["channel", "steal", "rayon"] {
        let trace = root.path().with_file_name(pool);
        let path = trace.to_str().expect("text");
        let args = ["--pool", pool, "--workers", "4", "--trace", path];
        let server = Subject::new(env!("CARGO_BIN_EXE_pool_server")).start_on(&root, &args);
        let half_closed = || {
            let mut conn = server.connect();
            conn.send("HASH large\n");
            conn.finish();
            conn
        };
        let mut conns: Vec<_> = (0..CLIENTS).map(|_| half_closed()).collect();
        conns.iter_mut().for_each(|conn| assert_eq!(conn.reply().ok().len(), 65, "{pool}"));
        server.signal(Signal::TERM);
        assert_eq!(server.wait_exit(), Exit::Code(0));
        let jobs = hashes(&std::fs::read_to_string(&trace).expect("a trace"));
        assert!(jobs.len() > 10 * CLIENTS, "{pool}: {} jobs", jobs.len());
        let third = |&(start, _): &(f64, f64)| {
            jobs.iter().filter(|(from, to)| *from < start && start < *to).count() >= 2
        };
        let thirds = jobs.iter().filter(|job| third(job)).count();
        assert!(
            thirds <= jobs.len() / 3,
            "{pool}: {thirds} of {} jobs began while two were running",
            jobs.len()
        );
    }
}

/// Returns the beginnings and ends of the hashes in a trace.
fn hashes(trace: &str) -> Vec<(f64, f64)> {
    let number = |line: &str, key: &str| -> f64 {
        let rest = line.split_once(key).expect("the key").1;
        rest.split([',', '}']).next().and_then(|text| text.parse().ok()).expect("a number")
    };
    let jobs = trace.lines().filter(|line| line.contains("job hash"));
    jobs.map(|line| {
        let start = number(line, "\"ts\":");
        (start, start + number(line, "\"dur\":"))
    })
    .collect()
}
