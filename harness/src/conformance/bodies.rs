//! Bodies of uploads over HTTP: chunks, other transfer codings, and parts of a file.

use std::time::Duration;

use super::get::oddities;
use super::http::stays_http;
use super::{begun, http_get, http_put, noise};
use crate::wire::{Conn, show};
use crate::{Server, Subject, oracles};

/// The header of a chunked upload; `fields` are whole lines with their ends.
fn chunked_head(target: &str, fields: &str) -> Vec<u8> {
    let fields = format!("Host: h\r\nTransfer-Encoding: chunked\r\n{fields}");
    format!("PUT {target} HTTP/1.1\r\n{fields}\r\n").into_bytes()
}

/// A body in chunks of these sizes, over and over.
fn chunks(content: &[u8], sizes: &[usize]) -> Vec<u8> {
    let (mut body, mut rest) = (Vec::new(), content);
    for &size in sizes.iter().cycle() {
        let (now, later) = rest.split_at(size.min(rest.len()));
        if now.is_empty() {
            break;
        }
        body.extend(format!("{:x}\r\n", now.len()).bytes());
        body.extend([now, b"\r\n"].concat());
        rest = later;
    }
    body.extend(b"0\r\n\r\n");
    body
}

/// A chunked upload with this body.
fn chunked_put(target: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    [&chunked_head(target, "")[..], body.as_ref()].concat()
}

/// The next response has this status, and then the connection ends.
#[track_caller]
fn ends_with(mut conn: Conn, status: u16, sent: &[u8]) {
    let response = conn.response(true);
    assert_eq!(response.status, status, "{}: {response:?}", show(sent));
    conn.closed();
}

pub(super) fn chunked_uploads(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(3_000_001);
    let mut conn = server.connect();
    for size in [0, 1, 4095, 4096, 65_536, 1_048_577, 3_000_001] {
        for sizes in
            [&[usize::MAX][..], &[65_536], &[4096, 4095], &[1, 100_000, 3], &[5000, 16, 2000]]
        {
            let content = &content[..size];
            let response = conn.http(chunked_put("/f", chunks(content, sizes)));
            assert!(matches!(response.status, 201 | 204), "{size} {sizes:?}: {response:?}");
            assert!(server.root().read("f") == content, "{size} bytes in chunks of {sizes:?}");
        }
    }
    // Many chunks of one byte.
    let small = &content[..20_000];
    conn.http(chunked_put("/f", chunks(small, &[1]))).expect(204);
    assert!(server.root().read("f") == small);
    for body in [
        "5;a\r\nhello\r\n0\r\n\r\n",
        "0005 ; a=b; c=\"d;e\"\r\nhello\r\n000;x\r\n\r\n",
        "2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\nContent-Length: 9\r\nTransfer-Encoding: x\r\n\r\n",
    ] {
        conn.http(chunked_put("/f", "1\r\n-\r\n0\r\n\r\n")).expect(204);
        conn.http(chunked_put("/f", body)).expect(204);
        assert_eq!(show(&server.root().read("f")), show(b"hello"), "{body:?}");
        stays_http(&mut conn);
    }
    assert_eq!(server.root().names(), ["f"]);
}

pub(super) fn requests_behind_chunks(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(1000);
    let body = chunks(&content, &[1, 400, 30]);
    let stream = [
        chunked_put("/f", &body),
        http_get("/f"),
        chunked_put("/none/f", &body),
        b"\r\n".to_vec(),
        http_get("/f"),
    ]
    .concat();
    for size in [1, 7, 61, 997, stream.len()] {
        let mut conn = server.connect();
        oracles::feed(&mut conn, &stream, size);
        conn.finish();
        assert!(matches!(conn.response(true).status, 201 | 204));
        assert!(conn.response(true).expect(200).body == content);
        conn.response(true).expect(404);
        assert!(conn.response(true).expect(200).body == content);
        conn.closed();
    }
    // Far more of them than are read at once.
    let many = [chunked_put("/f", &body), http_get("/f").repeat(5000)].concat();
    let mut conn = server.connect();
    let mut sender = conn.sender();
    std::thread::scope(|scope| {
        scope.spawn(|| sender.send(many));
        conn.response(true).expect(204);
        for _ in 0..5000 {
            assert!(conn.response(true).expect(200).body == content);
        }
    });
    stays_http(&mut conn);
}

