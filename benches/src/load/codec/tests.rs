use super::*;
use crate::load::content::Upload;
use crate::load::recording::ErrorKind;
use crate::load::workload::Mix;

const GET: Request = Request { verb: Verb::Get, name: 0, last: false };
const LIST: Request = Request { verb: Verb::List, name: 0, last: false };
const HASH: Request = Request { verb: Verb::Hash, name: 0, last: false };

fn codec(protocol: Protocol) -> Codec {
    let mix = Mix { hash: 1, ..Mix::default() };
    let workload =
        Workload { protocol, sizes: vec![100].into(), names: 2, mix, ..Workload::default() };
    Codec::new(&workload, "127.0.0.1:1")
}

fn body(codec: &Codec, version: u64) -> Vec<u8> {
    let mut upload = Upload::new(&codec.content, 0, version);
    let mut bytes = upload.next(&codec.content).to_vec();
    upload.advance(bytes.len());
    bytes.extend_from_slice(upload.next(&codec.content));
    bytes
}

/// The replies in `bytes`, cut into pieces of `step`, all to `request`.
fn replies(codec: &Codec, request: Option<&Request>, bytes: &[u8], step: usize) -> Vec<Reply> {
    let mut reader = ReplyReader::default();
    let mut replies = Vec::new();
    for mut piece in bytes.chunks(step) {
        while !piece.is_empty() {
            let (used, reply) = reader.feed(codec, request, piece);
            piece = &piece[used..];
            replies.extend(reply);
        }
    }
    replies.extend(reader.finish(codec));
    replies
}

#[track_caller]
fn assert_replies(
    protocol: Protocol,
    request: Option<&Request>,
    bytes: &[u8],
    expected: &[(Result<(), ErrorKind>, bool)],
) {
    let codec = codec(protocol);
    let expected: Vec<_> = expected.iter().map(|&(result, closes)| (result, closes)).collect();
    for step in [1, 2, 3, 5, 1000] {
        let replies = replies(&codec, request, bytes, step);
        let replies: Vec<_> = replies.iter().map(|reply| (reply.result, reply.closes)).collect();
        assert_eq!(replies, expected, "in pieces of {step}");
    }
}

#[test]
fn replies_of_the_file_protocol() {
    let codec = codec(Protocol::File);
    let right = [b"OK 100\n", &body(&codec, 3)[..]].concat();
    let two = [&right[..], &right[..]].concat();
    let file = |request, bytes: &[u8], expected: &[_]| {
        assert_replies(Protocol::File, request, bytes, expected);
    };
    file(Some(&GET), &two, &[(Ok(()), false), (Ok(()), false)]);
    let mut wrong = right.clone();
    wrong[90] ^= 1;
    file(Some(&GET), &wrong, &[(Err(ErrorKind::WrongBody), false)]);
    file(Some(&GET), b"OK 3\nabc", &[(Err(ErrorKind::WrongBody), false)]);
    file(Some(&GET), b"ERR not-found no\n", &[(Err(ErrorKind::Refused), false)]);
    file(Some(&GET), b"ERR busy\n", &[(Err(ErrorKind::Busy), true)]);
    file(None, b"ERR busy full\n", &[(Err(ErrorKind::Busy), true)]);
    file(None, b"OK 0\n", &[(Err(ErrorKind::Malformed), true)]);
    file(Some(&GET), b"HELLO\n", &[(Err(ErrorKind::Malformed), true)]);
    file(Some(&GET), b"OK 1x\n", &[(Err(ErrorKind::Malformed), true)]);
    file(Some(&GET), &right[..90], &[]);
    let list = b"OK 18\nf 1 0 a\nf 22 00 b\n";
    file(Some(&LIST), list, &[(Ok(()), false)]);
    file(Some(&LIST), b"OK 8\nf 1 0 a\n", &[(Err(ErrorKind::WrongBody), false)]);
    let hash = ["OK 65\n", &codec.content.hash(0)].concat();
    file(Some(&HASH), hash.as_bytes(), &[(Ok(()), false)]);
    let hash = ["OK 65\n", &codec.content.hash(1)].concat();
    file(Some(&HASH), hash.as_bytes(), &[(Err(ErrorKind::WrongBody), false)]);
}

