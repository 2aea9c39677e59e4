//! Lines, verbs, numbers and replies; how requests are cut into segments; how a connection ends.

use super::{http_get, noise, pattern, refused, said_to_the_end, stays};
use crate::wait::{eventually, pause};
use crate::wire::{Conn, show};
use crate::{Server, Subject, oracles};
use std::time::Duration;

pub(super) fn replies_are_exact(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    conn.send("GET a\nPUT b 2\nhiGET b\nGET a 5\nQUIT\n");
    conn.finish();
    let replies = conn.rest();
    assert_eq!(show(&replies), show(b"OK 5\nhelloOK 0\nOK 2\nhiOK 0\nOK 0\n"));
}

pub(super) fn verbs_ignore_case(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    for verb in ["GET", "get", "Get", "gEt"] {
        assert_eq!(conn.ask(format!("{verb} a")).text(), "hello");
    }
    for line in ["list", "LIST", "List /", "hash a", "HaSh a"] {
        conn.ask(line).ok();
    }
    for verb in ["put", "Put"] {
        conn.send(format!("{verb} b 1\nx"));
        assert_eq!(conn.reply().ok(), b"");
    }
    assert_eq!(conn.ask("qUiT").ok(), b"");
    conn.closed();
}

pub(super) fn a_cr_before_the_lf_is_dropped(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    assert_eq!(conn.ask("GET a\r").text(), "hello");
    assert_eq!(conn.ask("GET a 1 2\r").text(), "el");
    conn.send("PUT b 3\r\n\r\n\r");
    assert_eq!(conn.reply().ok(), b"");
    assert_eq!(conn.ask("GET b").ok(), b"\r\n\r");
    // Only one is dropped: the other belongs to the path, where no control byte may be.
    refused(&mut conn, "GET a\r\r", "bad-path");
    refused(&mut conn, "\r", "bad-command");
    assert_eq!(conn.ask("QUIT\r").ok(), b"");
    conn.closed();
}

pub(super) fn unknown_commands(subject: &Subject) {
    let server = subject.start(&[]);
    let mut conn = server.connect();
    let lines: [&[u8]; 14] = [
        b"",
        b"\r",
        b" ",
        b" GET a",
        b"FETCH a",
        b"GETX a",
        b"GE a",
        b"GET\ta",
        b"\tGET a",
        b"GET\0 a",
        b"\x1b[31m",
        b"\xff",
        b"GET \xff",
        b"LIST \xc3",
    ];
    for line in lines {
        refused(&mut conn, line, "bad-command");
    }
}

pub(super) fn empty_fields(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    for line in [
        "GET ", "GET  a", "GET a ", "GET a  1", "GET a 1 ", "LIST ", "LIST  ", "HASH a ",
        "HASH  a", "QUIT ",
    ] {
        refused(&mut conn, line, "bad-argument");
    }
}

pub(super) fn argument_counts(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    for line in ["GET", "GET a 1 2 3", "HASH", "HASH a b", "LIST a b", "QUIT now"] {
        refused(&mut conn, line, "bad-argument");
    }
}

pub(super) fn numbers(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    for number in BAD_NUMBERS {
        refused(&mut conn, format!("GET a {number}"), "bad-argument");
        refused(&mut conn, format!("GET a 0 {number}"), "bad-argument");
    }
    let long = "1".repeat(400);
    refused(&mut conn, format!("GET a {long}"), "bad-argument");
    assert_eq!(conn.ask("GET a 0 9223372036854775807").text(), "hello");
    assert_eq!(conn.ask("GET a 3 1000000000000000000").text(), "lo");
    refused(&mut conn, "GET a 9223372036854775807", "bad-range");
    refused(&mut conn, "GET a 9223372036854775807 9223372036854775807", "bad-range");
}

/// None of these is a number of the protocol.
const BAD_NUMBERS: [&str; 18] = [
    "+5",
    "-1",
    "-0",
    "05",
    "00",
    "000000000000000000001",
    "5x",
    "x",
    "0x5",
    "1.0",
    "1e3",
    "1_000",
    "5\u{a0}",
    "\u{663}",
    "9223372036854775808",
    "9999999999999999999",
    "18446744073709551616",
    "10000000000000000000000",
];

