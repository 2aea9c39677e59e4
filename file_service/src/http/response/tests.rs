use super::super::request::{Parsed, parse};
use super::*;
use crate::http::media::{LONGEST_EXTENSION, TYPES, UNKNOWN_TYPE, is_harmless, media_type};
use crate::protocol::{Code, push_url};
use crate::store::Stat;

const MTIME: i64 = 784_111_777;

fn version(size: u64) -> Version {
    Version::settled(size, MTIME)
}

fn request(head: &str) -> Request {
    match parse(head.as_bytes()) {
        Parsed::Complete { request, .. } => request,
        other => panic!("{head:?}: {other:?}"),
    }
}

/// A response as a client reads it.
#[derive(Debug)]
struct Response {
    status: String,
    fields: Vec<(String, String)>,
    body: String,
}

impl Response {
    fn read(bytes: &[u8]) -> Response {
        let text = std::str::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().to_owned();
        let fields = lines
            .map(|line| {
                let (name, value) = line.split_once(": ").unwrap();
                (name.to_owned(), value.to_owned())
            })
            .collect();
        // An independent parser has no objections.
        let mut headers = [httparse::EMPTY_HEADER; 32];
        assert!(httparse::Response::new(&mut headers).parse(bytes).unwrap().is_complete());
        let response = Response { status, fields, body: body.to_owned() };
        assert!(httpdate::parse_http_date(response.field("Date").unwrap()).is_ok());
        response
    }

    /// The value of a field that appears at most once.
    fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(n, _)| n == name).map(|(_, v)| &**v);
        let value = values.next();
        assert_eq!(values.next(), None, "{name} twice");
        value
    }

    fn has(&self, fields: &[(&str, Option<&str>)]) {
        for (name, value) in fields {
            assert_eq!(self.field(name), *value, "{name} in {self:?}");
        }
    }
}

fn file(head: &str, version: &Version) -> Response {
    let request = request(head);
    let decision = request.decide(version);
    let mut out = Vec::new();
    let path = request.path.clone().unwrap();
    write_file_header(&mut out, &request, &path, version, &decision, request.keep_alive);
    Response::read(&out)
}

#[test]
fn whole_file_is_200() {
    for method in ["GET", "HEAD"] {
        let response =
            file(&format!("{method} /d/a.html HTTP/1.1\r\nHost: a\r\n\r\n"), &version(100));
        assert_eq!(response.status, "HTTP/1.1 200 OK");
        assert_eq!(response.body, "");
        response.has(&[
            ("Content-Length", Some("100")),
            ("Content-Type", Some("text/html; charset=utf-8")),
            ("Content-Range", None),
            ("Last-Modified", Some("Sun, 06 Nov 1994 08:49:37 GMT")),
            ("Accept-Ranges", Some("bytes")),
            ("X-Content-Type-Options", Some("nosniff")),
            ("Connection", Some("keep-alive")),
        ]);
        let etag = response.field("ETag").unwrap();
        assert_eq!(etag.as_bytes(), Etag::of(&version(100)).as_bytes());
    }
}

#[test]
fn range_of_file_is_206() {
    let head = "GET /a HTTP/1.0\r\nRange: bytes=10-19\r\n\r\n";
    let response = file(head, &version(100));
    assert_eq!(response.status, "HTTP/1.1 206 Partial Content");
    response.has(&[
        ("Content-Length", Some("10")),
        ("Content-Range", Some("bytes 10-19/100")),
        ("Content-Type", Some("application/octet-stream")),
        ("Connection", Some("close")),
    ]);
    assert!(response.field("ETag").is_some());
}

#[test]
fn range_beyond_end_is_416() {
    let head = "GET /a HTTP/1.1\r\nHost: a\r\nRange: bytes=100-\r\n\r\n";
    let response = file(head, &version(100));
    assert_eq!(response.status, "HTTP/1.1 416 Range Not Satisfiable");
    response.has(&[
        ("Content-Range", Some("bytes */100")),
        ("Content-Type", Some(TEXT)),
        ("ETag", None),
    ]);
    assert_eq!(response.field("Content-Length"), Some(&*response.body.len().to_string()));
}

