//! File systems whose calls are interrupted, come short or stall, as NFS and FUSE have them.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{ATTEMPTS, http_get, http_put, noise, stays};
use crate::fuse::{Call, Fuse, FuseServer};
use crate::wire::{Conn, Reply};
use crate::{Subject, wait};
use rustix::process::Signal;

/// A file above what is sent or hashed at once, in bytes.
const LARGE: usize = 300_000;

/// Every way in which an upload is stored and lands.
const WAYS: [&[&str]; 3] = [&[], &["--no-tmpfile"], &["--no-flock", "--sync"]];

/// A server on a file system of the test's own, with a small file, a large one and an empty one.
#[track_caller]
fn started(subject: &Subject, options: &[&str]) -> FuseServer {
    let files = Fuse::new().expect("/dev/fuse");
    files.write("small", "small");
    files.write("large", noise(LARGE));
    files.write("empty", "");
    files.write("d/other", "");
    files.start(subject.launch().args(options))
}

/// Makes every request that concerns files, in both protocols, and expects each to succeed.
#[track_caller]
fn every_request(server: &FuseServer) {
    let large = noise(LARGE);
    let mut conn = server.connect();
    assert_eq!(conn.ask("GET small").text(), "small");
    assert_eq!(conn.ask("GET small 1 2").text(), "ma");
    assert!(conn.ask("GET large").ok() == large);
    assert!(conn.ask("GET large 5").ok() == large[5..]);
    assert_eq!(conn.ask("GET empty").text(), "");
    for name in ["small", "large"] {
        conn.ask(format!("HASH {name}")).ok();
    }
    let listing = conn.ask("LIST").text();
    assert!(listing.lines().count() >= 3 && listing.contains("f 5 "), "{listing}");
    // New names and taken ones.
    for content in [&b"new"[..], &large, b"again"] {
        assert_eq!(conn.put("upload", content).ok(), b"");
        assert!(server.files.read("upload").is_some_and(|stored| stored == content));
    }
    stays(&mut conn);
    drop(conn);
    let mut conn = server.connect();
    assert!(conn.http(http_get("/large")).expect(200).body == large);
    conn.http(http_get("/")).expect(200);
    conn.http(http_put("/upload", b"over")).expect(204);
    conn.http(http_put("/created", b"new")).expect(201);
    assert!(server.files.read("created").is_some_and(|stored| stored == b"new"));
    let left: Vec<_> = server.files.names();
    assert!(!left.iter().any(|name| name.starts_with(".~")), "left: {left:?}");
}

pub(super) fn interrupted_calls_are_repeated(subject: &Subject) {
    let mut interrupted = BTreeSet::new();
    for options in WAYS {
        for times in [1, 3, 8] {
            let server = started(subject, options);
            server.files.interrupt(times);
            every_request(&server);
            interrupted.extend(server.files.interrupted());
        }
    }
    let reading =
        [Call::LOOKUP, Call::GETATTR, Call::OPEN, Call::READ, Call::OPENDIR, Call::READDIR];
    let writing = [Call::TMPFILE, Call::CREATE, Call::WRITE, Call::FSYNC, Call::FSYNCDIR];
    let landing = [Call::LINK, Call::RENAME, Call::RENAME2, Call::SETLK];
    for call in [&reading[..], &writing, &landing].concat() {
        assert!(interrupted.contains(&call), "{call:?} was not interrupted");
    }
}

pub(super) fn calls_that_come_short(subject: &Subject) {
    let server = started(subject, &["--copy"]);
    server.files.dribble(1000);
    every_request(&server);
    drop(server);
    let server = started(subject, &["--copy"]);
    server.files.dribble(1000);
    server.files.interrupt(2);
    every_request(&server);
}

pub(super) fn executed_changes_are_not_repeated(subject: &Subject) {
    for options in WAYS {
        let server = started(subject, options);
        server.files.interrupt_executed();
        every_request(&server);
        let names = server.files.names();
        assert_eq!(
            names,
            ["created", "d", "d/other", "empty", "large", "small", "upload"],
            "{options:?}"
        );
    }
}