pub(super) fn chunks_on_demand(subject: &Subject) {
    let server = subject.start(&["--max-file-size", "1KiB"]);
    let mut conn = server.connect();
    let head = |target: &str| chunked_head(target, "Expect: 100-continue\r\n");
    for content in ["first", "again"] {
        conn.http(head("/f")).expect(100);
        conn.send(chunks(content.as_bytes(), &[2]));
        let response = conn.response(true);
        assert!(matches!(response.status, 201 | 204), "{response:?}");
        assert_eq!(server.root().read("f"), content.as_bytes());
        stays_http(&mut conn);
    }
    conn.http(head("/none/f")).expect(404);
    conn.closed();
    let mut conn = server.connect();
    conn.http(head("/f")).expect(100);
    conn.send("401\r\n");
    ends_with(conn, 413, b"401");
    assert_eq!(server.root().read("f"), b"again");
}

/// None of these is a chunked body.
const MALFORMED: [&str; 44] = [
    // The size of a chunk.
    "\r\n",
    "x\r\n",
    "-1\r\na\r\n0\r\n\r\n",
    "+1\r\na\r\n0\r\n\r\n",
    "0x1\r\na\r\n0\r\n\r\n",
    "0X1\r\na\r\n0\r\n\r\n",
    "1h\r\na\r\n0\r\n\r\n",
    "1_0\r\n",
    "1.0\r\na\r\n0\r\n\r\n",
    "1,1\r\na\r\n0\r\n\r\n",
    " 1\r\na\r\n0\r\n\r\n",
    "1 \r\na\r\n0\r\n\r\n",
    "1\t\r\na\r\n0\r\n\r\n",
    "1\x0b\r\na\r\n0\r\n\r\n",
    "1\0\r\na\r\n0\r\n\r\n",
    ";a\r\n",
    "\"1\"\r\na\r\n0\r\n\r\n",
    "\u{661}\r\na\r\n0\r\n\r\n",
    "00000000000000001\r\na\r\n0\r\n\r\n",
    "10000000000000001\r\na\r\n0\r\n\r\n",
    // The ends of lines and of chunks.
    "1\na\r\n0\r\n\r\n",
    "1\r\na\n0\r\n\r\n",
    "1\r\na\r\n0\n\r\n",
    "1\r\na\r\n0\r\n\n",
    "1\ra\r\n0\r\n\r\n",
    "1\r\r\na\r\n0\r\n\r\n",
    "1\r\nab\r\n0\r\n\r\n",
    "2\r\na\r\n0\r\n\r\n",
    "1\r\na\r0\r\n\r\n",
    "1\r\na0\r\n\r\n",
    "1\r\na\r\n\r\n0\r\n\r\n",
    // Extensions.
    "1;a\na\r\n0\r\n\r\n",
    "1;a\rb\r\na\r\n0\r\n\r\n",
    "1;\0\r\na\r\n0\r\n\r\n",
    "1 a\r\na\r\n0\r\n\r\n",
    // Trailers.
    "0\r\nX\r\n\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\n X: y\r\n\r\n",
    "0\r\nX: y\r\n z\r\n\r\n",
    "0\r\n: y\r\n\r\n",
    "0\r\nX: y\n\r\n",
    "0\r\nX: \0\r\n\r\n",
    "0\r\n\r\r\n\r\n",
    "0\r\nGET /a HTTP/1.1\r\nHost: h\r\n\r\n",
];

pub(super) fn malformed_chunks(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let behind = http_put("/stolen", b"x");
    for body in MALFORMED {
        // The old file, a new one, and one that is refused anyway.
        for target in ["/a", "/new", "/none/x"] {
            let mut conn = server.connect();
            let sent = [&chunked_put(target, body)[..], &behind].concat();
            let _ = conn.try_send(&sent);
            ends_with(conn, 400, &sent);
        }
    }
    let large = [
        format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(20_000)),
        "1;xxxxxxxxxxxxxxxxxxxxxx\r\na\r\n".repeat(1000) + "0\r\n\r\n",
        format!("0\r\nX: {}\r\n\r\n", "x".repeat(20_000)),
        format!("0\r\n{}\r\n", "X: y\r\n".repeat(101)),
    ];
    for body in large {
        let mut conn = server.connect();
        let _ = conn.try_send([&chunked_put("/new", &body)[..], &behind].concat());
        ends_with(conn, 400, body.as_bytes());
    }
    assert_eq!(server.root().names(), ["a"]);
    assert_eq!(server.root().read("a"), b"hello");
}

