//! Conditional requests: tags, dates, and what they are worth when a file changes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime};

use super::get::oddities;
use super::http::{request, stays_http, tagged};
use super::{http_get, http_put};
use crate::wire::Conn;
use crate::{Root, Subject};

/// A tag that stands for the bytes. A server need not give one, and does not where it does not know the file
/// system.
fn is_strong(tag: &str) -> bool {
    !tag.starts_with("W/")
}

pub(super) fn validators(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a.txt", "hello");
    server.root().set_mtime("a.txt", 1_000_000_000);
    let mut conn = server.connect();
    let (fresh, tag) = tagged(&mut conn, "/a.txt");
    let (then, before) = ("Sun, 09 Sep 2001 01:46:40 GMT", "Sun, 09 Sep 2001 01:46:39 GMT");
    let later = "Mon, 10 Sep 2001 01:46:40 GMT";
    assert_eq!(fresh.field("last-modified"), Some(then));
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
    assert_ne!(tagged(&mut conn, "/a.txt").1, tag);
}

/// Gives the file `f` another content.
type Change = fn(&Root, &str);

/// The ways in which other programs change a file and hide it: size and time are the same afterwards.
const DISGUISES: [(&str, Change); 3] = [
    ("rewritten in place", |root, content| root.write("f", content)),
    ("removed and made again", |root, content| {
        fs::remove_file(root.join("f")).expect("to remove the file");
        root.write("f", content);
    }),
    ("replaced by another", |root, content| {
        root.write("new", content);
        root.set_mtime("new", 1);
        fs::rename(root.join("new"), root.join("f")).expect("to rename the file");
    }),
];

/// A content: each number has another one, all of one size.
fn content(number: usize) -> String {
    format!("version {number:06}")
}

pub(super) fn old_tags_stay_old(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    let mut conn = server.connect();
    for (how, change) in DISGUISES {
        root.write("f", content(0));
        root.set_mtime("f", 1);
        // A tag counts as soon as it is given, so nothing is waited for here.
        let mut given = HashMap::new();
        for number in 1..=300 {
            let now = content(number);
            change(root, &now);
            root.set_mtime("f", 1);
            let response = conn.http(http_get("/f")).expect(200);
            assert_eq!(response.body, now.as_bytes());
            if let Some(tag) = response.field("etag").filter(|tag| is_strong(tag)) {
                let before = given.insert(tag.to_string(), number);
                assert_eq!(before, None, "{how}: version {number} has an old tag");
            }
        }
        // The same at leisure.
        let (_, tag) = tagged(&mut conn, "/f");
        let last = content(999);
        change(root, &last);
        root.set_mtime("f", 1);
        if is_strong(&tag) {
            let known = format!("If-None-Match: {tag}");
            let response = conn.http(request("GET", "/f", &[&known])).expect(200);
            assert_eq!(response.body, last.as_bytes(), "{how}");
            conn.http(request("GET", "/f", &[&format!("If-Match: {tag}")])).expect(412);
            assert_ne!(tagged(&mut conn, "/f").1, tag, "{how}");
        }
    }
}

pub(super) fn if_range_never_joins_versions(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    let mut conn = server.connect();
    let uploaded: (&str, Change) = ("left to a PUT", |_, _| ());
    for (how, change) in DISGUISES.into_iter().chain([uploaded]) {
        let (old, new) = (content(1), content(2));
        root.write("f", &old);
        root.set_mtime("f", 1);
        let (response, tag) = tagged(&mut conn, "/f");
        let date = response.field("last-modified").expect("Last-Modified").to_string();
        let resume = |conn: &mut Conn, validator: &str| {
            let fields = ["Range: bytes=8-", &format!("If-Range: {validator}")];
            conn.http(request("GET", "/f", &fields))
        };
        if is_strong(&tag) {
            assert_eq!(resume(&mut conn, &tag).expect(206).body, &old.as_bytes()[8..], "{how}");
        } else {
            assert_eq!(resume(&mut conn, &tag).expect(200).body, old.as_bytes(), "{how}");
        }
        for validator in [&format!("W/{}", tag.trim_start_matches("W/")), "\"x\"", "*", "junk"] {
            assert_eq!(
                resume(&mut conn, validator).expect(200).body,
                old.as_bytes(),
                "{validator}"
            );
        }
        change(root, &new);
        if how == uploaded.0 {
            let response = conn.http(http_put("/f", new.as_bytes()));
            assert!(matches!(response.status, 200 | 204), "{response:?}");
        }
        root.set_mtime("f", 1);
        for validator in [&tag, &date] {
            assert_eq!(
                resume(&mut conn, validator).expect(200).body,
                new.as_bytes(),
                "{how}: {validator}"
            );
        }
    }
}