pub(super) fn endless_interruptions_are_an_error(subject: &Subject) {
    let server = started(subject, &[]);
    let reading = ["GET small", "GET small 1", "HASH small", "HASH large"].map(str::to_owned);
    for (call, requests) in [
        (Call::LOOKUP, &reading[..]),
        (Call::GETATTR, &reading),
        (Call::OPEN, &reading),
        (Call::READ, &reading),
        (Call::OPENDIR, &["LIST".to_owned()]),
        (Call::READDIR, &["LIST".to_owned()]),
        (Call::WRITE, &["PUT upload 3\nnew".to_owned()]),
        (Call::SETLK, &["PUT small 5\nsmall".to_owned()]),
    ] {
        server.files.interrupt_all(call);
        for request in requests {
            let mut conn = server.connect();
            conn.send(request);
            if !request.starts_with("PUT") {
                conn.send("\n");
            }
            assert_eq!(conn.reply().code(), "internal", "{request:?}, {call:?}");
        }
        // A reply that has begun cannot turn into an error.
        let mut conn = server.connect();
        conn.send("GET large\n");
        if call == Call::READ {
            conn.ok_line();
            assert!(conn.drain() < LARGE);
        }
    }
    server.files.interrupt(0);
    every_request(&server);
}

/// From this size on an upload is dropped, and replaced, where no other client waits for it, in bytes.
const HEAVY: usize = 2 << 20;

/// How a client has its large upload end without landing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    HalfClose,
    Reset,
    Deadline,
    TooLarge,
    Malformed,
    ConditionFailed,
    FullDisk,
}

pub(super) fn dropped_upload_stalls_no_other_client(subject: &Subject) {
    if subject.at_once(2) < 2 {
        return eprintln!("SKIPPED: one client at a time");
    }
    let ends = [End::HalfClose, End::Reset, End::Deadline, End::TooLarge, End::Malformed];
    for end in ends.into_iter().chain([End::ConditionFailed, End::FullDisk]) {
        let timeout = if end == End::Deadline { "1" } else { "60" };
        let options = ["--no-tmpfile", "--max-file-size", "3MiB", "--transfer-timeout", timeout];
        let server = started(subject, &options);
        // The kernel keeps other calls from the directory in which it removes a name, so that is another one.
        server.files.hold(Call::UNLINK);
        let mut conn = server.connect();
        let chunk = [b"200000\r\n", &noise(HEAVY)[..], b"\r\n"].concat();
        conn.send("PUT /d/upload HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n");
        conn.send("If-None-Match: *\r\n\r\n");
        conn.send(&chunk);
        wait::eventually("all of it is stored", || {
            let names = server.files.names();
            let temporary = names.iter().find(|name| name.contains("d/.~"));
            temporary.and_then(|name| server.files.read(name)).is_some_and(|c| c.len() == HEAVY)
        });
        let status = match end {
            End::HalfClose => {
                conn.finish();
                None
            }
            End::Reset => None,
            End::Deadline => Some(408),
            End::TooLarge => {
                conn.send(&chunk[..chunk.len() / 2 + 1000]);
                Some(413)
            }
            End::Malformed => {
                conn.send("no size\r\n");
                Some(400)
            }
            End::ConditionFailed => {
                server.files.write("d/upload", "another's");
                conn.send("0\r\n\r\n");
                Some(412)
            }
            End::FullDisk => {
                server.files.fill_at(HEAVY);
                conn.send("1\r\nx\r\n0\r\n\r\n");
                Some(507)
            }
        };
        let mut conn = Some(conn);
        if end == End::Reset
            && let Some(conn) = conn.take()
        {
            conn.reset();
        }
        wait::eventually("the temporary is being removed", || server.files.held() == 1);
        // The removal does not return; another client is served, and nothing is said of the end before.
        let mut other = server.connect();
        for _ in 0..10 {
            assert_eq!(other.ask("GET small").text(), "small", "{end:?}");
        }
        drop(other);
        if let Some(conn) = &conn {
            assert!(conn.is_quiet_for(Duration::from_millis(20)), "{end:?}: told too early");
        }
        server.files.release();
        match (&mut conn, status) {
            (Some(conn), Some(status)) => drop(conn.response(true).expect(status)),
            (Some(conn), None) => conn.closed(),
            (None, _) => {}
        }
        wait::eventually("nothing is left", || {
            !server.files.names().iter().any(|name| name.contains(".~"))
        });
    }
}

