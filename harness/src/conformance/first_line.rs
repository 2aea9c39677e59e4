//! Which protocol the first line of a connection decides for, and what becomes of a line that is
//! nearly one of HTTP.

use std::time::Duration;

use super::{begun, http_get, http_put, refused, stays};
use crate::wire::{Conn, show};
use crate::{Server, Subject, oracles};

/// What would be executed if the lines behind a request line of HTTP were requests of their own.
const BODY: &str = "Host: h\r\nPUT stolen 5\nhello";

/// Sends these bytes over a new connection and expects this status, and then the end.
#[track_caller]
fn ends_with(server: &Server, bytes: impl AsRef<[u8]>, status: u16) {
    let bytes = bytes.as_ref();
    let mut conn = server.connect();
    // The server may give up before it has everything.
    let _ = conn.try_send(bytes);
    let response = conn.response(!bytes.starts_with(b"HEAD "));
    assert_eq!(response.status, status, "{}: {response:?}", show(bytes));
    conn.closed();
}

pub(super) fn nearly_http_is_refused(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    for (line, status) in [
        ("POST /a b HTTP/1.1", 400),
        ("POST  / HTTP/1.1", 400),
        ("POST /  HTTP/1.1", 400),
        ("POST  HTTP/1.1", 400),
        (" POST / HTTP/1.1", 400),
        ("POST\t/ HTTP/1.1 HTTP/1.1", 400),
        ("POST /\t HTTP/1.1", 400),
        ("POST /\0 HTTP/1.1", 400),
        ("POST /\r HTTP/1.1", 400),
        ("P(ST / HTTP/1.1", 400),
        ("PUT a 5 HTTP/1.1", 400),
        ("GET a 0 HTTP/1.0", 400),
        ("POST / HTTP/0.9", 505),
        ("POST / HTTP/2.0", 505),
        ("POST / HTTP/3.0", 505),
        ("PRI * HTTP/2.0", 505),
    ] {
        for empty in ["", "\r\n"] {
            ends_with(&server, format!("{empty}{line}\r\n{BODY}"), status);
        }
        // A bare LF is refused first.
        ends_with(&server, format!("{line}\n{BODY}"), 400);
    }
    ends_with(&server, format!("POST / HTTP/1.1\n{BODY}"), 400);
    for (length, status) in [(4097, 400), (8000, 400), (8193, 414), (100_000, 414)] {
        let target = "x".repeat(length);
        ends_with(&server, format!("POST /{target}  HTTP/1.1\r\n{BODY}"), status);
        ends_with(&server, format!("\r\nPOST /{target} b HTTP/1.1\r\n{BODY}"), status);
    }
    assert_eq!(server.root().names(), ["a"]);
}

pub(super) fn versions(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    for version in ["1.1", "1.2", "1.9"] {
        let get = format!("GET /a HTTP/{version}\r\nHost: h\r\n\r\n");
        let mut conn = server.connect();
        for _ in 0..2 {
            conn.send(&get);
            let response = conn.response(true).expect(200);
            assert_eq!(response.body, b"hello");
            assert_eq!(response.field("connection"), Some("keep-alive"));
        }
        drop(conn);
        ends_with(&server, format!("GET /a HTTP/{version}\r\n\r\n"), 400);
    }
    for version in ["0.9", "2.0", "9.9"] {
        for before in ["", "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"] {
            let mut conn = server.connect();
            conn.send(format!("{before}GET /a HTTP/{version}\r\nHost: h\r\n\r\nGET a\n"));
            if !before.is_empty() {
                conn.response(true).expect(200);
            }
            conn.response(true).expect(505);
            conn.closed();
        }
    }
}