pub(super) fn all_forms_of_dates(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    let mut conn = server.connect();
    // Fri, 14 Jul 2017 02:40:00 GMT
    const MODIFIED: u64 = 1_500_000_000;
    for (date, is_later) in [
        ("Fri, 14 Jul 2017 02:40:00 GMT", true),
        ("Friday, 14-Jul-17 02:40:00 GMT", true),
        ("Fri Jul 14 02:40:00 2017", true),
        ("Fri, 14 Jul 2017 02:39:60 GMT", true),
        ("Fri, 14 Jul 2017 02:39:59 GMT", false),
        ("Friday, 14-Jul-17 02:39:59 GMT", false),
        ("Fri Jul 14 02:39:59 2017", false),
        ("Fri, 07 Jul 2017 02:40:00 GMT", false),
        ("Fri Jul  7 02:40:00 2017", false),
        ("Sat, 31 Dec 2016 23:59:60 GMT", false),
        ("Thursday, 01-Jan-81 00:00:00 GMT", false),
        ("Thu, 01 Jan 1970 00:00:00 GMT", false),
        ("Wed, 31 Dec 1969 23:59:59 GMT", false),
        ("Wed Dec 31 23:59:59 1969", false),
        ("Mon, 01 Jan 1900 00:00:00 GMT", false),
        ("Fri, 31 Dec 9999 23:59:59 GMT", true),
    ] {
        root.write("f", "kept");
        root.set_mtime("f", MODIFIED);
        let (since, until) =
            (format!("If-Modified-Since: {date}"), format!("If-Unmodified-Since: {date}"));
        let (known, same) = if is_later { (304, 200) } else { (200, 412) };
        for method in ["GET", "HEAD"] {
            assert_eq!(conn.http(request(method, "/f", &[&since])).status, known, "{since}");
            assert_eq!(conn.http(request(method, "/f", &[&until])).status, same, "{until}");
        }
        let put = request("PUT", "/f", &[&until, "Content-Length: 4"]);
        let response = conn.http([&put[..], b"lost"].concat());
        assert_eq!(matches!(response.status, 200 | 204), is_later, "PUT, {until}: {response:?}");
        assert_eq!(root.read("f"), if is_later { b"lost" } else { b"kept" }, "PUT, {until}");
    }
    // What is no date is no condition.
    root.write("f", "kept");
    for date in [
        "",
        "some day",
        "1500000000",
        "Fri, 14 Jul 2017 02:40:00",
        "Fri, 14 Jul 2017 02:40:00 CEST",
        "fri, 14 jul 2017 02:40:00 gmt",
        "Fri, 14 Jul 17 02:40:00 GMT",
        "Fri, 31 Jun 2017 02:40:00 GMT",
        "Fri, 14 Jul 2017 24:00:00 GMT",
        "Fri, 14 Jul 2017 02:40:61 GMT",
        "Fri, 14 Jul 1017 02:40:00 GMT, Fri, 14 Jul 1017 02:40:00 GMT",
    ] {
        let (since, until) =
            (format!("If-Modified-Since: {date}"), format!("If-Unmodified-Since: {date}"));
        conn.http(request("GET", "/f", &[&since])).expect(200);
        conn.http(request("GET", "/f", &[&until])).expect(200);
        let put = request("PUT", "/f", &[&until, "Content-Length: 4"]);
        let response = conn.http([&put[..], b"kept"].concat());
        assert!(matches!(response.status, 200 | 204), "PUT, {until}: {response:?}");
    }
}

pub(super) fn a_file_older_than_1970(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("f", "old");
    let file = File::open(server.root().join("f")).expect("the file");
    let modified = SystemTime::UNIX_EPOCH - Duration::from_millis(86_400_500);
    let is_set = file.set_modified(modified).is_ok();
    let metadata = file.metadata().expect("its metadata");
    if !is_set || metadata.mtime() != -86_401 {
        eprintln!("SKIPPED: this file system has no times before 1970");
        return;
    }
    let mut conn = server.connect();
    let response = conn.http(http_get("/f")).expect(200);
    let date = "Tue, 30 Dec 1969 23:59:59 GMT";
    assert_eq!(response.field("last-modified"), Some(date));
    conn.http(request("GET", "/f", &[&format!("If-Modified-Since: {date}")])).expect(304);
    conn.http(request("GET", "/f", &[&format!("If-Unmodified-Since: {date}")])).expect(200);
    let before = "Tue, 30 Dec 1969 23:59:58 GMT";
    conn.http(request("GET", "/f", &[&format!("If-Modified-Since: {before}")])).expect(200);
    conn.http(request("GET", "/f", &[&format!("If-Unmodified-Since: {before}")])).expect(412);
}