pub(super) fn large_landing_stalls_no_other_client(subject: &Subject) {
    if subject.at_once(2) < 2 {
        return eprintln!("SKIPPED: one client at a time");
    }
    // Either the new file is large or the one that it replaces, which the kernel frees.
    for (old, new) in [(10, HEAVY), (HEAVY, 10)] {
        let server = started(subject, &[]);
        server.files.write("d/upload", noise(old));
        server.files.hold(Call::RENAME);
        let mut conn = server.connect();
        conn.send(format!("PUT d/upload {new}\n"));
        conn.send(noise(new));
        wait::eventually("it is landing", || server.files.held() == 1);
        let mut other = server.connect();
        for _ in 0..10 {
            assert_eq!(other.ask("GET small").text(), "small");
        }
        server.files.release();
        assert_eq!(conn.reply().ok(), b"");
        assert_eq!(server.files.read("d/upload").map(|content| content.len()), Some(new));
    }
}

/// How long work may stall in these cases, as an option.
const STALL: [&str; 2] = ["--transfer-timeout", "0.5"];

/// Longer than that.
const LONG: Duration = Duration::from_millis(800);

/// Waits until calls are held, and for as long as work may stall: past the reply, where the server replies meanwhile.
#[track_caller]
fn stall(subject: &Subject, server: &FuseServer, call: Call, conn: &Conn) {
    let unconcerned = if call == Call::READ { "LIST" } else { "GET small" };
    wait::eventually("a call is held", || server.files.held() > 0);
    if subject.at_once(2) > 1 {
        let mut other = server.connect();
        for _ in 0..10 {
            other.ask(unconcerned).ok();
        }
    }
    if subject.has_helpers() {
        wait::eventually("the client is answered", || !conn.is_quiet_for(Duration::from_millis(5)));
    } else {
        assert!(conn.is_quiet_for(LONG), "answered in a call that has not returned");
    }
}

pub(super) fn stalled_work_ends_in_timeout(subject: &Subject) {
    for (call, request) in [
        (Call::READ, "HASH large\n"),
        (Call::READDIR, "LIST d\n"),
        (Call::FSYNC, "PUT upload 3\nnew"),
    ] {
        let server = started(subject, &[&STALL[..], &["--sync"]].concat());
        server.files.hold(call);
        let mut conn = server.connect();
        conn.send(request);
        stall(subject, &server, call, &conn);
        server.files.release();
        if subject.has_helpers() {
            assert_eq!(conn.reply().code(), "timeout", "{request}");
            conn.closed();
        } else {
            conn.reply().ok();
            stays(&mut conn);
            drop(conn);
        }
        every_request(&server);
    }
    for (call, request, late) in
        [(Call::READDIR, http_get("/d/"), 200), (Call::FSYNC, http_put("/upload", b"new"), 201)]
    {
        let server = started(subject, &[&STALL[..], &["--sync"]].concat());
        server.files.hold(call);
        let mut conn = server.connect();
        conn.send(request);
        stall(subject, &server, call, &conn);
        server.files.release();
        if subject.has_helpers() {
            let response = conn.response(true).expect(408);
            assert_eq!(response.field("connection"), Some("close"));
            conn.closed();
        } else {
            conn.response(true).expect(late);
            drop(conn);
        }
        every_request(&server);
    }
}

pub(super) fn stalled_work_ends_in_time(subject: &Subject) {
    if !subject.has_helpers() {
        return eprintln!("SKIPPED: the answer waits for the call");
    }
    let timeout = Duration::from_millis(500);
    let in_time = || {
        let server = started(subject, &STALL);
        server.files.hold(Call::READ);
        let mut conn = server.connect();
        conn.send("HASH large\n");
        wait::eventually("a call is held", || server.files.held() > 0);
        let begin = Instant::now();
        wait::eventually("it is answered", || !conn.is_quiet_for(Duration::from_millis(5)));
        let elapsed = begin.elapsed();
        server.files.release();
        assert_eq!(conn.reply().code(), "timeout");
        elapsed < timeout.mul_f32(1.5)
    };
    assert!((0..ATTEMPTS).any(|_| in_time()), "too late, {ATTEMPTS} times");
}