pub(super) fn long_lines(subject: &Subject) {
    let server = subject.start(&[]);
    // Components as long as a name may be: it is the line that is tested.
    let path = vec!["x".repeat(200); 50].join("/");
    let line = |start: &str, end: &str, length: usize| {
        format!("{start}{}{end}", &path[..length - start.len() - end.len()])
    };
    let end = " HTTP/1.1\r\n";
    for start in ["GET /", "HEAD /", "OPTIONS *", "GET http://h/", "DELETE /"] {
        for length in [4096, 4097, 8192] {
            let mut conn = server.connect();
            conn.send(format!("{}Host: h\r\n\r\n", line(start, end, length)));
            let response = conn.response(!start.starts_with("HEAD"));
            assert!(response.status < 500 && response.status != 414, "{start}: {response:?}");
        }
        ends_with(&server, format!("{}Host: h\r\n\r\n", line(start, end, 8193)), 414);
        // Without an end it is 414, whatever follows.
        ends_with(&server, line(start, "", 8192), 414);
    }
    let too_long = |bytes: String| {
        let mut conn = server.connect();
        let _ = conn.try_send(&bytes);
        let reply = conn.reply();
        assert!(reply.is("line-too-long"), "{}: {reply:?}", show(bytes.as_bytes()));
        conn.closed();
    };
    for length in [4097, 8192] {
        too_long(line("GET /", "\n", length) + "LIST\n");
        too_long(line("PUT /", " 5\r\n", length) + "hello");
    }
    // The others are never that long.
    for start in ["GET ", "get /", "BREW /", "GET https://", "LIST /"] {
        too_long(line(start, end, 4097));
        too_long(line(start, "", 4096));
    }
    for start in ["GET /", "GET "] {
        refused(&mut server.connect(), line(start, "", 4095), "not-found");
    }
    // What is not decided is not answered.
    let mut conn = server.connect();
    conn.send(line("GET /", "", 8191));
    assert!(oracles::until_read(&conn));
    assert!(conn.is_quiet_for(Duration::from_millis(50)));
    assert_eq!(server.root().names(), [""; 0]);
}

pub(super) fn an_empty_line_at_the_beginning(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    // It is not known yet whose it is.
    let quiet = |conn: &mut Conn| {
        conn.send("\r\n");
        assert!(oracles::until_read(conn));
        assert!(conn.is_quiet_for(Duration::from_millis(50)));
    };
    let mut conn = server.connect();
    quiet(&mut conn);
    assert_eq!(conn.http(http_get("/a")).expect(200).body, b"hello");
    drop(conn);
    let mut conn = server.connect();
    quiet(&mut conn);
    conn.send("GET a\n");
    assert_eq!(conn.reply().code(), "bad-command");
    assert_eq!(conn.reply().ok(), b"hello");
    refused(&mut conn, "\r", "bad-command");
    drop(conn);
    // Once the connection is at its end, nothing can follow.
    for rest in ["", "\r", "GET /a HTTP/1.1", "GET a"] {
        let mut conn = server.connect();
        conn.send(format!("\r\n{rest}"));
        conn.finish();
        assert_eq!(conn.reply().code(), "bad-command");
        conn.closed();
    }
    // The beginning of a request is not a request.
    let mut conn = server.connect();
    conn.send("\r\nGET /a HTTP/1.1\r\nHo");
    conn.finish();
    conn.closed();
    // A bare LF, and a second empty line, are lines of the file protocol at once.
    for (bytes, count) in [("\n", 1), ("\r\n\n", 2), ("\r\n\r\n", 2), ("\n\r\n", 2)] {
        let mut conn = server.connect();
        conn.send(bytes);
        for _ in 0..count {
            assert_eq!(conn.reply().code(), "bad-command");
        }
        stays(&mut conn);
        refused(&mut conn, "GET /a HTTP/1.1", "bad-argument");
    }
}

pub(super) fn an_empty_line_between_requests(subject: &Subject) {
    let server = subject.start(&[]);
    let put = http_put("/a", b"hello");
    let mut conn = server.connect();
    for _ in 0..3 {
        conn.send([&put[..], b"\r\n", &http_get("/a"), b"\r\n"].concat());
        assert!(matches!(conn.response(true).status, 201 | 204));
        assert_eq!(conn.response(true).expect(200).body, b"hello");
    }
    drop(conn);
    for extra in ["\r\n\r\n", "\n", "\r\r\n", " \r\n"] {
        let mut conn = server.connect();
        conn.send([&put[..], extra.as_bytes(), &http_get("/a")].concat());
        conn.response(true).expect(204);
        conn.response(true).expect(400);
        conn.closed();
    }
}