pub(super) fn malformed_lists_of_tags(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("f", "kept");
    let mut conn = server.connect();
    for list in ["junk", "\"a", "a\"", "\"a\" \"b\"", "w/\"a\"", "*, \"a\"", "\"a\", *"] {
        for name in ["If-Match", "If-None-Match"] {
            let field = format!("{name}: {list}");
            for target in ["/f", "/new"] {
                let put = request("PUT", target, &[&field, "Content-Length: 4"]);
                conn.http([&put[..], b"lost"].concat()).expect(400);
                stays_http(&mut conn);
            }
            // A client that asks before it sends the body is refused before it sends it.
            let fields = [&field, "Content-Length: 4", "Expect: 100-continue"];
            conn.http(request("PUT", "/f", &fields)).expect(400);
            conn.closed();
            conn = server.connect();
        }
        conn.http(request("GET", "/f", &[&format!("If-None-Match: {list}")])).expect(200);
        let response = conn.http(request("GET", "/f", &[&format!("If-Match: {list}")]));
        assert!(matches!(response.status, 400 | 412), "{list}: {response:?}");
    }
    // A client that has two lists has one.
    let tag = tagged(&mut conn, "/f").1;
    let two = ["If-None-Match: \"a\"", &format!("If-None-Match: {tag}")];
    conn.http(request("GET", "/f", &two)).expect(304);
    assert_eq!(server.root().names(), ["f"]);
    assert_eq!(server.root().read("f"), b"kept");
}

pub(super) fn listings(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("d/f", "hello");
    let mut conn = server.connect();
    let tag = tagged(&mut conn, "/d/f").1;
    for target in ["/", "/d", "/d/"] {
        for accept in ["Accept: text/html", "Accept: application/json"] {
            let plain = conn.http(request("GET", target, &[accept])).expect(200);
            assert_eq!((plain.field("etag"), plain.field("last-modified")), (None, None));
            for (field, status) in [
                ("If-Match: *", 200),
                ("If-Match: \"x\"", 412),
                (&*format!("If-Match: {tag}"), 412),
                ("If-None-Match: *", 304),
                ("If-None-Match: \"x\"", 200),
                (&*format!("If-None-Match: {tag}"), 200),
                // It has no date to compare.
                ("If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT", 200),
                ("If-Unmodified-Since: Mon, 01 Jan 1900 00:00:00 GMT", 200),
                ("Range: bytes=0-0", 200),
            ] {
                for method in ["GET", "HEAD"] {
                    let response = conn.http(request(method, target, &[accept, field]));
                    assert_eq!(response.status, status, "{method} {target}, {field}");
                }
            }
            let known = conn.http(request("GET", target, &[accept, "If-None-Match: *"]));
            assert_eq!(known.field("vary"), plain.field("vary"));
            assert_eq!(known.field("cache-control"), plain.field("cache-control"));
        }
    }
    stays_http(&mut conn);
}

pub(super) fn the_order_of_refusals(subject: &Subject) {
    let server = subject.start(&[]);
    oddities(server.root());
    server.root().write("f", "hello");
    let mut conn = server.connect();
    for (target, status) in [
        ("/none", 404),
        ("/none/x", 404),
        ("/f/x", 404),
        ("/f/", 400),
        ("/..", 400),
        ("/fifo", 409),
    ] {
        for field in [
            "If-Match: *",
            "If-Match: \"x\"",
            "If-None-Match: *",
            "If-Unmodified-Since: Mon, 01 Jan 1900 00:00:00 GMT",
            "If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT",
        ] {
            for method in ["GET", "HEAD"] {
                let response = conn.http(request(method, target, &[field]));
                assert_eq!(response.status, status, "{method} {target}, {field}");
            }
        }
    }
    // The range is looked at last.
    for (fields, status) in [
        (vec!["Range: bytes=9-", "If-None-Match: *"], 304),
        (vec!["Range: bytes=9-", "If-Match: \"x\""], 412),
        (vec!["Range: bytes=0-1", "If-Match: \"x\""], 412),
        (vec!["Range: bytes=0-1", "If-Match: *"], 206),
        (vec!["Range: bytes=9-", "If-Match: *"], 416),
        (vec!["Range: bytes=9-", "If-Range: \"x\""], 200),
        (vec!["If-Range: \"x\""], 200),
        (vec!["If-Match: \"x\"", "If-None-Match: *"], 412),
    ] {
        let response = conn.http(request("GET", "/f", &fields));
        assert_eq!(response.status, status, "{fields:?}");
    }
    // OPTIONS has nothing to compare.
    let options = conn.http(request("OPTIONS", "/f", &["If-Match: \"x\""]));
    assert!(matches!(options.status, 200 | 204), "{options:?}");
    stays_http(&mut conn);
}