#[test]
fn replies_of_http() {
    let codec = codec(Protocol::Http);
    let with = |header: &str| [header.as_bytes(), b"\r\n\r\n", &body(&codec, 0)[..]].concat();
    let http = |request, bytes: &[u8], expected: &[_]| {
        assert_replies(Protocol::Http, request, bytes, expected);
    };
    let right = with("HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 100");
    let two = [&right[..], &right[..]].concat();
    http(Some(&GET), &two, &[(Ok(()), false), (Ok(()), false)]);
    let close = with("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100");
    http(Some(&GET), &close, &[(Ok(()), true)]);
    http(Some(&GET), &with("HTTP/1.0 200 OK"), &[(Ok(()), true)]);
    http(Some(&GET), &with("HTTP/1.0 200 OK")[..80], &[(Err(ErrorKind::WrongBody), true)]);
    let line_feeds = String::from("HTTP/1.1 200 OK\nContent-Length: 100\n\n").into_bytes();
    http(Some(&GET), &[line_feeds, body(&codec, 0)].concat(), &[(Ok(()), false)]);
    let two_lengths = |second: &str| {
        with(&format!("HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Length: {second}"))
    };
    http(Some(&GET), &two_lengths("100"), &[(Ok(()), false)]);
    let mut reader = ReplyReader::default();
    let (_, reply) = reader.feed(&codec, Some(&GET), &two_lengths("99"));
    let reply = reply.expect("an error");
    assert!(reply.result == Err(ErrorKind::Malformed) && reply.closes);
    let after = [b"HTTP/1.1 100 Continue\r\n\r\n", &right[..]].concat();
    http(Some(&GET), &after, &[(Ok(()), false)]);
    let refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n";
    http(Some(&GET), refused, &[(Err(ErrorKind::Refused), false)]);
    let busy = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 3\r\nRetry-After: 1\r\n\r\nno\n";
    http(Some(&GET), busy, &[(Err(ErrorKind::Busy), true)]);
    // A server without room need not wait for the first line of a client.
    http(Some(&GET), b"ERR busy full\n", &[(Err(ErrorKind::Busy), true)]);
    http(None, b"ERR busy full\n", &[(Err(ErrorKind::Busy), true)]);
    http(Some(&GET), b"SSH-2.0\r\n\r\n", &[(Err(ErrorKind::Malformed), true)]);
    http(
        Some(&GET),
        &with("HTTP/1.1 200 OK\r\nContent-Length: ten"),
        &[(Err(ErrorKind::Malformed), true)],
    );
}

/// `body` in chunks of `size` bytes.
fn in_chunks(body: &[u8], size: usize, extension: &str, trailer: &str) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:X}{extension}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("0\r\n{trailer}\r\n").as_bytes());
    bytes
}

#[test]
fn replies_in_chunks() {
    let codec = codec(Protocol::Http);
    let http = |request, bytes: &[u8], expected: &[_]| {
        assert_replies(Protocol::Http, request, bytes, expected);
    };
    let right = body(&codec, 2);
    for size in [1, 10, 16, 99, 100, 1000] {
        let whole = in_chunks(&right, size, "", "");
        let two = [&whole[..], &whole[..]].concat();
        http(Some(&GET), &two, &[(Ok(()), false), (Ok(()), false)]);
        let talkative = in_chunks(&right, size, ";name=\"a\"", "Expires: never\r\nX: y\r\n");
        http(Some(&GET), &talkative, &[(Ok(()), false)]);
    }
    http(Some(&LIST), &in_chunks(b"<html>", 4, "", ""), &[(Ok(()), false)]);
    let mut wrong = right.clone();
    wrong[90] ^= 1;
    http(Some(&GET), &in_chunks(&wrong, 7, "", ""), &[(Err(ErrorKind::WrongBody), false)]);
    let short = in_chunks(&right[..99], 7, "", "");
    http(Some(&GET), &short, &[(Err(ErrorKind::WrongBody), false)]);
    // Cut off in the middle: it has no end, and so is no reply.
    let whole = in_chunks(&right, 40, "", "");
    http(Some(&GET), &whole[..whole.len() - 1], &[]);
    let header = "HTTP/1.1 200 OK\r\nTransfer-Encoding: ";
    let malformed = [
        "chunked\r\n\r\nx\r\n",
        "chunked\r\n\r\n\r\n",
        "chunked\r\n\r\n1\r\nab\r\n",
        "chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
        "gzip, chunked\r\n\r\n",
    ];
    for rest in malformed {
        let mut reader = ReplyReader::default();
        let bytes = [header, rest].concat().into_bytes();
        let mut replies = Vec::new();
        let mut input = &bytes[..];
        while !input.is_empty() && replies.is_empty() {
            let (used, reply) = reader.feed(&codec, Some(&LIST), input);
            input = &input[used..];
            replies.extend(reply);
        }
        let result = Err(ErrorKind::Malformed);
        let expected = Reply { result, closes: true, retry_after: None };
        assert_eq!(replies, [expected], "{rest}");
    }
}