pub(super) fn an_empty_line_and_nothing_else(subject: &Subject) {
    let server = subject.start(&["--header-timeout", "0.4"]);
    for bytes in ["\r\n", "\r\nGET /a HT"] {
        let (mut conn, start) = begun(|| server.connect(), bytes, Duration::from_millis(400));
        assert_eq!(conn.reply().code(), "bad-command");
        assert_eq!(conn.reply().code(), "timeout");
        conn.closed();
        // Clocks differ in their grain.
        let elapsed = start.elapsed() + Duration::from_millis(30);
        assert!(elapsed >= Duration::from_millis(400), "{elapsed:?}");
    }
}

pub(super) fn an_empty_line_keeps_a_client_idle(subject: &Subject) {
    let server = subject.start(&["--header-timeout", "0.3"]);
    let mut conn = server.connect();
    conn.http(http_put("/a", b"hello")).expect(201);
    conn.send("\r\n");
    assert!(oracles::until_read(&conn));
    assert!(conn.is_quiet_for(Duration::from_millis(700)));
    assert_eq!(conn.http(http_get("/a")).expect(200).body, b"hello");
}

pub(super) fn protocols_do_not_change(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    for first in ["", "GET a", "NONSENSE", "POST /"] {
        let mut conn = server.connect();
        conn.send(format!("{first}\nGET /a HTTP/1.1\n"));
        conn.reply();
        let reply = conn.reply();
        assert!(reply.is("bad-argument"), "{first:?}: {reply:?}");
        stays(&mut conn);
    }
    for line in ["GET a\n", "LIST\r\n", "PUT stolen 5\nhello", "GET HTTP/1.1\r\n"] {
        let mut conn = server.connect();
        conn.http(http_get("/a")).expect(200);
        conn.send(line);
        conn.response(true).expect(400);
        conn.closed();
    }
    assert_eq!(server.root().names(), ["a"]);
}

pub(super) fn the_host_in_the_target(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let own = server.address().to_string();
    let put = |target: &str, host: &str, origin: &str| {
        let fields = format!("Host: {host}\r\nOrigin: {origin}\r\nContent-Length: 1");
        format!("PUT {target} HTTP/1.1\r\n{fields}\r\n\r\nx")
    };
    let (page, foreign) = (format!("http://{own}"), "http://evil.example");
    let mut conn = server.connect();
    for (target, host, origin, status) in [
        (format!("{page}/new"), "evil.example", &page[..], 201),
        (format!("{page}/new?x"), "", &page, 204),
        // The name that leads here is another's, whatever `Host` says.
        ("http://evil.example/new".into(), &own, foreign, 403),
        ("http://evil.example/new".into(), &own, &page, 403),
        ("http://evil.example?/new".into(), &own, foreign, 403),
        (format!("{page}/new"), &own, foreign, 403),
        (format!("{page}/new"), "evil.example", foreign, 403),
        // User information has no place in it.
        (format!("http://evil.example@{own}/new"), &own, &page, 403),
    ] {
        let response = conn.http(put(&target, host, origin));
        assert_eq!(response.status, status, "{target} {host} {origin}");
    }
    for target in [
        "http://u@h/a",
        "http://u:p@h/a",
        "http://@h/a",
        "http:///a",
        "http://:80/a",
        "http://h:x/a",
    ] {
        conn.http(http_get(target)).expect(400);
    }
    assert_eq!(conn.http(http_get("http://other.example/a")).expect(200).body, b"hello");
    drop(conn);
    // `Host` is of no use then, and has to be there all the same.
    for fields in ["", "Host: a/b\r\n", "Host: h\r\nHost: h\r\n"] {
        ends_with(&server, format!("GET http://h/a HTTP/1.1\r\n{fields}\r\n"), 400);
    }
    assert_eq!(server.root().names(), ["a", "new"]);
}