pub(super) fn pause_of_server_is_no_stall(subject: &Subject) {
    let timeout = Duration::from_secs(1);
    for (call, request) in [
        (Call::READ, "HASH large\n"),
        (Call::READDIR, "LIST d\n"),
        (Call::FSYNC, "PUT upload 3\nnew"),
    ] {
        let is_right = || {
            let server = started(subject, &["--transfer-timeout", "1", "--sync"]);
            let begin = Instant::now();
            server.files.hold(call);
            let mut conn = server.connect();
            conn.send(request);
            wait::eventually("a call is held", || server.files.held() > 0);
            server.signal_group(Signal::STOP);
            wait::eventually("the server stops", || {
                server.process_tree().iter().all(|process| matches!(process.state, 'T' | 'Z' | 'D'))
            });
            server.files.release();
            let in_time = begin.elapsed() < timeout;
            wait::pause(timeout + timeout / 4);
            server.signal_group(Signal::CONT);
            matches!(conn.reply(), Reply::Ok(_)) && in_time
        };
        assert!((0..ATTEMPTS).any(|_| is_right()), "{request}: a stall, {ATTEMPTS} times");
    }
}

pub(super) fn stalled_upload_is_not_stored(subject: &Subject) {
    if !subject.has_helpers() {
        return eprintln!("SKIPPED: the reply waits for the call");
    }
    for way in [&["--sync"][..], &["--sync", "--no-tmpfile"]] {
        let server = started(subject, &[&STALL[..], way].concat());
        server.files.hold(Call::FSYNC);
        let mut conn = server.connect();
        conn.send("PUT new 3\nnewPUT small 3\n");
        stall(subject, &server, Call::FSYNC, &conn);
        server.files.release();
        assert_eq!(conn.reply().code(), "timeout");
        conn.closed();
        wait::eventually("nothing is left", || {
            server.files.names() == ["d", "d/other", "empty", "large", "small"]
        });
        assert_eq!(server.files.read("small").as_deref(), Some(&b"small"[..]));
    }
}

pub(super) fn slow_work_that_goes_on_is_finished(subject: &Subject) {
    // Every step takes one or two of these calls.
    for (call, request) in [(Call::READ, "HASH larger"), (Call::LOOKUP, "LIST")] {
        let in_time = (0..ATTEMPTS).any(|_| is_finished_slowly(subject, call, request));
        assert!(in_time, "{request}: this process is held up all the time");
    }
}

/// Answers the calls of a request one by one, so that it takes longer than work may stall, and expects it to be done. Returns
/// false where this process was held up for so long that the work may have stalled.
#[track_caller]
fn is_finished_slowly(subject: &Subject, call: Call, request: &str) -> bool {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let server = started(subject, &["--transfer-timeout", "1"]);
    server.files.write("larger", noise(768 << 10));
    (0..4).for_each(|number| server.files.write(&format!("f{number}"), "small"));
    let expected = match server.ask(request) {
        Reply::Err { code, .. } if code == "timeout" => return false,
        reply => reply.ok(),
    };
    let mut conn = server.connect();
    let (begin, mut last, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    server.files.hold(call);
    conn.send(format!("{request}\n"));
    while conn.is_quiet_for(TIMEOUT / 5) && begin.elapsed() < 5 * TIMEOUT {
        server.files.release_next();
        longest = longest.max(last.elapsed());
        last = Instant::now();
    }
    server.files.release();
    if longest > TIMEOUT / 3 {
        return false;
    }
    assert!(begin.elapsed() > TIMEOUT, "{request}: it did not take longer than work may stall");
    assert_eq!(conn.reply().ok(), expected, "{request}");
    true
}

pub(super) fn queued_work_is_not_stalled(subject: &Subject) {
    if !subject.has_helpers() {
        return eprintln!("SKIPPED: no threads for which work is queued");
    }
    let server = started(subject, &STALL);
    let expected = server.ask("HASH large").ok();
    server.files.hold(Call::READ);
    let mut conns: Vec<Conn> = (0..20).map(|_| server.connect()).collect();
    conns.iter_mut().for_each(|conn| conn.send("HASH large\n"));
    let quiet = |conn: &Conn| conn.is_quiet_for(Duration::ZERO);
    wait::eventually("some are answered", || conns.iter().filter(|conn| !quiet(conn)).count() >= 8);
    wait::pause(LONG);
    // Other kinds of work have threads of their own.
    assert!(server.ask("LIST").text().contains("f 5 "));
    server.files.release();
    let replies: Vec<Reply> = conns.iter_mut().map(Conn::reply).collect();
    let timeouts = replies.iter().filter(|reply| reply.is("timeout")).count();
    let hashes = replies.iter().filter(|reply| **reply == Reply::Ok(expected.clone())).count();
    assert!(hashes >= 4 && timeouts + hashes == replies.len(), "{replies:?}");
}
