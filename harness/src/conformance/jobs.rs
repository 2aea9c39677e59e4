//! Hashes that take long: they delay no other client, and end with the client that wants them.

use nix::time::{ClockId, clock_gettime};
use sha2::{Digest, Sha256};

use super::ATTEMPTS;
use crate::wait::eventually;
use crate::wire::Conn;
use crate::{Server, Subject, oracles};

/// The size of a file that is hashed for longer than a case runs. It takes no room on the disk.
const ENDLESS: u64 = 256 << 30;

/// A client that waits for the hash of `name`, which the server has begun.
fn hashing(server: &Server, name: &str) -> Conn {
    let mut conn = server.connect();
    conn.send(format!("HASH {name}\n"));
    assert!(oracles::until_read(&conn));
    conn
}

/// How many descriptors of the server refer to the file `name`: one for each hash of it.
fn hashes_of(server: &Server, name: &str) -> usize {
    let kinds = oracles::descriptor_kinds(&server.process_tree());
    let path = server.root().join(name);
    kinds.get(path.to_str().expect("a path of text")).copied().unwrap_or(0)
}

fn until_hashed(server: &Server, name: &str, count: usize) {
    eventually(&format!("{count} hashes of {name}"), || hashes_of(server, name) == count);
}

pub(super) fn listing_overtakes_hashes(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().sparse("endless", ENDLESS);
    server.root().write("d/small", "hello");
    let conns: Vec<Conn> = (0..8).map(|_| hashing(&server, "endless")).collect();
    until_hashed(&server, "endless", 8);
    let mut other = server.connect();
    for _ in 0..3 {
        assert!(other.ask("LIST d").text().ends_with(" small\n"));
        assert_eq!(other.ask("GET d/small").ok(), b"hello");
        other.ask("HASH d/small").ok();
    }
    server.connect().http(super::http_get("/d/")).expect(200);
    assert_eq!(hashes_of(&server, "endless"), 8);
    conns.into_iter().for_each(Conn::reset);
    until_hashed(&server, "endless", 0);
}

pub(super) fn reset_ends_hash(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().sparse("endless", ENDLESS);
    let count = subject.at_once(3);
    let conns: Vec<Conn> = (0..count).map(|_| hashing(&server, "endless")).collect();
    until_hashed(&server, "endless", count);
    for (left, mut conn) in (0..count).rev().zip(conns) {
        if left == 1 {
            conn.finish(); // the server still owes the reply, until the client has left
        }
        conn.reset();
        until_hashed(&server, "endless", left);
    }
}

pub(super) fn half_closed_hash_is_answered(subject: &Subject) {
    let server = subject.start(&[]);
    // Several shares each, and not a whole number of them.
    let size = server.root().patterned("f", 18 << 20);
    let content = server.root().read("f");
    assert_eq!(content.len(), size);
    let digest: String = Sha256::digest(&content).iter().map(|b| format!("{b:02x}")).collect();
    let mut conns: Vec<Conn> = (0..subject.at_once(5)).map(|_| hashing(&server, "f")).collect();
    for conn in conns.iter_mut().step_by(2) {
        conn.finish();
    }
    for conn in &mut conns {
        assert_eq!(conn.reply().text().trim_end(), digest);
    }
    conns.iter_mut().step_by(2).for_each(Conn::closed);
}

pub(super) fn half_closed_hashes_run_in_pairs(subject: &Subject) {
    let in_pairs = (0..ATTEMPTS).any(|_| do_hashes_run_in_pairs(subject));
    assert!(
        in_pairs,
        "{ATTEMPTS} times most of the hashing was over before all had ended their side"
    );
}

/// How many clients end their side while their hashes are under way.
const PAIRED: usize = 6;

/// Expects that at most two shares run at once after the clients have ended their side. Returns false where this process was
/// held up for so long that hardly a share was left.
fn do_hashes_run_in_pairs(subject: &Subject) -> bool {
    let outside = tempfile::tempdir().expect("a directory");
    let trace = outside.path().join("trace.json");
    let server = subject.start(&["--trace", trace.to_str().expect("a path of text")]);
    server.root().sparse("f", 128 << 20);
    let mut conns: Vec<Conn> = (0..PAIRED).map(|_| hashing(&server, "f")).collect();
    conns.iter_mut().for_each(Conn::finish);
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("a clock");
    let finished = now.tv_sec() as f64 * 1e6 + now.tv_nsec() as f64 / 1e3;
    for conn in &mut conns {
        conn.reply().ok();
    }
    server.signal(rustix::process::Signal::TERM);
    server.wait_exit();
    let text = std::fs::read_to_string(&trace).expect("a trace");
    // One event a line, and an array without its end.
    let events: Vec<serde_json::Value> = text
        .lines()
        .filter_map(|line| serde_json::from_str(line.trim_start_matches(',')).ok())
        .collect();
    if !events.iter().any(|event| event["args"]["name"] == "hasher") {
        return true; // no helper threads
    }
    let clock = events.iter().find(|event| event["name"] == "clock").expect("a clock");
    let start = clock["args"]["start_ns"].as_str().expect("the start of the clock");
    let finished = finished - start.parse::<f64>().expect("nanoseconds") / 1e3;
    let number = |value: &serde_json::Value| value.as_f64().expect("a number");
    let jobs = events.iter().filter(|event| event["name"] == "job hash");
    let jobs: Vec<_> =
        jobs.map(|job| (number(&job["pid"]), number(&job["ts"]), number(&job["dur"]))).collect();
    assert!(jobs.len() >= PAIRED * 32, "{} shares", jobs.len());
    let mut later: Vec<_> = jobs.into_iter().filter(|job| job.1 > finished).collect();
    later.sort_by(|a, b| a.1.total_cmp(&b.1));
    // A share of each client may have been handed out before its end had come.
    let later = later.get(PAIRED..).unwrap_or_default();
    for &(pid, start, _) in later {
        // Several processes have helper threads of their own.
        let at_once = later
            .iter()
            .filter(|job| job.0 == pid && (job.1..job.1 + job.2).contains(&start))
            .count();
        assert!(at_once <= 2, "{at_once} shares at once");
    }
    later.len() >= PAIRED * 8
}
