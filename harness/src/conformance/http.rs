//! The same store through HTTP, on the same port.

use std::fs;

use super::get::oddities;
use super::{http_get, http_put, noise};
use crate::wire::{Conn, Response, show};
use crate::{Server, Subject, oracles};

/// A request without a body; `fields` are whole lines without their ends.
fn request(method: &str, target: &str, fields: &[&str]) -> Vec<u8> {
    let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: h\r\n{fields}\r\n").into_bytes()
}

/// The connection still speaks HTTP and is in step.
#[track_caller]
fn stays_http(conn: &mut Conn) {
    conn.http(http_get("/surely-not-there")).expect(404);
}

pub(super) fn files(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(1_500_003);
    let mut conn = server.connect();
    server.root().mkdir("d");
    for size in [0, 1, 4096, 65_535, 65_536, 65_537, 262_145, 1_500_003] {
        let name = format!("d/f {size}");
        server.root().write(&name, &content[..size]);
        let response = conn.http(http_get(&name.replace(' ', "%20").replace("d/", "/d/")));
        let response = response.expect(200);
        assert!(response.body == content[..size], "size {size}");
        assert_eq!(response.field("content-length"), Some(size.to_string().as_str()));
    }
}

pub(super) fn content_types(subject: &Subject) {
    let server = subject.start(&[]);
    let mut conn = server.connect();
    for (name, expected) in [
        ("a.txt", "text/plain"),
        ("a.html", "text/html"),
        ("a.css", "text/css"),
        ("a.png", "image/png"),
        ("a.jpg", "image/jpeg"),
        ("a.json", "application/json"),
        ("a.pdf", "application/pdf"),
    ] {
        server.root().write(name, "x");
        let response = conn.http(http_get(&format!("/{name}"))).expect(200);
        let kind = response.field("content-type").unwrap_or_default();
        assert!(kind.starts_with(expected), "{name}: {kind}");
    }
}

pub(super) fn head(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a.txt", noise(100_000));
    server.root().set_mtime("a.txt", 1_000_000_000);
    let mut conn = server.connect();
    for target in ["/a.txt", "/", "/none"] {
        let undated = |mut response: Response| {
            response.fields.retain(|(name, _)| name != "date");
            (response.status, response.fields)
        };
        let get = undated(conn.http(request("GET", target, &[])));
        // If a body came along, the next response would begin with it.
        let head = undated(conn.http(request("HEAD", target, &[])));
        assert_eq!(head, get, "{target}");
    }
    conn.send([request("HEAD", "/a.txt", &[]), http_get("/none")].concat());
    conn.response(false).expect(200);
    conn.response(true).expect(404);
}

pub(super) fn connections_persist(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    for _ in 0..3 {
        assert_eq!(conn.http(http_get("/a")).expect(200).body, b"hello");
        stays_http(&mut conn);
    }
    let response = conn.http(request("GET", "/a", &["Connection: close"])).expect(200);
    assert_eq!(response.body, b"hello");
    conn.closed();
    let mut conn = server.connect();
    assert_eq!(conn.http("GET /a HTTP/1.0\r\n\r\n").expect(200).body, b"hello");
    conn.closed();
}

pub(super) fn pipelining(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(2000);
    let mut requests = Vec::new();
    for number in 0..200 {
        server.root().write(format!("f{number}"), &content[number..number + 100]);
        requests.extend(http_get(&format!("/f{number}")));
        requests.extend(request("HEAD", "/f0", &[]));
        requests.extend(http_put("/up", format!("{number:04}").as_bytes()));
        requests.extend(http_get("/up"));
    }
    let mut conn = server.connect();
    conn.send(requests);
    conn.finish();
    for number in 0..200 {
        assert_eq!(conn.response(true).expect(200).body, &content[number..number + 100]);
        conn.response(false).expect(200);
        let put = conn.response(true);
        assert!(matches!(put.status, 200 | 201 | 204), "{put:?}");
        assert_eq!(conn.response(true).expect(200).body, format!("{number:04}").as_bytes());
    }
    conn.closed();
}