pub(super) fn chunks_above_the_limit(subject: &Subject) {
    let server = subject.start(&["--max-file-size", "100000"]);
    let content = noise(100_001);
    server.root().write("old", "old");
    let mut conn = server.connect();
    conn.http(chunked_put("/f", chunks(&content[..100_000], &[30_000]))).expect(201);
    assert!(server.root().read("f") == content[..100_000]);
    drop(conn);
    for target in ["/old", "/new", "/none/x"] {
        for body in [
            chunks(&content, &[30_000]),
            chunks(&content, &[usize::MAX]),
            b"186a1\r\n".to_vec(),
            b"7fffffffffffffff\r\nx".to_vec(),
            b"ffffffffffffffff\r\nx".to_vec(),
            b"186a0;a\r\n".iter().chain(&content[1..]).chain(b"\r\n1\r\n").copied().collect(),
        ] {
            let mut conn = server.connect();
            let _ = conn.try_send(chunked_put(target, &body));
            ends_with(conn, 413, &body);
        }
    }
    assert_eq!(server.root().names(), ["f", "old"]);
    assert_eq!(server.root().read("old"), b"old");
}

pub(super) fn refused_chunks_are_read_to_their_end(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    root.write("file", "file");
    oddities(root);
    let before = root.names();
    let content = noise(300_000);
    let mut conn = server.connect();
    let evil = "Origin: http://evil.example\r\n";
    for (target, fields, status) in [
        ("/none/x", "", 404),
        ("/file/x", "", 404),
        ("/folder", "", 409),
        ("/fifo", "", 409),
        ("/../x", "", 400),
        ("/file", "If-None-Match: *\r\n", 412),
        ("/new", evil, 403),
    ] {
        for body in [chunks(b"", &[1]), chunks(&content, &[70_000, 1]), chunks(b"LIST\n", &[2])] {
            conn.send([chunked_head(target, fields), body].concat());
            let response = conn.response(true);
            assert_eq!(response.status, status, "{target} {fields:?}: {response:?}");
            stays_http(&mut conn);
        }
    }
    assert_eq!(root.names(), before);
    assert_eq!(root.read("file"), b"file");
    let server = subject.start(&["--read-only"]);
    let mut conn = server.connect();
    conn.http(chunked_put("/f", chunks(&content, &[70_000]))).expect(403);
    stays_http(&mut conn);
}

pub(super) fn chunks_cut_short_leave_nothing(subject: &Subject) {
    let server = subject.start(&["--transfer-timeout", "0.4"]);
    server.root().write("old", "old");
    for target in ["/old", "/new"] {
        let whole = chunked_put(target, "5\r\nhello\r\n0\r\nX: y\r\n\r\n");
        let head = chunked_head(target, "").len();
        for end in head..whole.len() {
            let mut conn = server.connect();
            conn.send(&whole[..end]);
            conn.finish();
            conn.closed();
        }
        let timeout = Duration::from_millis(400);
        for end in [head, head + 5, whole.len() - 1] {
            let (mut conn, start) = begun(|| server.connect(), &whole[..end], timeout);
            conn.response(true).expect(408);
            assert!(start.elapsed() + Duration::from_millis(30) >= timeout);
            conn.closed();
        }
    }
    assert_eq!(server.root().names(), ["old"]);
    assert_eq!(server.root().read("old"), b"old");
}