#[test]
fn connection_field_is_a_list() {
    let codec = codec(Protocol::Http);
    for (version, fields, closes) in [
        ("1.1", "", false),
        ("1.1", "Connection: close, foo", true),
        ("1.1", "connection:foo ,\t CLOSE", true),
        ("1.1", "Connection: foo\r\nConnection: close", true),
        ("1.1", "Connection: close\r\nConnection: keep-alive", true),
        ("1.1", "Connection: keep-alive, close", true),
        ("1.1", "Connection: disclose", false),
        ("1.1", "Connection: keep-alive", false),
        ("1.0", "", true),
        ("1.0", "Connection: foo", true),
        ("1.0", "Connection: foo, Keep-Alive", false),
        ("1.0", "Connection: keep-alive\r\nConnection: foo", false),
        ("1.0", "Connection: close, keep-alive", true),
    ] {
        let fields_line = if fields.is_empty() { String::new() } else { format!("{fields}\r\n") };
        let header = format!("HTTP/{version} 200 OK\r\n{fields_line}Content-Length: 100\r\n\r\n");
        let bytes = [header.as_bytes(), &body(&codec, 0)].concat();
        let expected = Reply { result: Ok(()), closes, retry_after: None };
        assert_eq!(replies(&codec, Some(&GET), &bytes, 7), [expected], "{version} {fields:?}");
    }
}

#[test]
fn retry_after_is_seconds_or_date() {
    let codec = codec(Protocol::Http);
    let of = |value: &str| {
        let bytes = format!("HTTP/1.1 503 X\r\nRetry-After:{value}\r\nContent-Length: 0\r\n\r\n");
        replies(&codec, Some(&GET), bytes.as_bytes(), 9)[0].retry_after
    };
    assert_eq!(of(" 120"), Some(120));
    assert_eq!(of(" Sun, 06 Nov 1994 08:49:37 GMT"), Some(0), "it is over");
    let soon = std::time::SystemTime::now() + std::time::Duration::from_secs(100);
    let seconds = of(&httpdate::fmt_http_date(soon)).unwrap();
    assert!((50..=100).contains(&seconds), "{seconds}");
    assert_eq!([of(" -1"), of(" soon"), of("")], [None; 3]);
    assert_eq!(of(" 99999999999"), Some(u32::MAX));
}

#[test]
fn tls_ports_are_recognised() {
    const ALERT: &[u8] = &[0x15, 3, 1, 0, 2, 2, 70];
    let malformed = (Err(ErrorKind::Malformed), true);
    let first = |protocol, bytes: &[u8], step: usize| {
        let (codec, mut reader) = (codec(protocol), ReplyReader::default());
        let mut reply = None;
        for mut piece in bytes.chunks(step) {
            while !piece.is_empty() && reply.is_none() {
                let (used, found) = reader.feed(&codec, Some(&GET), piece);
                (piece, reply) = (&piece[used..], found);
            }
        }
        (reply.map(|reply| (reply.result, reply.closes)), reader.last_error().expects_tls())
    };
    for protocol in [Protocol::Http, Protocol::File] {
        for step in [1, 2, 7] {
            assert_eq!(first(protocol, ALERT, step), (Some(malformed), true));
        }
    }
    let body = "<title>400 The plain HTTP request was sent to HTTPS port</title>";
    let reply = format!("HTTP/1.1 400 Bad\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    assert!(first(Protocol::Http, reply.as_bytes(), 1000).1);
    let other = b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno";
    assert_eq!(first(Protocol::Http, other, 5), (Some((Err(ErrorKind::Refused), false)), false));
}