pub(super) fn ranges(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(200_000);
    let size = content.len();
    server.root().write("f", &content);
    server.root().write("empty", "");
    let mut conn = server.connect();
    let last = size - 1;
    for (range, first, last) in [
        ("0-0".to_string(), 0, 0),
        ("0-4".into(), 0, 4),
        ("5-".into(), 5, last),
        ("-3".into(), size - 3, last),
        ("65535-65537".into(), 65_535, 65_537),
        ("1-150000".into(), 1, 150_000),
        (format!("{last}-"), last, last),
        (format!("100-{}", size + 5), 100, last),
        ("100-9223372036854775807".into(), 100, last),
        (format!("-{}", size + 100), 0, last),
    ] {
        let response = conn.http(request("GET", "/f", &[&format!("Range: bytes={range}")]));
        let response = response.expect(206);
        assert!(response.body == content[first..=last], "{range}");
        let told = format!("bytes {first}-{last}/{size}");
        assert_eq!(response.field("content-range"), Some(told.as_str()), "{range}");
    }
    for range in [format!("{size}-"), format!("{}-{}", size + 1, size + 9), "-0".into()] {
        let response = conn.http(request("GET", "/f", &[&format!("Range: bytes={range}")]));
        let response = response.expect(416);
        let told = format!("bytes */{size}");
        assert_eq!(response.field("content-range"), Some(told.as_str()), "{range}");
    }
    conn.http(request("GET", "/empty", &["Range: bytes=0-"])).expect(416);
    // A field that is no range of bytes is as good as none.
    for range in ["bytes=x-y", "bytes=5-3", "lines=0-3", "bytes=", "bytes", "bytes=-", "bytes=+1-3"]
    {
        let response = conn.http(request("GET", "/f", &[&format!("Range: {range}")]));
        assert!(response.expect(200).body == content, "{range}");
    }
    stays_http(&mut conn);
}

pub(super) fn conditional_requests(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a.txt", "hello");
    server.root().set_mtime("a.txt", 1_000_000_000);
    let mut conn = server.connect();
    let fresh = conn.http(http_get("/a.txt")).expect(200);
    let (then, before) = ("Sun, 09 Sep 2001 01:46:40 GMT", "Sun, 09 Sep 2001 01:46:39 GMT");
    let later = "Mon, 10 Sep 2001 01:46:40 GMT";
    assert_eq!(fresh.field("last-modified"), Some(then));
    let tag = fresh.field("etag").expect("an ETag").to_string();
    assert!(tag.trim_start_matches("W/").starts_with('"') && tag.ends_with('"'), "{tag}");
    let same = format!("If-None-Match: {tag}");
    let among = format!("If-None-Match: \"x\", {tag}");
    let weak = format!("If-None-Match: W/{}", tag.trim_start_matches("W/"));
    let since = |date: &str| format!("If-Modified-Since: {date}");
    let other = "If-None-Match: \"other\"".to_string();
    for (fields, status) in [
        (vec![same.clone()], 304),
        (vec![among], 304),
        (vec![weak], 304),
        (vec!["If-None-Match: *".into()], 304),
        (vec![other.clone()], 200),
        (vec![since(then)], 304),
        (vec![since(later)], 304),
        (vec![since(before)], 200),
        (vec![since("some day")], 200),
        // Where both are given, the tag decides.
        (vec![other, since(later)], 200),
        (vec![same.clone(), since(before)], 304),
    ] {
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        for method in ["GET", "HEAD"] {
            let response = conn.http(request(method, "/a.txt", &fields));
            assert_eq!(response.status, status, "{method} {fields:?}");
            if status == 304 {
                assert_eq!(response.field("etag"), Some(tag.as_str()));
            }
        }
    }
    // Another content, another tag, even within the same second.
    drop(conn);
    assert_eq!(server.connect().put("a.txt", "HELLO").ok(), b"");
    let mut conn = server.connect();
    server.root().set_mtime("a.txt", 1_000_000_001);
    let changed = conn.http(request("GET", "/a.txt", &[&same])).expect(200);
    assert_eq!(changed.body, b"HELLO");
    assert_ne!(changed.field("etag"), Some(tag.as_str()));
}

