//! File systems whose calls are interrupted, come short or stall, as NFS and FUSE have them.

use std::collections::BTreeSet;

use super::{http_get, http_put, noise, stays};
use crate::Subject;
use crate::fuse::{Call, Fuse, FuseServer};

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
    files.start(subject, options)
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
        assert_eq!(names, ["created", "empty", "large", "small", "upload"], "{options:?}");
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
