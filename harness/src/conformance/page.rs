//! The page and the JSON of a folder: links, buttons, names; and the types of files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use super::http_get;
use crate::wire::Conn;
use crate::{Root, Subject};

/// The page of a folder.
#[track_caller]
fn page(conn: &mut Conn, target: &str) -> String {
    let page = conn.http(browser_get(target, "h")).expect(200);
    String::from_utf8(page.body).expect("UTF-8")
}

/// A `GET` as a browser sends it.
fn browser_get(target: &str, host: &str) -> Vec<u8> {
    let fields = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n\r\n").into_bytes()
}

/// The values of an attribute, wherever it stands on the page, unescaped.
fn values(html: &str, attribute: &str) -> Vec<String> {
    let start = format!(" {attribute}=\"");
    let raw = html.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
    raw.map(|value| value.replace("&#39;", "'").replace("&amp;", "&")).collect()
}

/// What stands between two tags of a page.
#[track_caller]
fn between<'a>(html: &'a str, start: &str, end: &str) -> &'a str {
    let inner = html.split_once(start).and_then(|(_, rest)| rest.split_once(end));
    inner.unwrap_or_else(|| panic!("no {start} ... {end} in {html}")).0
}

fn a_tree(root: &Root) {
    for name in ["t/a.txt", "t/b c?#.html", "t/sub/c", "t/sub/deep/d.svg"] {
        root.write(name, name);
    }
    root.mkdir("t/empty");
    root.write("outside", "x");
}

/// Follows every link below `start` as a mirror does, and counts the links to each target.
fn crawl(conn: &mut Conn, start: &str) -> (BTreeMap<String, String>, BTreeMap<String, usize>) {
    let below = start.split('?').next().unwrap_or_default();
    let (mut pages, mut linked) = (BTreeMap::new(), BTreeMap::new());
    let mut queue = vec![start.to_owned()];
    while let Some(target) = queue.pop() {
        let response = conn.http(http_get(&target)).expect(200);
        let kind = response.field("content-type").unwrap_or_default();
        let is_page = response.field("content-disposition").is_none() && kind.contains("html");
        let body = String::from_utf8(response.body).expect("UTF-8");
        if !is_page {
            pages.insert(target, String::new());
            continue;
        }
        for link in values(&body, "href").into_iter().filter(|link| link.starts_with(below)) {
            *linked.entry(link.clone()).or_default() += 1;
            if !pages.contains_key(&link) && link != target && !queue.contains(&link) {
                queue.push(link);
            }
        }
        pages.insert(target, body);
    }
    (pages, linked)
}

pub(super) fn mirror_fetches_each_entry_once(subject: &Subject) {
    let server = subject.start(&[]);
    a_tree(server.root());
    let mut conn = server.connect();
    let files = ["/t/a.txt", "/t/b%20c%3F%23.html", "/t/sub/c", "/t/sub/deep/d.svg"];
    let folders = ["/t/", "/t/empty/", "/t/sub/", "/t/sub/deep/"];
    let mut all = [files, folders].concat();
    all.sort_unstable();
    let (met, linked) = crawl(&mut conn, "/t/");
    assert_eq!(met.keys().collect::<Vec<_>>(), all);
    for file in files {
        assert_eq!(linked[file], 1, "links to {file}");
    }
    // A crawler finds no query and no form that leads elsewhere.
    for (target, html) in met {
        assert!(!html.contains(" action="), "{target}: {html}");
        assert!(values(&html, "href").iter().all(|link| !link.contains('?')), "{target}");
    }
    // A mirror that begins in another order keeps it, and fetches everything once as well.
    let (met, _) = crawl(&mut conn, "/t/?sort=size&order=desc");
    let plain: Vec<&str> =
        met.keys().map(|target| target.split('?').next().unwrap_or_default()).collect();
    assert_eq!(plain, all);
}

pub(super) fn buttons_sort_and_save(subject: &Subject) {
    let server = subject.start(&[]);
    for (name, size, time) in [("a.txt", 2, 3), ("b.html", 1, 2), ("c 'd'", 3, 1)] {
        server.root().write(name, vec![b'x'; size]);
        server.root().set_mtime(name, 1_000_000_000 + time);
    }
    let mut conn = server.connect();
    let html = page(&mut conn, "/");
    let columns = between(&html, "<thead>", "</thead>");
    let mut orders = Vec::new();
    for form in columns.split("<form>").skip(1) {
        // The fields of the form, in their order, as a browser puts them into the query.
        let (names, contents) = (values(form, "name"), values(form, "value"));
        let pairs: Vec<String> =
            names.iter().zip(&contents).map(|(n, v)| format!("{n}={v}")).collect();
        let sorted = page(&mut conn, &format!("/?{}", pairs.join("&")));
        orders.push(values(between(&sorted, "<tbody>", "</tbody>"), "href").join(" "));
    }
    let (up, down) = ("/a.txt /b.html /c%20%27d%27", "/c%20%27d%27 /b.html /a.txt");
    assert_eq!(orders, [down, "/c%20%27d%27 /a.txt /b.html", up]);
    let targets = values(&html, "formaction");
    assert_eq!(targets.join(" "), up);
    for target in targets {
        let response = conn.http(browser_get(&format!("{target}?download="), "h")).expect(200);
        let offer = response.field("content-disposition").unwrap_or_default();
        assert!(offer.starts_with("attachment;"), "{target}: {offer}");
    }
}