pub(super) fn uploads(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(300_000);
    let mut conn = server.connect();
    server.root().mkdir("d");
    for target in ["/f", "/d/f", "/d/%C3%A9%20x"] {
        conn.http(http_put(target, &content)).expect(201);
        assert!(conn.http(http_get(target)).expect(200).body == content);
        for body in [&b""[..], b"short", &content] {
            let response = conn.http(http_put(target, body));
            assert!(matches!(response.status, 200 | 204), "{response:?}");
            assert!(conn.http(http_get(target)).expect(200).body == body);
        }
    }
    assert!(server.root().read("d/é x") == content);
    assert_eq!(server.root().names(), ["d", "d/f", "d/é x", "f"]);
}

pub(super) fn refused_uploads(subject: &Subject) {
    let server = subject.start(&["--max-file-size", "1MiB"]);
    server.root().write("file", "file");
    oddities(server.root());
    let before = server.root().names();
    let mut conn = server.connect();
    for (target, status) in [
        ("/none/x", 404),
        ("/file/x", 404),
        ("/folder", 409),
        ("/fifo", 409),
        ("/", 409),
        ("/../x", 400),
        ("/a//b", 400),
        ("/a%00", 400),
        ("/%2e%2e/x", 400),
    ] {
        for body in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &noise(200_000)] {
            let response = conn.http(http_put(target, body));
            assert_eq!(response.status, status, "PUT {target}: {response:?}");
            if response.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
            {
                conn.closed();
                conn = server.connect();
            } else {
                stays_http(&mut conn);
            }
        }
    }
    conn.send(request("PUT", "/x", &["Content-Length: 1048577"]));
    conn.response(true).expect(413);
    conn.closed();
    let mut conn = server.connect();
    conn.http(request("PUT", "/x", &[])).expect(411);
    assert_eq!(server.root().names(), before);
    assert_eq!(server.root().read("file"), b"file");
}

pub(super) fn expect_continue(subject: &Subject) {
    let server = subject.start(&["--max-file-size", "1KiB"]);
    let mut conn = server.connect();
    let head = request("PUT", "/f", &["Content-Length: 5", "Expect: 100-continue"]);
    for body in ["first", "again"] {
        conn.http(&head).expect(100);
        conn.send(body);
        let response = conn.response(true);
        assert!(matches!(response.status, 200 | 201 | 204), "{response:?}");
        assert_eq!(server.root().read("f"), body.as_bytes());
        stays_http(&mut conn);
    }
    // A GET has no body to wait for.
    let response = conn.http(request("GET", "/f", &["Expect: 100-continue"]));
    assert!(matches!(response.status, 100 | 200), "{response:?}");
    drop(conn);
    // Where the answer is no, the body is not asked for.
    for (target, length, status) in [("/f", 1025, 413), ("/none/x", 5, 404), ("/../x", 5, 400)] {
        let length = format!("Content-Length: {length}");
        let head = request("PUT", target, &[&length, "Expect: 100-continue"]);
        server.connect().http(head).expect(status);
    }
}

pub(super) fn options_and_other_methods(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    for target in ["/", "/a", "*"] {
        let response = conn.http(request("OPTIONS", target, &[]));
        assert!(matches!(response.status, 200 | 204), "{target}: {response:?}");
        let allowed = response.field("allow").expect("Allow").to_string();
        for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
            assert!(allowed.split(',').any(|name| name.trim() == method), "{allowed}");
        }
    }
    drop(conn);
    for method in ["DELETE", "POST", "PATCH", "TRACE"] {
        let response = server.connect().http(request(method, "/a", &["Content-Length: 0"]));
        let response = response.expect(405);
        let allowed = response.field("allow").unwrap_or_else(|| panic!("no Allow: {response:?}"));
        assert!(!allowed.contains(method), "{allowed}");
    }
    // The standard lets an unknown method be called unknown.
    let response = server.connect().http(request("FROBNICATE", "/a", &[]));
    assert!(matches!(response.status, 405 | 501), "{response:?}");
    assert_eq!(server.root().read("a"), b"hello");
}