#[test]
fn current_copy_is_304() {
    let head = "GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n";
    let response = file(head, &version(100));
    assert_eq!(response.status, "HTTP/1.1 304 Not Modified");
    assert_eq!(response.body, "");
    response.has(&[("Content-Length", None), ("Content-Type", None)]);
    assert!(response.field("ETag").is_some() && response.field("Last-Modified").is_some());
}

#[test]
fn other_version_is_412() {
    for (method, has_body) in [("GET", true), ("HEAD", false)] {
        let head = format!("{method} /a HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"\r\n\r\n");
        let response = file(&head, &version(100));
        assert_eq!(response.status, "HTTP/1.1 412 Precondition Failed");
        assert_eq!(!response.body.is_empty(), has_body);
        assert_eq!(response.field("Content-Length"), Some("31"));
    }
}

#[test]
fn malformed_list_of_tags_is_400() {
    let head = "GET /a HTTP/1.1\r\nHost: a\r\nIf-Match: x\r\n\r\n";
    let response = file(head, &version(100));
    assert_eq!(response.status, "HTTP/1.1 400 Bad Request");
    response.has(&[("Connection", Some("keep-alive")), ("ETag", None)]);
}

#[test]
fn unsettled_file_has_no_tag() {
    let young = Version { is_settled: false, ..version(100) };
    for (condition, status) in [
        ("", "200 OK"),
        ("If-None-Match: *\r\n", "304 Not Modified"),
        ("Range: bytes=0-0\r\n", "206 Partial Content"),
    ] {
        let head = format!("GET /a HTTP/1.1\r\nHost: a\r\n{condition}\r\n");
        let response = file(&head, &young);
        assert_eq!(response.status, format!("HTTP/1.1 {status}"));
        response.has(&[("ETag", None), ("Last-Modified", Some("Sun, 06 Nov 1994 08:49:37 GMT"))]);
    }
}

#[test]
fn last_bytes_of_empty_file_are_200() {
    let range = |value| {
        file(&format!("GET /a HTTP/1.1\r\nHost: a\r\nRange: bytes={value}\r\n\r\n"), &version(0))
    };
    for value in ["0-", "-0"] {
        let response = range(value);
        assert_eq!(response.status, "HTTP/1.1 416 Range Not Satisfiable", "{value}");
        response.has(&[("Content-Range", Some("bytes */0"))]);
    }
    let response = range("-5");
    assert_eq!(response.status, "HTTP/1.1 200 OK");
    response.has(&[("Content-Range", None), ("Content-Length", Some("0"))]);
}

#[test]
fn refused_listing_says_why() {
    for (decision, is_head, status) in [
        (Decision::NotModified, false, "304 Not Modified"),
        (Decision::NotModified, true, "304 Not Modified"),
        (Decision::PreconditionFailed, false, "412 Precondition Failed"),
        (Decision::PreconditionFailed, true, "412 Precondition Failed"),
        (Decision::Malformed, false, "400 Bad Request"),
    ] {
        let mut out = Vec::new();
        write_listing_decision(&mut out, &decision, is_head, true);
        let response = Response::read(&out);
        assert_eq!(response.status, format!("HTTP/1.1 {status}"));
        response.has(&[("ETag", None), ("Last-Modified", None)]);
        if decision == Decision::NotModified {
            response.has(&[
                ("Vary", Some("Accept")),
                ("Cache-Control", Some("no-cache")),
                ("Content-Length", None),
            ]);
            assert_eq!(response.body, "");
        } else {
            assert_eq!(response.body.is_empty(), is_head);
        }
    }
}

#[test]
fn extension_decides_media_type() {
    for (name, media) in [
        ("/a.txt", "text/plain"),
        ("/a.TXT", "text/plain"),
        ("/a.tar.gz", "application/gzip"),
        ("/a.json", "application/json"),
        ("/a.png", "image/png"),
        ("/a.svg", "image/svg+xml"),
        ("/a.js", "text/javascript"),
        ("/a.mjs", "text/javascript"),
        ("/a.MJS", "text/javascript"),
        ("/a.woff", "font/woff"),
        ("/a.woff2", "font/woff2"),
        ("/a.otf", "font/otf"),
        ("/a.ttf", "font/ttf"),
        ("/a.ttc", "font/collection"),
        ("/a.wasm", "application/wasm"),
        ("/a.md", "text/markdown"),
        ("/a.yaml", "application/yaml"),
        ("/a.yml", "application/yaml"),
        ("/a.toml", "application/toml"),
        ("/a.zst", "application/zstd"),
        ("/a.mkv", "video/matroska"),
        ("/a.webm", "video/webm"),
        ("/a.m4a", "audio/mp4"),
        ("/a.flac", "audio/flac"),
        ("/a.opus", "audio/ogg"),
        ("/a.avif", "image/avif"),
        ("/a.webp", "image/webp"),
        ("/a.jxl", "image/jxl"),
        ("/a.heic", "image/heic"),
        ("/a.ico", "image/vnd.microsoft.icon"),
        ("/a.vtt", "text/vtt"),
        ("/a.ics", "text/calendar"),
        ("/a.vcf", "text/vcard"),
        ("/a.glb", "model/gltf-binary"),
        ("/a.stl", "model/stl"),
        ("/a.geojson", "application/geo+json"),
        ("/a.jsonld", "application/ld+json"),
        ("/a.webmanifest", "application/manifest+json"),
        ("/a.epub", "application/epub+zip"),
        ("/a.sqlite3", "application/vnd.sqlite3"),
        ("/a.rar", "application/vnd.rar"),
        ("/d.txt/a", "application/octet-stream"),
        ("/.txt", "application/octet-stream"),
        ("/a.", "application/octet-stream"),
        ("/a.%FF", "application/octet-stream"),
        ("/a.nobody-knows", "application/octet-stream"),
        ("/", "application/octet-stream"),
    ] {
        assert_eq!(media_type(&RelPath::decode(name.as_bytes()).unwrap()), media, "{name}");
    }
}

#[test]
fn active_content_is_sent_as_attachment() {
    let sent =
        |target: &str| file(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), &version(100));
    for name in [
        "a.html", "a.htm", "a.xhtml", "a.svg", "a.xml", "a.xsl", "a.rdf", "a.mht", "a.swf",
        "a.HTML",
    ] {
        let response = sent(&format!("/d/{name}"));
        let offer = format!("attachment; filename=\"{name}\"");
        response.has(&[
            ("Content-Disposition", Some(&*offer)),
            ("Content-Security-Policy", Some("sandbox")),
            ("X-Content-Type-Options", Some("nosniff")),
        ]);
    }
    for name in [
        "a",
        "a.bin",
        "a.txt",
        "a.png",
        "a.pdf",
        "a.json",
        "a.mp4",
        "a.js",
        "a.mjs",
        "a.css",
        "a.rs",
        "a.zip",
        "a.yaml",
        "a.toml",
        "a.zst",
        "a.woff2",
        "a.wasm",
        "a.md",
        "a.ico",
        "a.geojson",
    ] {
        let nothing = [("Content-Disposition", None), ("Content-Security-Policy", None)];
        sent(&format!("/{name}")).has(&nothing);
        let offer = format!("attachment; filename=\"{name}\"");
        sent(&format!("/{name}?download"))
            .has(&[("Content-Disposition", Some(&*offer)), nothing[1]]);
    }
    for (name, offer) in [
        ("a b.txt", r#"attachment; filename="a b.txt""#),
        ("a\"b.txt", r#"attachment; filename="a_b.txt"; filename*=UTF-8''a%22b.txt"#),
        ("a\\b", r#"attachment; filename="a_b"; filename*=UTF-8''a%5Cb"#),
        ("50%41.txt", r#"attachment; filename="50_41.txt"; filename*=UTF-8''50%2541.txt"#),
        ("é'*.txt", r#"attachment; filename="__ _.txt"; filename*=UTF-8''%C3%A9%27%20%2A.txt"#),
        ("日本", r#"attachment; filename="__"; filename*=UTF-8''%E6%97%A5%E6%9C%AC"#),
        ("\u{202e}a", r#"attachment; filename="_a"; filename*=UTF-8''%E2%80%AEa"#),
    ] {
        let name = name.replace('*', " *");
        let mut target = String::new();
        push_url(&mut target, name.as_bytes());
        sent(&format!("/{target}?download")).has(&[("Content-Disposition", Some(offer))]);
    }
    let offer = "attachment; filename=\"a_\"; filename*=UTF-8''a%EF%BF%BD";
    sent("/a%FF?download").has(&[("Content-Disposition", Some(offer))]);
    let gone = file("GET /a.html HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n", &version(100));
    gone.has(&[("Content-Disposition", None), ("Content-Security-Policy", None)]);
}

#[test]
fn harmless_types_exclude_markup() {
    for extension in [
        "html", "htm", "shtml", "xhtml", "xht", "svg", "svgz", "xml", "xsl", "xslt", "rss", "atom",
        "mathml", "mml", "rdf", "xul", "mht", "mhtml", "eml", "swf", "hta", "htc", "dtd", "wsdl",
        "xsd", "xlf", "ttml",
    ] {
        let media = media_type(&RelPath::decode(format!("/a.{extension}").as_bytes()).unwrap());
        assert!(!is_harmless(media) || media == UNKNOWN_TYPE, "{extension}: {media}");
    }
    // Whatever is called XML may hold a script.
    for (_, media) in TYPES {
        assert!(!media.contains("xml") || !is_harmless(media), "{media}");
    }
}

#[test]
fn types_are_sorted_by_extension() {
    assert!(TYPES.is_sorted_by(|(a, _), (b, _)| a < b));
    let longest = TYPES.iter().map(|(extension, _)| extension.len()).max();
    assert_eq!(longest, Some(LONGEST_EXTENSION));
    for (extension, media) in TYPES {
        assert_eq!(extension.to_ascii_lowercase(), *extension);
        let path = RelPath::decode(format!("/a.{extension}").as_bytes()).unwrap();
        assert_eq!(media_type(&path), *media);
        // No private names: those are what the table replaces.
        assert!(!media.contains("/x-"), "{media}");
    }
}

#[test]
fn documents_and_uploads_have_their_fields() {
    for (json, media) in [(true, JSON_TYPE), (false, PAGE_TYPE)] {
        let mut out = Vec::new();
        write_document_header(&mut out, 7, json, true);
        let response = Response::read(&out);
        assert_eq!(response.status, "HTTP/1.1 200 OK");
        response.has(&[
            ("Content-Length", Some("7")),
            ("Content-Type", Some(media)),
            ("Vary", Some("Accept")),
            ("Connection", Some("keep-alive")),
        ]);
        assert!(response.field("Content-Security-Policy").is_some());
    }
    for (created, status, length) in
        [(true, "HTTP/1.1 201 Created", Some("0")), (false, "HTTP/1.1 204 No Content", None)]
    {
        let (settled, young) = (version(9), Version { is_settled: false, ..version(9) });
        for known in [None, Some(&young), Some(&settled)] {
            let mut out = Vec::new();
            write_stored(&mut out, created, known, false);
            let response = Response::read(&out);
            assert_eq!((&*response.status, &*response.body), (status, ""));
            let tag = known
                .filter(|version| version.is_settled)
                .map(|version| String::from_utf8(Etag::of(version).as_bytes().to_vec()).unwrap());
            response.has(&[
                ("Content-Length", length),
                ("Content-Type", None),
                ("ETag", tag.as_deref()),
                ("Connection", Some("close")),
            ]);
        }
    }
}

#[test]
fn line_break_in_value_is_dropped() {
    let mut out = Vec::new();
    write_header(&mut out, 200, "", 0, false, &[("Location", "/a\r\nX: y")]);
    Response::read(&out).has(&[("Location", Some("/aX: y")), ("X", None)]);
}

#[test]
fn allow_lists_the_methods() {
    for (read_only, allow) in [(false, "GET, HEAD, OPTIONS, PUT"), (true, "GET, HEAD, OPTIONS")] {
        let mut out = Vec::new();
        write_options(&mut out, true, read_only);
        let response = Response::read(&out);
        assert_eq!(response.status, "HTTP/1.1 204 No Content");
        response.has(&[("Allow", Some(allow)), ("Content-Length", None)]);
        assert_eq!(response.body, "");
        out.clear();
        write_error(&mut out, 405, "no", false, true, read_only);
        Response::read(&out).has(&[("Allow", Some(allow)), ("Content-Length", Some("3"))]);
        out.clear();
        write_error(&mut out, 400, "no", false, true, read_only);
        Response::read(&out).has(&[("Allow", None)]);
    }
}

#[test]
fn refusal_has_code_and_message() {
    let codes = [
        Code::BadCommand,
        Code::BadArgument,
        Code::BadPath,
        Code::BadRange,
        Code::NotFound,
        Code::Denied,
        Code::NotAFile,
        Code::NotADirectory,
        Code::ReadOnly,
        Code::TooLarge,
        Code::NoSpace,
        Code::LineTooLong,
        Code::Busy,
        Code::Timeout,
        Code::Internal,
    ];
    for code in codes {
        for is_head in [false, true] {
            let mut out = Vec::new();
            let line = format!("{code}: {}", code.message());
            write_error(&mut out, code.http_status(), &line, is_head, false, false);
            let response = Response::read(&out);
            let (status, phrase) = (code.http_status(), reason_phrase(code.http_status()));
            assert!(!phrase.is_empty());
            assert_eq!(response.status, format!("HTTP/1.1 {status} {phrase}"));
            let body = format!("{}: {}\n", code.as_str(), code.message());
            assert_eq!(response.body, if is_head { "" } else { &*body });
            response.has(&[
                ("Content-Length", Some(&*body.len().to_string())),
                ("Content-Type", Some(TEXT)),
                ("X-Content-Type-Options", Some("nosniff")),
                ("Connection", Some("close")),
            ]);
        }
    }
    for status in [405, 411, 413, 414, 417, 431, 501, 505] {
        assert!(!reason_phrase(status).is_empty(), "{status}");
    }
}

#[test]
fn last_modified_is_true_or_absent() {
    let year_10000 = 253_402_300_800;
    for (mtime, expected) in [
        (0, Some("Thu, 01 Jan 1970 00:00:00 GMT")),
        (-1, Some("Wed, 31 Dec 1969 23:59:59 GMT")),
        (-62_135_596_800, Some("Mon, 01 Jan 0001 00:00:00 GMT")),
        (-62_135_596_801, None),
        (i64::MIN, None),
    ] {
        let Version { stat, .. } = version(1);
        let version = Version { stat: Stat { mtime, ..stat }, ..version(1) };
        let response = file("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", &version);
        response.has(&[("Last-Modified", expected)]);
    }
    // The future is sent as now.
    for mtime in [now() + 3_600, year_10000, i64::MAX] {
        let Version { stat, .. } = version(1);
        let version = Version { stat: Stat { mtime, ..stat }, ..version(1) };
        let response = file("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", &version);
        assert_eq!(response.field("Last-Modified"), response.field("Date"));
    }
}