pub(super) fn transfer_codings(subject: &Subject) {
    let server = subject.start(&[]);
    let refused = |server: &Server, method: &str, version: &str, fields: &str, status: u16| {
        let head = format!("{method} /x HTTP/{version}\r\nHost: h\r\n{fields}\r\n\r\n");
        let sent = [head.as_bytes(), b"1\r\na\r\n0\r\n\r\n", &http_put("/y", b"x")].concat();
        let mut conn = server.connect();
        let _ = conn.try_send(&sent);
        ends_with(conn, status, &sent);
    };
    for (value, status) in [
        ("gzip", 400),
        ("identity", 400),
        ("chunked, gzip", 400),
        ("chunked, identity", 400),
        ("chunked, chunked", 400),
        ("chunked, gzip, chunked", 400),
        ("", 400),
        (",", 400),
        ("xchunked", 400),
        ("chunkedx", 400),
        ("chunked chunked", 400),
        ("\"chunked\"", 400),
        ("chunked;a=b", 400),
        ("\x0bchunked", 400),
        ("chunked\0", 400),
        ("gzip, chunked", 501),
        ("identity, chunked", 501),
        ("x;a=b, chunked", 501),
    ] {
        for method in ["PUT", "GET", "POST"] {
            refused(&server, method, "1.1", &format!("Transfer-Encoding: {value}"), status);
        }
        let fields = format!("Transfer-Encoding: {value}\r\nContent-Length: 3");
        refused(&server, "PUT", "1.1", &fields, 400);
        refused(&server, "PUT", "1.0", &format!("Transfer-Encoding: {value}"), 400);
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nContent-Length: 3",
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
    ] {
        refused(&server, "PUT", "1.1", fields, 400);
    }
    refused(&server, "PUT", "1.0", "Transfer-Encoding: chunked", 400);
    assert_eq!(server.root().names(), [""; 0]);
    // Spelled otherwise it is still the same, and the last field of a list may be empty.
    let mut conn = server.connect();
    for value in
        ["Chunked", "\tCHUNKED \t", "chunked,", ",chunked", "chunked\r\nTransfer-Encoding: "]
    {
        let head = format!("PUT /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: {value}\r\n\r\n");
        let response = conn.http(format!("{head}1\r\na\r\n0\r\n\r\n"));
        assert!(matches!(response.status, 201 | 204), "{value:?}: {response:?}");
        stays_http(&mut conn);
    }
    assert_eq!(server.root().read("x"), b"a");
}

pub(super) fn chunks_of_other_methods(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    for (method, status) in [("GET", 200), ("POST", 405), ("DELETE", 405), ("BREW", 501)] {
        let fields = "Host: h\r\nTransfer-Encoding: chunked";
        let head = format!("{method} /a HTTP/1.1\r\n{fields}\r\n\r\n");
        for body in ["0\r\n\r\n", "PUT stolen 1\nx", "1\r\nx\r\n0\r\n\r\n"] {
            let sent = [head.as_bytes(), body.as_bytes(), &http_put("/stolen", b"x")].concat();
            let mut conn = server.connect();
            conn.send(&sent);
            ends_with(conn, status, &sent);
        }
    }
    assert_eq!(server.root().names(), ["a"]);
}

pub(super) fn a_part_is_not_stored(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("old", "ABCDE");
    for value in ["bytes 5-9/10", "bytes 0-4/5", "bytes */10", "lines 1-2/3", "nonsense", ""] {
        let mut conn = server.connect();
        for target in ["/old", "/new"] {
            let head = format!("PUT {target} HTTP/1.1\r\nHost: h\r\nContent-Range: {value}\r\n");
            conn.http(format!("{head}Content-Length: 5\r\n\r\nFGHIJ")).expect(400);
            stays_http(&mut conn);
            conn.http(format!("{head}Transfer-Encoding: chunked\r\n\r\n1\r\nF\r\n0\r\n\r\n"))
                .expect(400);
            stays_http(&mut conn);
        }
        drop(conn);
        // Where it was asked for in advance, it may come or not.
        let fields = format!("Content-Range: {value}\r\nContent-Length: 5\r\nExpect: 100-continue");
        let mut asking = server.connect();
        asking.http(format!("PUT /old HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n")).expect(400);
        asking.closed();
    }
    // It means nothing to the others.
    let get = "GET /old HTTP/1.1\r\nHost: h\r\nContent-Range: bytes 0-1/5\r\n\r\n";
    assert_eq!(server.connect().http(get).expect(200).body, b"ABCDE");
    assert_eq!(server.root().names(), ["old"]);
}