pub(super) fn error_statuses(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    oddities(root);
    root.write("file", "x");
    root.link("../outside/secret", "out");
    root.link("loop", "loop");
    let mut conn = server.connect();
    for (target, status) in [
        ("/none", 404),
        ("/none/x", 404),
        ("/file/x", 404),
        ("/fifo", 409),
        ("/socket", 409),
        ("/..", 400),
        ("/../x", 400),
        ("/%2e%2e/x", 400),
        ("/a%2fb", 400),
        ("/a%00", 400),
        ("/a%0d%0aX-Forged:%20yes", 400),
        ("/%zz", 400),
        ("//file", 400),
        ("/out", 400),
        ("/loop", 400),
    ] {
        for method in ["GET", "HEAD"] {
            let response = conn.http(request(method, target, &[]));
            assert_eq!(response.status, status, "{method} {target}: {response:?}");
            assert!(response.field("x-forged").is_none(), "{response:?}");
            assert!(!response.body.windows(6).any(|window| window == b"SECRET"));
            stays_http(&mut conn);
        }
    }
    // What a client sends does not come back as markup.
    let response = conn.http(http_get("/<script>alert(1)</script>"));
    assert!(!show(&response.body).contains("<script>"), "{}", show(&response.body));
}

pub(super) fn folder_pages(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    let hostile =
        ["<script>alert(1)<", "\"><img src=x>", "a&amp;b", "a'b", "100%25", "sp ace", "#?x", "é"];
    for name in hostile {
        root.write(name, name);
    }
    root.write("plain.txt", "plain.txt");
    root.write("sub/inner.txt", "inner");
    root.write("line\nbreak", "");
    root.fifo("fifo");
    root.link("../outside/secret", "out");
    let mut conn = server.connect();
    let page = conn.http(request("GET", "/", &["Accept: text/html"])).expect(200);
    assert!(page.field("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    let html = String::from_utf8(page.body).expect("UTF-8");
    assert!(html.contains("plain.txt") && html.contains("sub") && html.contains('é'));
    for absent in ["<script>alert", "<img src=x", "fifo", ">out<", "line\nbreak", "a&amp;b<"] {
        assert!(!html.contains(absent), "{absent:?} in {html}");
    }
    assert!(html.contains("a&amp;amp;b"), "an ampersand in a name is not escaped: {html}");
    // Every link on the page leads to a file that holds its own name, or to a folder.
    let (mut files, mut folders) = (0, 0);
    for link in links(&html) {
        let target = if link.starts_with('/') { link.clone() } else { format!("/{link}") };
        if link.starts_with("..") || target == "/" {
            continue;
        }
        let response = conn.http(http_get(&target));
        assert_eq!(response.status, 200, "the link {link:?} on {html}");
        if target.ends_with('/') || target == "/sub" {
            folders += 1;
            let html = String::from_utf8_lossy(&response.body).into_owned();
            assert!(html.contains("inner.txt"), "{html}");
        } else {
            files += 1;
            let name = String::from_utf8(response.body).expect("a name");
            assert!(name == "plain.txt" || hostile.contains(&name.as_str()), "{link}: {name:?}");
        }
    }
    assert_eq!((files, folders), (hostile.len() + 1, 1), "links on the page: {html}");
}

/// The targets of all links of a page, unescaped.
fn links(html: &str) -> Vec<String> {
    let targets = html.split("<a href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let unescape = |target: &str| {
        let quotes = target.replace("&quot;", "\"").replace("&#39;", "'").replace("&#x27;", "'");
        quotes.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    };
    targets.map(unescape).collect()
}

pub(super) fn folders_as_json(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    root.write("b.txt", "12345");
    root.write("sub/inner", "x");
    root.write("quote\"s\\", "");
    root.write("bell\u{7}", "");
    root.fifo("fifo");
    root.link("../outside/secret", "out");
    for (name, time) in [("b.txt", 1_000_000_000), ("sub", 1_000_000_001), ("quote\"s\\", 7)] {
        root.set_mtime(name, time);
    }
    let mut conn = server.connect();
    let page = conn.http(request("GET", "/", &["Accept: application/json"])).expect(200);
    assert!(page.field("content-type").is_some_and(|kind| kind.starts_with("application/json")));
    let json: serde_json::Value = serde_json::from_slice(&page.body).expect("JSON");
    let entries = json.as_array().expect("an array");
    let mut seen: Vec<(&str, &str, u64, u64)> = Vec::new();
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("{key} of {entry}"));
        let number = |key: &str| entry[key].as_u64().unwrap_or_else(|| panic!("{key} of {entry}"));
        seen.push((text("name"), text("kind"), number("size"), number("mtime")));
    }
    seen.sort();
    let sub = seen.iter().position(|entry| entry.0 == "sub").expect("the folder");
    let folder = seen.remove(sub);
    assert_eq!((folder.1, folder.3), ("directory", 1_000_000_001));
    assert_eq!(seen, [("b.txt", "file", 5, 1_000_000_000), ("quote\"s\\", "file", 0, 7)]);
    let page = conn.http(request("GET", "/sub/", &["Accept: application/json"])).expect(200);
    let json: serde_json::Value = serde_json::from_slice(&page.body).expect("JSON");
    assert_eq!(json[0]["name"], "inner");
    // A file is a file, whatever the client would accept.
    let file = conn.http(request("GET", "/b.txt", &["Accept: application/json"])).expect(200);
    assert_eq!(file.body, b"12345");
}

