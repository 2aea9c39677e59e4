use super::*;
use proptest::prelude::*;

/// The request of a head, which must be whole.
fn request(head: &str) -> Request {
    match parse(head.as_bytes()) {
        Parsed::Complete { request, header_len } if header_len == head.len() => request,
        other => panic!("{head:?}: {other:?}"),
    }
}

/// The request of a `GET` with these fields beside `Host`.
fn with(fields: &str) -> Request {
    request(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn status(head: &str) -> u16 {
    match parse(head.as_bytes()) {
        Parsed::Invalid { status, .. } => status,
        other => panic!("{head:?}: {other:?}"),
    }
}

fn status_with(fields: &str) -> u16 {
    status(&format!("PUT /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

fn is_partial(input: &[u8]) -> bool {
    matches!(parse(input), Parsed::Partial)
}

#[test]
fn plain_request_has_defaults() {
    let head = "GET /a%20b/c HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: x\r\n\r\n";
    let request = request(head);
    assert_eq!(request.method, Method::Get);
    assert_eq!(request.path.unwrap().as_bytes(), b"a b/c");
    assert!(request.keep_alive && !request.wants_json);
    assert_eq!(request.body, Body::None);
    assert!(!request.has_content_range);
    assert_eq!(request.expect, Expect::None);
    assert!(request.range.is_none() && request.conditions.is_none());
    assert!(request.page_origin.is_none() && request.view == View::default());
}

#[test]
fn bytes_behind_header_are_ignored() {
    let head = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
    for after in [&b"GET /b HTTP/1.1\r\n"[..], b"\n\n\xff", &[b'x'; 2 * MAX_HEADER]] {
        match parse(&[head, after].concat()) {
            Parsed::Complete { header_len, .. } => assert_eq!(header_len, head.len()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn method_names_are_recognised() {
    for (name, method) in [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("PUT", Method::Put),
        ("OPTIONS", Method::Options),
        ("POST", Method::NotAllowed),
        ("DELETE", Method::NotAllowed),
        ("PATCH", Method::NotAllowed),
        ("TRACE", Method::NotAllowed),
        ("CONNECT", Method::NotAllowed),
        ("BREW", Method::Unknown),
        ("get", Method::Unknown),
    ] {
        assert_eq!(request(&format!("{name} / HTTP/1.0\r\n\r\n")).method, method);
    }
}

#[test]
fn malformed_request_line_is_refused() {
    for (line, expected) in [
        ("", 400),
        ("GET", 400),
        ("GET /", 400),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        (" GET / HTTP/1.1", 400),
        ("GET\t/ HTTP/1.1", 400),
        ("GET /a b HTTP/1.1", 400),
        ("G@T / HTTP/1.1", 400),
        ("GET /\t HTTP/1.1", 400),
        ("GET /\r HTTP/1.1", 400),
        ("GET /\0 HTTP/1.1", 400),
        ("GET /\x7f HTTP/1.1", 400),
        ("GET / HTTP/1.1\r", 400),
        ("GET / http/1.1", 400),
        ("GET / HTTP/11", 400),
        ("GET / HTTP/1.10", 400),
        ("GET / HTTP/2.0", 505),
        ("GET / HTTP/0.9", 505),
        ("PRI * HTTP/2.0", 505),
        ("GET /a b HTTP/2.0", 400),
    ] {
        assert_eq!(status(&format!("{line}\r\nHost: a\r\n\r\n")), expected, "{line:?}");
    }
}

#[test]
fn higher_minor_version_is_1_1() {
    for version in ["1.2", "1.9"] {
        let head = |fields: &str| format!("PUT /a HTTP/{version}\r\n{fields}\r\n");
        assert_eq!(status(&head("")), 400, "a host is required");
        let request = request(&head("Host: a\r\nTransfer-Encoding: chunked\r\n"));
        assert!(request.keep_alive && request.body == Body::Chunked);
    }
}

#[test]
fn target_becomes_a_path() {
    let path = |line: &str| {
        let request = request(&format!("{line} HTTP/1.1\r\nHost: a\r\n\r\n"));
        request.path.map(|path| String::from_utf8(path.as_bytes().to_vec()).unwrap())
    };
    for (line, expected) in [
        ("GET /", ""),
        ("GET /a/b", "a/b"),
        ("GET /a/", "a"),
        ("GET /a?b=/../c", "a"),
        ("GET /a#b", "a"),
        ("GET /?x", ""),
        ("GET /%3Fa%23", "?a#"),
        ("GET /ä", "ä"),
        ("GET /a+b", "a+b"),
        ("GET http://h/a", "a"),
        ("GET HTTP://h:80/a?b", "a"),
        ("GET http://[::1]:80/a", "a"),
        ("GET http://h", ""),
        ("GET http://h?x", ""),
        ("OPTIONS *", ""),
        ("OPTIONS /a", "a"),
    ] {
        assert_eq!(path(line).as_deref(), Ok(expected), "{line}");
    }
    for line in [
        "GET *",
        "GET a",
        "GET ?",
        "GET //a",
        "GET /a//b",
        "GET /../a",
        "GET /a/%2e%2e/b",
        "GET /%2F",
        "GET /%00",
        "GET /%",
        "GET http://",
        "GET http:///a",
        "GET http://:80/a",
        "GET http://u@h/a",
        "GET http://h/../a",
        "GET https://h/a",
        "GET ftp://h/a",
        "CONNECT h:80",
    ] {
        assert_eq!(path(line), Err(Code::BadPath), "{line}");
    }
    let slash = request("GET /a/ HTTP/1.0\r\n\r\n").path.unwrap();
    assert_eq!(slash.file(), Err(Code::BadPath));
    match parse(b"GET /\xff HTTP/1.0\r\n\r\n") {
        Parsed::Complete { request, .. } => assert_eq!(request.path, Err(Code::BadPath)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn query_sets_the_view() {
    let view = |query: &str| request(&format!("GET /a{query} HTTP/1.1\r\nHost: a\r\n\r\n")).view;
    let plain = View::default();
    assert_eq!((plain.sort, plain.descending, plain.download), (Sort::Name, false, false));
    for (query, expected) in [
        ("?sort=size", View { sort: Sort::Size, ..plain }),
        ("?sort=date&order=desc", View { sort: Sort::Date, descending: true, ..plain }),
        ("?order=desc", View { descending: true, ..plain }),
        ("?download", View { download: true, ..plain }),
        ("?download=&sort=name", View { download: true, ..plain }),
        ("?sort=size&sort=date&order=desc&order=asc", View { sort: Sort::Date, ..plain }),
        ("?sort=size#?sort=date", View { sort: Sort::Size, ..plain }),
    ] {
        assert_eq!(view(query), expected, "{query}");
    }
    for query in [
        "",
        "?",
        "??sort=size",
        "?Sort=size",
        "?sort=Size",
        "?sort",
        "?sort=size%20",
        "?x=y&&=&z",
        "?downloads",
        "#?sort=size",
        "?order=down",
    ] {
        assert_eq!(view(query), plain, "{query}");
    }
}

#[test]
fn origin_fields_are_collected() {
    let page_origin = |fields: &str| with(fields).page_origin.map(|page| *page);
    assert_eq!(page_origin("X-Origin: b\r\n"), None);
    let own = page_origin("origin: http://a\r\nSec-Fetch-Site: same-origin\r\n").unwrap();
    assert_eq!((&own.host[..], own.origin.as_deref()), (&b"a"[..], Some(&b"http://a"[..])));
    // The target's host counts, not the other one.
    let absolute =
        request("PUT http://evil.example:80/a HTTP/1.1\r\nHost: a\r\nOrigin: http://a\r\n\r\n");
    assert_eq!(absolute.page_origin.as_ref().unwrap().host, b"evil.example:80");
    assert_eq!(absolute.cross_origin_refusal(Some("a")), Some(origin::CROSS_ORIGIN));
    let query = request("PUT http://a?/b HTTP/1.1\r\nHost: c\r\nOrigin: http://a\r\n\r\n");
    assert_eq!(query.cross_origin_refusal(Some("a")), None);
    let old = request("PUT HTTP://a/b HTTP/1.0\r\nOrigin: http://a\r\n\r\n");
    assert_eq!(old.cross_origin_refusal(Some("a")), None);
    assert_eq!(own.site.as_deref(), Some(&b"same-origin"[..]));
    let two = page_origin("Origin: http://a\r\nOrigin: http://b\r\n").unwrap();
    assert_eq!(two.origin.as_deref(), Some(&b"http://a, http://b"[..]));
    assert_eq!(with("Origin: http://b\r\n").cross_origin_refusal(None), Some(origin::CROSS_ORIGIN));
    assert_eq!(with("Origin: http://a\r\n").cross_origin_refusal(None), Some(origin::UNKNOWN_HOST));
    assert_eq!(with("Origin: http://a\r\n").cross_origin_refusal(Some("a")), None);
    assert_eq!(with("").cross_origin_refusal(None), None);
    let old = request("PUT /a HTTP/1.0\r\nOrigin: http://a\r\n\r\n");
    assert_eq!(old.cross_origin_refusal(Some("a")), Some(origin::CROSS_ORIGIN));
}

#[test]
fn bare_lf_is_refused() {
    for head in [
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        "GET / HTTP/1.0\r\n\n",
        "GET / HTTP/1.0\n\n",
    ] {
        assert_eq!(status(head), 400, "{head:?}");
    }
    // Seen before the head ends, as soon as the line does.
    assert_eq!(status("GET / HTTP/1.1\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\nX"), 400);
    // A bare CR is no better.
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"), 400);
    assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"), 400);
}

#[test]
fn leading_empty_line_is_refused() {
    assert_eq!(status("\r\nGET / HTTP/1.0\r\n\r\n"), 400);
    assert_eq!(status("\nGET / HTTP/1.0\r\n\r\n"), 400);
}

#[test]
fn malformed_field_is_refused() {
    for fields in [
        "X : b\r\n",
        "X\t: b\r\n",
        " X: b\r\n",
        "X: b\r\n folded\r\n",
        "X: b\r\n\tfolded\r\n",
        "X:\r\n folded\r\n",
        ": b\r\n",
        "X\r\n",
        "X(: b\r\n",
        "X: b\0c\r\n",
        "X: b\x7fc\r\n",
        "X: b\x01\r\n",
        "ä: b\r\n",
    ] {
        assert_eq!(status_with(fields), 400, "{fields:?}");
        let first = format!("GET / HTTP/1.1\r\n{fields}Host: a\r\n\r\n");
        assert_eq!(status(&first), 400, "{first:?}");
    }
    for fields in ["X:\r\n", "X:b\r\n", "X: \t b \t \r\n", "X: ä\r\n", "X: a: b\r\n"] {
        with(fields);
    }
}

#[test]
fn missing_or_repeated_host_is_refused() {
    assert_eq!(status("GET / HTTP/1.1\r\n\r\n"), 400);
    assert_eq!(status("GET http://a/ HTTP/1.1\r\n\r\n"), 400);
    request("GET / HTTP/1.0\r\n\r\n");
    for version in ["1.0", "1.1"] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\nhost: a\r\n\r\n");
        assert_eq!(status(&head), 400);
    }
    for (host, good) in [
        ("", true),
        ("a", true),
        ("a.b:80", true),
        ("a:", true),
        ("127.0.0.1:9000", true),
        ("[::1]", true),
        ("[::1]:9000", true),
        ("a_b", true),
        ("a b", false),
        ("a/b", false),
        ("u@a", false),
        ("a:b", false),
        ("a:80:80", false),
        ("[::1", false),
        ("[]", false),
        ("[::1]x", false),
        ("<a>", false),
        ("ä", false),
    ] {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        if good {
            request(&head);
        } else {
            assert_eq!(status(&head), 400, "{host}");
        }
    }
}

#[test]
fn content_length_has_one_value() {
    for (fields, length) in [
        ("", Body::None),
        ("Content-Length: 0\r\n", Body::Length(0)),
        ("content-length:5\r\n", Body::Length(5)),
        ("Content-Length: 5 \r\n", Body::Length(5)),
        ("Content-Length: 5\r\nContent-Length: 5\r\n", Body::Length(5)),
        ("Content-Length: 9223372036854775807\r\n", Body::Length(i64::MAX as u64)),
    ] {
        assert_eq!(with(fields).body, length, "{fields:?}");
    }
    for value in [
        "",
        "+5",
        "-5",
        "5, 5",
        "5,",
        "5 5",
        "0x5",
        "5a",
        "٥",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999",
        &"9".repeat(400),
        &"0".repeat(400),
    ] {
        assert_eq!(status_with(&format!("Content-Length: {value}\r\n")), 400, "{value:?}");
    }
    assert_eq!(status_with("Content-Length: 5\r\nContent-Length: 6\r\n"), 400);
    assert_eq!(status_with("Content-Length: 5\r\nX: y\r\nContent-Length: 6\r\n"), 400);
}

#[test]
fn chunked_is_the_only_coding() {
    let field = |value: &str| format!("Transfer-Encoding: {value}\r\n");
    for value in ["chunked", "Chunked", " \tchunked\t ", "chunked,", ", chunked", ",,chunked ,"] {
        assert_eq!(with(&field(value)).body, Body::Chunked, "{value:?}");
    }
    assert_eq!(with("transfer-encoding:CHUNKED\r\n").body, Body::Chunked);
    let two = "Transfer-Encoding: \r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(with(two).body, Body::Chunked);
    for (value, expected) in [
        // The length of the body is unknown.
        ("gzip", 400),
        ("identity", 400),
        ("chunked, gzip", 400),
        ("chunked, identity", 400),
        ("chunked, chunked, identity", 400),
        ("", 400),
        (",", 400),
        ("xchunked", 400),
        ("chunkedx", 400),
        ("chunke", 400),
        ("chunked chunked", 400),
        ("x chunked", 400),
        ("\"chunked\"", 400),
        ("'chunked'", 400),
        ("chunked;", 400),
        ("chunked;q=1", 400),
        ("chunked ; a=b", 400),
        (";chunked", 400),
        ("[chunked]", 400),
        ("\x0bchunked", 400),
        ("\x0cchunked", 400),
        ("chunked\x0b", 400),
        ("\0chunked", 400),
        ("\u{a0}chunked", 400),
        ("chunked\u{85}", 400),
        ("\u{212a}chunked", 400),
        // Its framing has two readings.
        ("chunked, chunked", 400),
        ("chunked,,chunked", 400),
        ("chunked, gzip, chunked", 400),
        // It is known, and its content is not understood.
        ("gzip, chunked", 501),
        ("gzip;a=b, chunked", 501),
        ("identity, chunked", 501),
        ("cow, chunked", 501),
    ] {
        assert_eq!(status_with(&field(value)), expected, "{value:?}");
    }
}

#[test]
fn two_transfer_encodings_are_one_list() {
    for (first, second, expected) in [
        ("chunked", "chunked", 400),
        ("chunked", "identity", 400),
        ("chunked", "x", 400),
        ("identity", "chunked", 501),
        ("gzip", "chunked", 501),
    ] {
        for between in ["", "X: y\r\n"] {
            let fields =
                format!("Transfer-Encoding: {first}\r\n{between}transfer-encoding: {second}\r\n");
            assert_eq!(status_with(&fields), expected, "{fields:?}");
        }
    }
}

#[test]
fn disguised_transfer_encoding_is_refused() {
    for fields in [
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "\tTransfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\r\n chunked\r\n",
        "Transfer-Encoding:\n chunked\r\n",
        "Transfer-Encoding: chunked\r\n , identity\r\n",
        "Transfer-Encoding\r\n: chunked\r\n",
        "Transfer-Encoding\0: chunked\r\n",
        "Transfer Encoding: chunked\r\n",
        "\x0bTransfer-Encoding: chunked\r\n",
    ] {
        for length in ["", "Content-Length: 5\r\n"] {
            assert_eq!(status_with(&format!("{length}{fields}")), 400, "{fields:?}");
            assert_eq!(status_with(&format!("{fields}{length}")), 400, "{fields:?}");
        }
    }
    // Another field altogether.
    for name in ["Transfer_Encoding", "Transfer-Encodings", "X-Transfer-Encoding", "TE"] {
        let request = with(&format!("{name}: chunked\r\nContent-Length: 5\r\n"));
        assert_eq!(request.body, Body::Length(5), "{name}");
    }
}

#[test]
fn length_and_coding_exclude_each_other() {
    for value in ["chunked", "gzip, chunked", "identity", "", "xchunked"] {
        for length in ["0", "5"] {
            let length = format!("Content-Length: {length}\r\n");
            let coding = format!("Transfer-Encoding: {value}\r\n");
            assert_eq!(status_with(&format!("{length}{coding}")), 400, "{value:?}");
            assert_eq!(status_with(&format!("{coding}{length}")), 400, "{value:?}");
        }
    }
}

#[test]
fn http_1_0_has_no_codings() {
    for value in ["chunked", "gzip, chunked", "identity", ""] {
        let head = format!("PUT /a HTTP/1.0\r\nTransfer-Encoding: {value}\r\n\r\n");
        assert_eq!(status(&head), 400, "{value:?}");
    }
}

#[test]
fn connection_field_decides_keep_alive() {
    for (version, fields, stays) in [
        ("1.1", "", true),
        ("1.0", "", false),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "connection: x, KEEP-ALIVE ,y\r\n", true),
        ("1.1", "Connection: x ,, CLOSE\r\n", false),
        ("1.1", "Connection: x\r\nConnection: close\r\n", false),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
    ] {
        let head = format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n");
        assert_eq!(request(&head).keep_alive, stays, "{head:?}");
    }
}

#[test]
fn expectation_is_recognised() {
    for (fields, expect) in [
        ("", Expect::None),
        ("Expect: 100-continue\r\n", Expect::Continue),
        ("Expect: 100-Continue\r\n", Expect::Continue),
        ("Expect: tea\r\n", Expect::Other),
        ("Expect: 100-continue, tea\r\n", Expect::Other),
        ("Expect:\r\n", Expect::None),
    ] {
        assert_eq!(with(fields).expect, expect, "{fields:?}");
    }
    let old = request("PUT /a HTTP/1.0\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(old.expect, Expect::None);
}

#[test]
fn accept_decides_json_or_page() {
    for (accept, json) in [
        ("application/json", true),
        ("Application/JSON", true),
        ("application/json;charset=utf-8", true),
        ("application/json, text/plain, */*", true),
        ("application/json, text/*", true),
        ("application/json, text/html;q=0.9", true),
        ("text/html;q=0.5, application/json; q=0.501", true),
        ("*/*", false),
        ("", false),
        ("text/html, application/json", false),
        ("application/json;q=0.1, */*", false),
        ("application/json;q=0", false),
        ("application/json;q=2", false),
        ("application/json;q=0.5, text/html;q=0.8", false),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", false),
        ("application/json, text/html;q=0, */*", true),
    ] {
        assert_eq!(with(&format!("Accept: {accept}\r\n")).wants_json, json, "{accept:?}");
    }
    assert!(with("Accept: text/html;q=0.1\r\nAccept: application/json\r\n").wants_json);
    assert!(!with("").wants_json);
}

#[test]
fn long_request_line_is_refused_early() {
    let line = |length: usize| {
        let fixed = "GET / HTTP/1.0\r\n".len();
        format!("GET /{} HTTP/1.0\r\n", "a/".repeat(length)[..length - fixed].to_owned())
    };
    let longest = line(MAX_REQUEST_LINE);
    assert_eq!(longest.len(), MAX_REQUEST_LINE);
    request(&format!("{longest}\r\n"));
    assert_eq!(status(&format!("{}\r\n", line(MAX_REQUEST_LINE + 1))), 414);
    assert!(is_partial(&[b'x'; MAX_REQUEST_LINE - 1]));
    assert_eq!(status(&"x".repeat(MAX_REQUEST_LINE)), 414);
}

#[test]
fn large_header_is_refused_early() {
    let head = |length: usize| {
        let start = "GET / HTTP/1.0\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
    };
    request(&head(MAX_HEADER));
    assert_eq!(status(&head(MAX_HEADER + 1)), 431);
    let endless = &head(2 * MAX_HEADER);
    assert!(is_partial(&endless.as_bytes()[..MAX_HEADER - 1]));
    assert_eq!(status(&endless[..MAX_HEADER]), 431);
    assert_eq!(status(endless), 431);
}

#[test]
fn too_many_fields_are_refused() {
    let head = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "X: y\r\n".repeat(count));
    request(&head(0));
    request(&head(MAX_FIELDS));
    assert_eq!(status(&head(MAX_FIELDS + 1)), 431);
    // Without the end of the head.
    assert_eq!(status(head(MAX_FIELDS + 1).strip_suffix("\r\n").unwrap()), 431);
}

/// Heads that are nearly right.
fn heads() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "PUT /a%20b HTTP/1.1\r\n",
        "GET /x HTTP/1.0\r\n",
        "GET /x HTTP/1.0\n",
        "GET /x HTTP/3.0\r\n",
        "\r\n",
    ]);
    let field = prop::sample::select(vec![
        "Host: a\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: y\n",
        "X : y\r\n",
        " folded\r\n",
        "Range: bytes=0-5\r\n",
        "If-Match: \"a\"\r\n",
        "Accept: application/json;q=0.5\r\n",
        "X: \r",
        "\r\n",
        "\n",
    ]);
    (line, prop::collection::vec(field, 0..6), any::<bool>()).prop_map(|(line, fields, end)| {
        let end = if end { "\r\n" } else { "" };
        format!("{line}{}{end}", fields.concat()).into_bytes()
    })
}

/// Whatever the prefixes of `input` amount to, no head is whole before its end, no refusal is
/// taken back or becomes another, and the end of a whole head does not move.
fn grows_consistently(input: &[u8]) -> Result<(), TestCaseError> {
    let mut refusal = None;
    let mut whole = None;
    for end in 0..=input.len() {
        match parse(&input[..end]) {
            Parsed::Partial => prop_assert!(refusal.is_none() && whole.is_none()),
            Parsed::Invalid { status, reason } => {
                prop_assert!(whole.is_none());
                prop_assert_eq!((status, reason), *refusal.get_or_insert((status, reason)));
            }
            Parsed::Complete { header_len, .. } => {
                prop_assert!(refusal.is_none());
                prop_assert_eq!(header_len, *whole.get_or_insert(end));
                prop_assert!(input[..header_len].ends_with(b"\r\n\r\n"));
            }
        }
    }
    Ok(())
}

/// Heads near the limits, with a violation before them, at them or behind them.
fn large_heads() -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(vec![1, 8100, 8170, 8180, 9000]);
    let count = prop::sample::select(vec![0, 1, 98, 99, 100, 101, 120]);
    let length = prop::sample::select(vec![1, 70, 150, 160, 16_000, 17_000]);
    let violation =
        prop::sample::select(vec!["", "X : y\r\n", "X: y\n", " folded\r\n", "Host: a\r\n"]);
    (line, count, length, violation, 0usize..130).prop_map(
        |(line, count, length, violation, at)| {
            let mut fields = vec![format!("X: {}\r\n", "x".repeat(length)); count];
            fields.insert(at.min(count), violation.to_owned());
            let head = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "a".repeat(line));
            format!("{head}{}\r\n", fields.concat()).into_bytes()
        },
    )
}

proptest! {
    #[test]
    fn any_input_is_parsed_without_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
        grows_consistently(&input)?;
    }

    #[test]
    fn growing_header_is_parsed_consistently(head in heads()) {
        grows_consistently(&head)?;
    }

    #[test]
    fn growing_damaged_header_is_parsed_consistently(
        mut head in heads(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let at = at.index(head.len());
        head[at] = byte;
        grows_consistently(&head)?;
    }

    #[test]
    fn any_field_is_parsed_without_panic(
        name in prop::sample::select(vec![
            "Host", "Range", "Accept", "Expect", "Connection", "Content-Length", "If-Range", "Origin",
            "If-Match", "If-None-Match", "If-Modified-Since",
        ]),
        value in "[ -~äé]{0,60}",
    ) {
        let _ = parse(format!("GET / HTTP/1.0\r\n{name}: {value}\r\n\r\n").as_bytes());
    }

    #[test]
    fn parsed_line_makes_an_http_connection(line in "[A-Z]{1,4} [/a%?*:]{1,8} HTTP/[012]\\.[0123]") {
        let head = format!("{line}\r\nHost: a\r\n\r\n");
        prop_assert!(super::super::begins_http(head.as_bytes()));
        let is_served = line.contains("HTTP/1.");
        prop_assert_eq!(is_served, matches!(parse(head.as_bytes()), Parsed::Complete { .. }));
    }

    #[test]
    fn growing_large_header_is_parsed_consistently(
        head in large_heads(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let whole = match parse(&head) {
            Parsed::Invalid { status, reason } => Some((status, reason)),
            _ => None,
        };
        let near = |limit: usize| limit - 2..limit + 3;
        let limits = near(MAX_REQUEST_LINE).chain(near(MAX_HEADER));
        for end in cuts.iter().map(|cut| cut.index(head.len())).chain(limits) {
            match parse(&head[..end.min(head.len() - 1)]) {
                Parsed::Partial => {}
                Parsed::Invalid { status, reason } => {
                    prop_assert_eq!(Some((status, reason)), whole, "{}", end);
                }
                Parsed::Complete { .. } => prop_assert!(whole.is_none()),
            }
        }
    }
}