pub(super) fn bad_put_closes(subject: &Subject) {
    let server = subject.start(&[]);
    let numbers = BAD_NUMBERS.map(|number| format!("PUT a {number}"));
    let counts =
        ["PUT", "PUT a", "PUT a 1 2", "PUT  a 1", "PUT a 1 ", "PUT a  1"].map(String::from);
    for line in numbers.into_iter().chain(counts) {
        let mut conn = server.connect();
        conn.send(format!("{line}\nGET a\n"));
        let reply = conn.reply();
        assert!(reply.is("bad-argument"), "{line:?}: {reply:?}");
        conn.closed();
    }
    assert_eq!(server.root().names(), [""; 0]);
}

pub(super) fn the_longest_line(subject: &Subject) {
    let server = subject.start(&[]);
    let mut conn = server.connect();
    // Components as long as a name may be: it is the line that is tested.
    let path = vec!["x".repeat(255); 16].join("/");
    let line = |length: usize| format!("GET {}", &path[..length - 5]);
    refused(&mut conn, line(4096), "not-found");
    refused(&mut conn, format!("{}\r", line(4095)), "not-found");
    refused(&mut conn, line(4095), "not-found");
    // In pieces, and behind another request.
    conn.send("LIST\n");
    oracles::feed(&mut conn, format!("{}\n", line(4096)).as_bytes(), 1000);
    assert_eq!(conn.reply().ok(), b"");
    assert_eq!(conn.reply().code(), "not-found");
}

pub(super) fn a_line_too_long(subject: &Subject) {
    let server = subject.start(&[]);
    let long = "x".repeat(4096);
    let endless = "x".repeat(8 << 20);
    let lines = [
        // With its LF the line has 4,097 bytes.
        format!("{long}\n"),
        // No LF among the first 4,096 bytes, and nothing after them.
        long.clone(),
        format!("GET {long}\n"),
        format!("get /{long} HTTP/1.1\r\nHost: h\r\n\r\n"),
        format!("{}\r\n", &long[..4095]),
        format!("{endless}\nLIST\n"),
    ];
    for (number, line) in lines.iter().enumerate() {
        for first in ["", "LIST\n"] {
            if line.contains("HTTP") && !first.is_empty() {
                continue;
            }
            let mut conn = said_to_the_end(&server, format!("{first}{line}"));
            if !first.is_empty() {
                conn.reply().ok();
            }
            let reply = conn.reply();
            assert!(reply.is("line-too-long"), "line {number} after {first:?}: {reply:?}");
            conn.closed();
        }
    }
}

pub(super) fn a_thousand_requests_in_one_write(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(5000);
    server.root().write("noise", &content);
    let mut conn = server.connect();
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for number in 0..1000 {
        match number % 4 {
            0 => {
                requests.extend(format!("GET noise {number} 7\n").bytes());
                replies.extend(b"OK 7\n");
                replies.extend(&content[number..number + 7]);
            }
            1 => {
                requests.extend(format!("PUT seven 7\nx{number:06}").bytes());
                replies.extend(b"OK 0\n");
            }
            2 => {
                requests.extend(b"GET seven\n");
                replies.extend(format!("OK 7\nx{:06}", number - 1).bytes());
            }
            _ => {
                requests.extend(b"LIST empty\n");
                replies.extend(b"OK 0\n");
            }
        }
    }
    server.root().mkdir("empty");
    conn.send(requests);
    conn.finish();
    let got = conn.rest();
    let differs = got.iter().zip(&replies).position(|(a, b)| a != b);
    assert!(
        got == replies,
        "{} bytes, expected {}, differ at {differs:?}",
        got.len(),
        replies.len()
    );
}

pub(super) fn a_request_during_a_blocked_reply(subject: &Subject) {
    let server = subject.start(&[]);
    let size = server.root().patterned("large", 24 << 20);
    server.root().write("small", b"small");
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET large\n");
    assert_eq!(conn.ok_line(), size);
    // The reply cannot go on. A server that learns of this request while it waits for that, and only that,
    // must remember it.
    pause(Duration::from_millis(100));
    conn.send("GET small\n");
    pause(Duration::from_millis(100));
    conn.widen();
    assert_eq!(conn.follow(&pattern(), 0, size), size);
    assert_eq!(conn.reply().ok(), b"small");
}

/// Requests of every kind in one stream. It leaves the folder as it was before it, as far as its
/// own replies go, so that it can be sent again.
pub(super) fn mixed_stream() -> Vec<u8> {
    let mut stream = Vec::new();
    stream.extend(b"GET a\r\nPUT up 5\nab\ncdGET up 1 3\nHASH up\n\nget miss%69ng\n");
    stream.extend(b"PUT no/up 4\nQUIT\nLIST d\nGET a 9\nGET a 01\nLIST nowhere\nPUT up 0\nQUIT\n");
    stream
}