/// Sends a request as it is and expects one of these statuses, and then the end.
#[track_caller]
fn ends_with(server: &Server, request: impl AsRef<[u8]>, statuses: &[u16]) {
    let request = request.as_ref();
    let mut conn = server.connect();
    // The server may give up before it has everything.
    let _ = conn.try_send(request);
    let response = conn.response(true);
    assert!(statuses.contains(&response.status), "{}: {response:?}", show(request));
    conn.closed();
}

pub(super) fn malformed_heads(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let cases: [&[u8]; 22] = [
        // No Host.
        b"GET /a HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1\r\nAccept: */*\r\n\r\n",
        // Folded, or a field that begins with a space.
        b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\r\n\tb\r\n\r\n",
        b"GET /a HTTP/1.1\r\n Host: h\r\n\r\n",
        // A space before the colon.
        b"GET /a HTTP/1.1\r\nHost : h\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nContent-Length : 0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX\t: a\r\n\r\n",
        // A bare LF ends a field, or the head.
        b"GET /a HTTP/1.1\r\nHost: h\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\nX: a\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\n\n",
        b"GET /a HTTP/1.1\r\nHost: h\n\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\n\n",
        // No field at all.
        b"GET /a HTTP/1.1\r\nHost: h\r\nnonsense\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\n: nameless\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX Y: a\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX\0: a\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\0b\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n",
        b"GET /a HTTP/1.0\r\nX: a\r\n b\r\n\r\n",
        b"PUT /x HTTP/1.1\r\nContent-Length: 1\r\n\r\nx",
        b"PUT /x HTTP/1.1\r\nHost: h\nContent-Length: 1\r\n\r\nx",
    ];
    for case in cases {
        ends_with(&server, case, &[400]);
        // The same as a second request, and with another smuggled behind it.
        let mut conn = server.connect();
        conn.send([&http_get("/a")[..], case, &http_get("/a")].concat());
        assert_eq!(conn.response(true).expect(200).body, b"hello");
        let response = conn.response(true);
        assert_eq!(response.status, 400, "{}", show(case));
        conn.closed();
    }
    // Once the connection speaks HTTP, a line that is none is malformed.
    for line in
        ["NONSENSE\r\n\r\n", "GET /a\r\n\r\n", "LIST\n", "GET a b HTTP/1.1\r\nHost: h\r\n\r\n"]
    {
        let mut conn = server.connect();
        conn.http(http_get("/a")).expect(200);
        conn.send(line);
        conn.finish();
        conn.response(true).expect(400);
        conn.closed();
    }
    assert_eq!(server.root().names(), ["a"]);
}

pub(super) fn ambiguous_lengths(subject: &Subject) {
    let server = subject.start(&[]);
    let fields = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: gzip, chunked",
        "transfer-encoding:chunked",
        "Content-Length: 5\r\nTransfer-Encoding: ",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 5, 6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 5x",
        "Content-Length: 0x5",
        "Content-Length: 5.0",
        "Content-Length: 1 1",
        "Content-Length: ",
        "Content-Length: five",
        "Content-Length: \u{665}",
    ];
    for field in fields {
        for method in ["PUT", "GET"] {
            let head = format!("{method} /x HTTP/1.1\r\nHost: h\r\n{field}\r\n\r\n");
            ends_with(&server, format!("{head}0\r\n\r\nhello"), &[400, 501]);
            let mut conn = server.connect();
            conn.send(
                [&http_get("/none")[..], head.as_bytes(), b"0\r\n\r\n", &http_get("/")].concat(),
            );
            conn.response(true).expect(404);
            let status = conn.response(true).status;
            assert!(matches!(status, 400 | 501), "{field:?}: {status}");
            conn.closed();
        }
    }
    // Too large for any limit, and for any number.
    for length in ["9223372036854775807", "9223372036854775808", "99999999999999999999999999"] {
        ends_with(
            &server,
            request("PUT", "/x", &[&format!("Content-Length: {length}")]),
            &[400, 413],
        );
    }
    assert_eq!(server.root().names(), [""; 0]);
}