pub(super) fn json_names_are_exact(subject: &Subject) {
    let server = subject.start(&[]);
    let names: [&[u8]; 8] =
        [b"\xff", b"%FF", b"\xfe", "\u{fffd}".as_bytes(), b"a  b?#", "é".as_bytes(), b"a%20", b"~"];
    for name in names {
        server.root().write(OsStr::from_bytes(name), name);
    }
    let mut conn = server.connect();
    let request = "GET / HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n";
    let json: serde_json::Value =
        serde_json::from_slice(&conn.http(request).expect(200).body).expect("JSON");
    let entries = json.as_array().expect("an array");
    assert_eq!(entries.len(), names.len());
    let mut found = Vec::new();
    for entry in entries {
        let text = |key: &str| entry[key].as_str().unwrap_or_else(|| panic!("{key} of {entry}"));
        let (name, encoded) = (text("name"), text("encoded"));
        // The encoded name leads to the file, by either protocol.
        let content = conn.http(http_get(&format!("/{encoded}"))).expect(200).body;
        assert_eq!(String::from_utf8_lossy(&content), name, "{entry}");
        found.push((content, encoded));
    }
    // A server that serves one client at a time serves the next one now.
    drop(conn);
    let mut conn = server.connect();
    for (content, encoded) in &found {
        assert_eq!(&conn.ask(format!("GET {encoded}")).ok(), content, "{encoded}");
    }
    let mut found: Vec<&[u8]> = found.iter().map(|(content, _)| &content[..]).collect();
    found.sort_unstable();
    let mut names = names.to_vec();
    names.sort_unstable();
    assert_eq!(found, names);
}

pub(super) fn types_follow_the_registry(subject: &Subject) {
    let server = subject.start(&[]);
    let mut conn = server.connect();
    for (name, expected) in [
        ("a.mjs", "text/javascript; charset=utf-8"),
        ("a.MJS", "text/javascript; charset=utf-8"),
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.md", "text/markdown; charset=utf-8"),
        ("a.yaml", "application/yaml"),
        ("a.toml", "application/toml"),
        ("a.wasm", "application/wasm"),
        ("a.zst", "application/zstd"),
        ("a.woff", "font/woff"),
        ("a.woff2", "font/woff2"),
        ("a.otf", "font/otf"),
        ("a.avif", "image/avif"),
        ("a.webp", "image/webp"),
        ("a.m4a", "audio/mp4"),
        ("a.flac", "audio/flac"),
        ("a.mkv", "video/matroska"),
        ("a.geojson", "application/geo+json"),
    ] {
        server.root().write(name, "x");
        let response = conn.http(http_get(&format!("/{name}"))).expect(200);
        assert_eq!(response.field("content-type"), Some(expected), "{name}");
        // None of them can run a script, so a browser may show it.
        assert_eq!(response.field("content-disposition"), None, "{name}");
    }
}

pub(super) fn different_names_look_different(subject: &Subject) {
    let server = subject.start(&[]);
    let names = ["a b", "a  b", "a   b", " a b", "a b ", "a\u{a0}b", "ab", "a\u{200b}b", " ", "  "];
    for name in names {
        server.root().write(name, "x");
    }
    server.root().write(OsStr::from_bytes(b"a\xffb"), "x");
    server.root().write(OsStr::from_bytes(b"a\xfeb"), "x");
    let html = page(&mut server.connect(), "/");
    let rows = between(&html, "<tbody>", "</tbody>");
    // The markup alone distinguishes them, whatever the style does about white space.
    let collapse = |name: &str| name.split_whitespace().collect::<Vec<_>>().join(" ");
    let shown = rows.split("<bdi>").skip(1).filter_map(|row| row.split("</bdi>").next());
    let mut shown: Vec<String> = shown.map(collapse).collect();
    shown.sort();
    shown.dedup();
    assert_eq!(shown.len(), names.len() + 2, "{shown:?}");
    assert!(!shown.contains(&String::new()), "{shown:?}");
}

pub(super) fn uploads_without_scripts_are_explained(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().mkdir("d e");
    let address = server.address().to_string();
    let mut conn = server.connect();
    for target in ["/d%20e", "/d%20e/", "/d%20e/?sort=size"] {
        let html = conn.http(browser_get(target, &address)).expect(200).body;
        let html = String::from_utf8(html).expect("UTF-8");
        let hint = between(&html, "<noscript>", "</noscript>").replace("&quot;", "\"");
        let command = format!("curl -T FILE \"http://{address}/d%20e/\"");
        assert!(hint.contains(&command), "{hint}");
    }
    // A host that a shell would expand does not get into the command.
    let html = conn.http(browser_get("/", "$(id)")).expect(200).body;
    let html = String::from_utf8(html).expect("UTF-8");
    assert!(html.contains("curl -T FILE") && !html.contains("$(id)"), "{html}");
    let read_only = subject.start(&["--read-only"]);
    assert!(!page(&mut read_only.connect(), "/").contains("<noscript>"));
}