/// The same for a connection that speaks HTTP.
pub(super) fn mixed_http_stream() -> Vec<u8> {
    let mut stream = Vec::new();
    stream.extend(http_get("/a"));
    stream.extend(b"PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nab\r\n");
    stream.extend(b"HEAD /up HTTP/1.1\r\nHost: h\r\n\r\n");
    stream.extend(b"PUT /up HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.extend(b"1\r\na\r\n2;x\r\n\r\n\r\n0\r\n\r\n\r\nGET /up HTTP/1.1\r\nHost: h\r\n\r\n");
    stream.extend(b"GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    stream
}

fn fixture(server: &Server) {
    server.root().write("a", "hello");
    server.root().write("d/x", "1");
    server.root().set_mtime("d/x", 1_000_000_000);
    server.root().write("up", "");
}

/// The whole conversation: the stream, the end of sending, everything that comes back. Header
/// fields that tell the time are taken out.
fn conversation(server: &Server, feed: impl FnOnce(&mut Conn)) -> String {
    let mut conn = server.connect();
    feed(&mut conn);
    conn.finish();
    let replies = String::from_utf8_lossy(&conn.rest()).into_owned();
    let telling = ["date:", "last-modified:", "etag:"];
    let tells = |line: &str| telling.iter().any(|name| line.to_ascii_lowercase().starts_with(name));
    replies.split_inclusive('\n').filter(|line| !tells(line)).collect()
}

pub(super) fn every_split_gives_the_same_replies(subject: &Subject) {
    every_split(subject, &mixed_stream());
}

pub(super) fn every_split_gives_the_same_responses(subject: &Subject) {
    every_split(subject, &mixed_http_stream());
    let server = subject.start(&[]);
    fixture(&server);
    for refusal in refusals() {
        every_split_of(&server, refusal);
    }
    for refusal in refusals_by_limits() {
        let whole = conversation(&server, |conn| conn.send(&refusal));
        for size in [4096, 8191, 8192, 16_383, 16_384, 977, 61] {
            let fed = conversation(&server, |conn| oracles::feed(conn, &refusal, size));
            assert_eq!(fed, whole, "pieces of {size} of {}", show(&refusal));
        }
    }
    assert_eq!(server.root().names(), ["a", "d", "d/x", "up"]);
}

/// Beginnings of conversations in either protocol that a refusal ends, and what comes after that.
fn refusals() -> Vec<&'static [u8]> {
    vec![
        b"PUT x 01\nGET a\n",
        b"\r\n",
        b"\r\nGET a\nQUIT\n",
        b"\r\n\r\nQUIT\n",
        b"\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: h\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nPUT x 3\nabc",
        b"GET / HTTP/1.1\nHost: h\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        // Two violations: the first one counts.
        b"GET /a HTTP/1.1\r\nHost: h\n folded\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\nA : b\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\nA: \x01\r\n\r\n",
        b"GET /a HTTP/1.1\r\nA : b\nHost: h\r\n\r\n",
        b"GET /a HTTP/1.1\r\nA : b\r\nHost: h\n\r\n",
        b"GET a HTTP/1.1\r\nHost: h\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\nA : b\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\nTransfer-Encoding: gzip\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/9.9\r\nHost: h\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n",
        b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
        b"PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1;a\nb\r\n0\r\n\r\n",
    ]
}

/// The same, where a limit is near: these are too long to be cut everywhere.
fn refusals_by_limits() -> Vec<Vec<u8>> {
    let x = |length: usize| "x".repeat(length);
    let head = "GET /a HTTP/1.1\r\nHost: h\r\n";
    [
        format!("{}\nQUIT\n", x(5000)),
        format!("GET /{}\nQUIT\n", x(5000)),
        format!("\r\nGET /{}\nQUIT\n", x(5000)),
        format!("POST /{} HTTP/1.1\r\nPUT x 3\nabc", x(9000)),
        format!("{head}{}\r\n", "X: y\r\n".repeat(101)),
        format!("{head}{}A : b\r\n\r\n", "X: y\r\n".repeat(101)),
        format!("{head}X: {}\r\n\r\n", x(17_000)),
        format!("{head}X: {}\r\nA : b\r\n\r\n", x(17_000)),
        format!("{head}X: {}\nA : b\r\n\r\n", x(10_000)),
        format!("{head}A : b\r\nX: {}\r\n\r\n", x(17_000)),
        format!("GET /a HTTP/1.1\r\nHost: h\n{}\r\n", "X: y\r\n".repeat(101)),
    ]
    .map(String::into_bytes)
    .into()
}

fn every_split(subject: &Subject, stream: &[u8]) {
    let server = subject.start(&[]);
    fixture(&server);
    every_split_of(&server, stream);
}

fn every_split_of(server: &Server, stream: &[u8]) {
    let whole = conversation(server, |conn| conn.send(stream));
    assert!(!whole.is_empty());
    for at in 1..stream.len() {
        let (head, tail) = stream.split_at(at);
        let split = conversation(server, |conn| {
            oracles::feed(conn, head, head.len());
            // The server may have closed already, if the tail holds nothing for it.
            let _ = conn.try_send(tail);
        });
        assert_eq!(split, whole, "split after {}", show(&head[head.len().saturating_sub(20)..]));
    }
}

pub(super) fn one_byte_at_a_time(subject: &Subject) {
    let server = subject.start(&[]);
    fixture(&server);
    for stream in [mixed_stream(), mixed_http_stream()] {
        let whole = conversation(&server, |conn| conn.send(&stream));
        let fed = conversation(&server, |conn| oracles::feed(conn, &stream, 1));
        assert_eq!(fed, whole);
    }
}

pub(super) fn half_close_is_answered_in_full(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(3 << 20);
    server.root().write("large", &content);
    let mut conn = server.connect();
    // The last line never ends, so it is no request.
    conn.send("GET large\nGET large 3145720\nGET large");
    conn.finish();
    assert!(conn.reply().ok() == content);
    assert_eq!(conn.reply().ok(), &content[3_145_720..]);
    conn.closed();
}

pub(super) fn nothing_sent_nothing_answered(subject: &Subject) {
    let server = subject.start(&[]);
    let mut conn = server.connect();
    conn.finish();
    conn.closed();
    drop(server.connect());
    server.connect().reset();
    stays(&mut server.connect());
}

pub(super) fn quit_ends_the_conversation(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    assert_eq!(conn.ask("QUIT").ok(), b"");
    conn.closed();
    // What comes after it is not a request any more; nor does it cause a reset.
    let mut conn = server.connect();
    conn.send("GET a\nQUIT\nGET a\nGET a\n");
    conn.reply().ok();
    conn.reply().ok();
    conn.closed();
}

pub(super) fn messages_are_printable(subject: &Subject) {
    let server = subject.start(&[]);
    let mut conn = server.connect();
    // Conn::reply refuses a message with control characters, so it is enough to provoke some.
    for line in [
        "\x1b[31mred",
        "GET \x1b[31m",
        "GET %1B[31m",
        "GET x%0Ay",
        "GET x%0D",
        "GET \u{9b}31m",
        "GET %C2%9B31m",
        "GET a b\x1b[0m",
        "HASH \u{2028}",
        "LIST \x07",
        "GET %FF%FE",
        "GET \u{85}",
    ] {
        conn.ask(line).code();
        stays(&mut conn);
    }
}

pub(super) fn the_first_line_decides(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    // Once the file protocol, always the file protocol.
    let mut conn = server.connect();
    conn.ask("GET a").ok();
    refused(&mut conn, "GET /a HTTP/1.1", "bad-argument");
    conn.ask("PUT /a HTTP/1.1").code();
    conn.closed();
    // What does not end in a version of HTTP, or has nothing before that, is not HTTP.
    for line in [
        "GET /a http/1.1",
        "GET /a HTTP/1.10",
        "GET /a HTTP/2",
        "GET /a HTTP/1.1 x",
        "GET /a HTTP/1.1 ",
    ] {
        refused(&mut server.connect(), line, "bad-argument");
    }
    refused(&mut server.connect(), "GET HTTP/1.1", "not-found");
    assert_eq!(server.connect().http(http_get("/a")).expect(200).body, b"hello");
}

pub(super) fn a_quiet_client_gets_no_answer(subject: &Subject) {
    let server = subject.start(&[]);
    let mut conn = server.connect();
    conn.send("LIS");
    assert!(oracles::until_read(&conn));
    // Nobody has asked for anything yet.
    assert!(conn.is_quiet_for(Duration::from_millis(50)));
    conn.send("T\n");
    assert_eq!(conn.reply().ok(), b"");
    conn.finish();
    conn.closed();
    let (local, peer) = (conn.local(), conn.peer());
    eventually("the connection is let go", || {
        oracles::connection_holders(&server.process_tree(), peer, local).is_empty()
    });
}