pub(super) fn heads_too_large(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let fields = |count: usize, length: usize| {
        let field = format!("X: {}\r\n", "x".repeat(length));
        format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", field.repeat(count))
    };
    let mut conn = server.connect();
    // Host is one of the hundred.
    conn.http(fields(99, 1)).expect(200);
    conn.http(fields(4, 3800)).expect(200);
    conn.http(fields(1, 15_000)).expect(200);
    drop(conn);
    for head in
        [fields(100, 1), fields(1000, 1), fields(5, 4000), fields(1, 17_000), fields(1, 1 << 20)]
    {
        ends_with(&server, &head, &[431]);
    }
    // A head that never ends is refused all the same.
    ends_with(&server, "GET /a HTTP/1.1\r\nX: ".to_string() + &"x".repeat(20_000), &[431]);
}

pub(super) fn targets_too_long(subject: &Subject) {
    let server = subject.start(&[]);
    let target = |length: usize| {
        let path = vec!["x".repeat(200); 50].join("/");
        format!("/{}", &path[..length - "GET / HTTP/1.1\r\n".len()])
    };
    // As the first line it is not known to be HTTP.
    let mut conn = server.connect();
    conn.http(http_get(&target(4096))).expect(404);
    // Later ones may be longer.
    let response = conn.http(http_get(&target(8192)));
    assert!(matches!(response.status, 400 | 404), "{response:?}");
    if response.status == 404 {
        stays_http(&mut conn);
    }
    drop(conn);
    for length in [8193, 9000] {
        let mut conn = server.connect();
        conn.http(http_get("/none")).expect(404);
        conn.http(http_get(&target(length))).expect(414);
    }
    let mut conn = server.connect();
    conn.send(http_get(&target(4097)));
    assert_eq!(conn.reply().code(), "line-too-long");
    conn.closed();
}

pub(super) fn one_store(subject: &Subject) {
    let server = subject.start(&[]);
    let (mut content, mut conn) = (noise(100_000), Conn::connect(server.address()));
    conn.put("f", &content).ok();
    drop(conn);
    let mut conn = server.connect();
    assert!(conn.http(http_get("/f")).expect(200).body == content);
    content.reverse();
    let response = conn.http(http_put("/f", &content));
    assert!(matches!(response.status, 200 | 204), "{response:?}");
    drop(conn);
    assert!(server.ask("GET f").ok() == content);
    // A link is replaced, as it is by the other protocol.
    server.root().link("f", "link");
    server.connect().http(http_put("/link", b"new"));
    assert!(fs::symlink_metadata(server.root().join("link")).expect("link").is_file());
    assert!(server.ask("GET f").ok() == content);
}

pub(super) fn half_close(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(3 << 20);
    server.root().write("large", &content);
    let mut conn = server.connect();
    conn.send([http_get("/large"), http_get("/none"), b"GET /large HT".to_vec()].concat());
    conn.finish();
    assert!(conn.response(true).expect(200).body == content);
    conn.response(true).expect(404);
    // The unfinished request may be called malformed or be passed over.
    let rest = conn.rest();
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", show(&rest));
}

pub(super) fn a_file_that_shrinks(subject: &Subject) {
    let server = subject.start(&[]);
    let size = server.root().patterned("f", 24 << 20);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send(http_get("/f"));
    conn.bytes(100);
    let file = fs::File::options().write(true).open(server.root().join("f")).expect("the file");
    file.set_len(1000).expect("to shrink it");
    conn.widen();
    assert!(conn.drain() < size, "{size} bytes of a file that had shrunk");
    assert!(oracles::until_read(&conn));
}
