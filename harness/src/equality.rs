//! The same bytes into every server, the same bytes out.

use std::sync::Arc;

use crate::wire::show;
use crate::{Root, Subject};

/// Sends the same recorded streams to every server and compares what comes back, byte for byte,
/// with what the first one said. Panics at the first difference.
///
/// Each server works on the same folder, brought back to the same state, times included, so that
/// even listings must agree. Only the `Date` field of HTTP is taken out, the `ETag`, since nothing brings back the time
/// at which a file was last touched, and of a folder's page the name of the server, with the length that depends on it.
pub fn equality(subjects: &[Subject]) {
    let mut first: Option<(&Subject, Vec<Vec<u8>>)> = None;
    let root = Arc::new(Root::new());
    furnish(&root);
    for subject in subjects {
        let server = subject.start_on(&root, &["--max-file-size", "1MiB"]);
        let mut replies = Vec::new();
        for stream in streams() {
            let mut conn = server.connect();
            // A server that closes early is as welcome as the others, if they all do.
            let _ = conn.try_send(&stream);
            conn.finish();
            replies.push(comparable(conn.rest()));
            reset(&root);
        }
        let Some((reference, expected)) = &first else {
            first = Some((subject, replies));
            continue;
        };
        for ((stream, expected), got) in streams().iter().zip(expected).zip(&replies) {
            let differs = expected.iter().zip(got).take_while(|(a, b)| a == b).count();
            let from = differs.saturating_sub(60);
            assert!(
                expected == got,
                "{subject:?} differs from {reference:?}\nafter {}\nexpected ...{}\ngot      ...{}",
                show(stream),
                show(&expected[from..]),
                show(&got[from.min(got.len())..]),
            );
        }
    }
}

/// Conversations that touch every verb, every error that can be provoked by a client alone, and
/// every way in which a connection ends.
fn streams() -> Vec<Vec<u8>> {
    let mut streams: Vec<Vec<u8>> = [
        "LIST\nLIST /\nLIST d\nLIST d/\nLIST none\nLIST file\nLIST ..\n",
        "GET file\r\nGET file 2\nGET file 2 2\nGET file 5\nGET file 6\nGET large\nGET large 65535 3\n",
        "HASH file\nHASH large\nHASH d\nHASH none\nHASH /\nHASH fifo\nGET fifo\nLIST fifo\n",
        "PUT up 5\nhelloGET up\nHASH up\nPUT none/up 4\nQUITPUT d 0\nPUT ../x 1\nxPUT link 2\nhiGET file\n",
        "\n\r\nNONSENSE\nGET\nGET  file\nGET file \nGET file 01\nGET file -1\nGET a b c d\nHASH\nget FILE\n",
        "GET %66ile\nGET %2e%2e\nGET a%2Fb\nGET %zz\nGET link\nGET out\nGET loop\nGET dangling\nGET sp%20ace\n",
        "GET file HTTP/2\nPUT x abc\nGET file\n",
        "PUT x 1048577\nGET file\n",
        "PUT x 10\nshort",
        "LIST\nQUIT\nLIST\n",
        "GET file\nGET fil",
        "",
        "GET /file HTTP/1.1\r\nHost: h\r\n\r\nHEAD /file HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /d/ HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\n\r\n",
        "GET /large HTTP/1.1\r\nHost: h\r\nRange: bytes=5-70000\r\n\r\nGET /file HTTP/1.0\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: h\r\nRange: bytes=9-\r\n\r\nGET /none HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: h\r\nIf-Modified-Since: Sun, 09 Sep 2001 01:46:40 GMT\r\n\r\n",
        "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /none/up HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nxxGET /../x HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /?sort=size&order=desc HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /file?download HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /up HTTP/1.1\r\nHost: h\r\nOrigin: null\r\nContent-Length: 2\r\n\r\nxxGET /up HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /up HTTP/1.1\r\nHost: h\r\n\r\n",
        "PUT /up HTTP/1.1\r\nHost: h\r\nContent-Length: 1048577\r\n\r\n",
        "DELETE /file HTTP/1.1\r\nHost: h\r\n\r\nGET /file HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /file HTTP/1.1\r\n\r\nGET /file HTTP/1.1\r\nHost: h\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /file HTTP/1.1\r\nHost: h\r\n\r\nNONSENSE\r\n\r\n",
    ]
    .map(|stream| stream.as_bytes().to_vec())
    .to_vec();
    streams.push(b"GET \xff\n\xff\xfe\nGET \x1b[31m\nGET a\0b\nLIST %ff\n".to_vec());
    streams.push([b"LIST\n", &[b'x'; 5000][..]].concat());
    streams.push([b"GET /", &[b'x'; 5000][..], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat());
    streams.push([b"GET /file HTTP/1.1\r\nX: ", &[b'x'; 20_000][..], b"\r\n\r\n"].concat());
    streams
}

/// What every stream finds.
fn furnish(root: &Root) {
    root.write("file", "hello");
    root.patterned("large", 200_000);
    root.write("d/inner", "inner");
    root.write("sp ace", "space");
    root.fifo("fifo");
    root.link("../outside/secret", "out");
    root.link("loop", "loop");
    root.link("nowhere", "dangling");
    reset(root);
}

/// Takes back what a stream has changed.
fn reset(root: &Root) {
    for name in ["up", "x", "link"] {
        // It need not be there.
        let _ = std::fs::remove_file(root.join(name));
    }
    root.link("file", "link");
    for name in ["file", "large", "d/inner", "sp ace", "d"] {
        root.set_mtime(name, 1_000_000_000);
    }
}

/// Takes out what may differ.
fn comparable(replies: Vec<u8>) -> Vec<u8> {
    let lines: Vec<&[u8]> = replies.split_inclusive(|&byte| byte == b'\n').collect();
    let names_the_server = |line: &[u8]| line.starts_with(b"<p id=\"model\">");
    let is_page = lines.iter().any(|line| names_the_server(line));
    let is = |line: &[u8], name: &str| {
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name.as_bytes()))
    };
    let differs = |line: &[u8]| {
        is(line, "date:")
            || is(line, "etag:")
            || is_page && (names_the_server(line) || is(line, "content-length:"))
    };
    lines.into_iter().filter(|line| !differs(line)).collect::<Vec<_>>().concat()
}
