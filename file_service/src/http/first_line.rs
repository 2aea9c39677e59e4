//! Which protocol the first line of a connection belongs to.

use super::request::MAX_REQUEST_LINE;
use crate::protocol::MAX_LINE;

/// The methods with which a first line may be longer than a line of the file protocol.
const METHODS: [&[u8]; 9] =
    [b"GET", b"HEAD", b"PUT", b"OPTIONS", b"POST", b"DELETE", b"PATCH", b"TRACE", b"CONNECT"];

/// What an HTTP target may begin with.
const TARGETS: [&[u8]; 3] = [b"/", b"*", b"http://"];

/// What the bytes received so far decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstLine {
    /// Nothing; more must come.
    Undecided,
    /// The connection speaks the file protocol. An empty line that was held back is its first request.
    File,
    /// The connection speaks HTTP, and an empty line before the request is ignored. The request line may be
    /// malformed or too long.
    Http,
}

/// Decides which protocol a connection speaks that begins with `bytes`.
///
/// A line is HTTP if it ends in a version of HTTP and has a further space before that ending. This includes
/// malformed request lines, which must be refused and not executed: what follows them comes perhaps
/// from a browser, on behalf of another site.
///
/// More bytes never change a decision.
pub(crate) fn first_line(bytes: &[u8]) -> FirstLine {
    let bytes = without_empty_line(bytes);
    let limit = if begins_with_method_and_target(bytes) { MAX_REQUEST_LINE } else { MAX_LINE };
    let window = &bytes[..bytes.len().min(limit)];
    match memchr::memchr(b'\n', window) {
        Some(end) if ends_in_version(&window[..end]) => FirstLine::Http,
        Some(_) => FirstLine::File,
        None if window.len() < limit => FirstLine::Undecided,
        None if limit == MAX_REQUEST_LINE => FirstLine::Http,
        None => FirstLine::File,
    }
}

/// Whether a client whose first bytes are these speaks HTTP, as far as they show it.
///
/// For a reply that must be sent before the first line is complete. A line that has begun with a method and a
/// target counts as HTTP until its end shows that it is a line of the file protocol.
pub(crate) fn begins_http(bytes: &[u8]) -> bool {
    match first_line(bytes) {
        FirstLine::Http => true,
        FirstLine::File => false,
        FirstLine::Undecided => begins_with_method_and_target(without_empty_line(bytes)),
    }
}

/// Whether `bytes` begin with an empty line that is held back until it is known what follows it.
pub(crate) fn begins_with_empty_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\r\n")
}

fn without_empty_line(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\r\n").unwrap_or(bytes)
}

fn begins_with_method_and_target(line: &[u8]) -> bool {
    METHODS.iter().any(|method| {
        let rest = line.strip_prefix(*method).and_then(|rest| rest.strip_prefix(b" "));
        rest.is_some_and(|rest| TARGETS.iter().any(|target| rest.starts_with(target)))
    })
}

/// Whether a line without its LF ends in ` HTTP/` digit `.` digit, with a further space before that.
fn ends_in_version(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let Some((before, version)) = line.split_last_chunk::<9>() else {
        return false;
    };
    matches!(version, [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'])
        && before.contains(&b' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn whole_line_decides_protocol() {
        for line in [
            "GET / HTTP/1.1",
            "get /a%20b?x HTTP/1.0",
            "BREW pot HTTP/1.1",
            "M-SEARCH * HTTP/1.1",
            "GET  / HTTP/1.1",
            "GET  HTTP/1.1",
            "  HTTP/1.1",
            " GET / HTTP/1.1",
            "GET / x HTTP/1.1",
            "PUT a 5 HTTP/1.1",
            "LIST a HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET /\r HTTP/1.1",
            "GET /\0 HTTP/1.1",
            "GET /\t HTTP/1.1",
            "GET / HTTP/1.2",
            "GET / HTTP/0.9",
            "PRI * HTTP/2.0",
        ] {
            for (empty, end) in [("", "\n"), ("", "\r\n"), ("\r\n", "\n"), ("\r\n", "\r\n")] {
                let bytes = format!("{empty}{line}{end}");
                assert_eq!(first_line(bytes.as_bytes()), FirstLine::Http, "{bytes:?}");
                assert!(begins_http(bytes.as_bytes()), "{bytes:?}");
            }
        }
        for line in [
            "",
            "\r",
            "GET /",
            "GET / 0 5",
            "PUT /x 5",
            "LIST",
            "GET HTTP/1.1",
            " HTTP/1.1",
            "HTTP/1.1",
            "GET / HTTP/1.1 ",
            "GET / HTTP/1.1\r\r",
            "GET / http/1.1",
            "GET / HTTP/1.10",
            "GET / HTTP/2",
            "GET / HTTP/1x1",
            "GET /xHTTP/1.1",
        ] {
            for (empty, end) in [("", "\n"), ("", "\r\n"), ("\r\n", "\n"), ("\r\n", "\r\n")] {
                let bytes = format!("{empty}{line}{end}");
                if bytes == "\r\n" || bytes == "\r\r\n" {
                    continue;
                }
                assert_eq!(first_line(bytes.as_bytes()), FirstLine::File, "{bytes:?}");
                assert!(!begins_http(bytes.as_bytes()), "{bytes:?}");
            }
        }
    }

    #[test]
    fn empty_line_is_held_back() {
        for bytes in ["", "\r", "\r\n", "\r\n\r", "\r\nGET / HTTP/1.1", "\r\nLIST"] {
            assert_eq!(first_line(bytes.as_bytes()), FirstLine::Undecided, "{bytes:?}");
        }
        for bytes in ["\n", "\n\r\n", "\r\n\n", "\r\n\r\n", "\r\n\r\nGET / HTTP/1.1\r\n", "\r\r\n"]
        {
            assert_eq!(first_line(bytes.as_bytes()), FirstLine::File, "{bytes:?}");
        }
    }

    /// A line of `length` bytes, its end included.
    fn line(start: &str, end: &str, length: usize) -> Vec<u8> {
        let middle = "x".repeat(length - start.len() - end.len());
        format!("{start}{middle}{end}").into_bytes()
    }

    #[test]
    fn length_decides_protocol() {
        use FirstLine::{File, Http, Undecided};
        let version = " HTTP/1.1\r\n";
        for (start, end, length, expected) in [
            ("GET /", version, MAX_LINE, Http),
            ("GET /", version, MAX_LINE + 1, Http),
            ("GET /", version, MAX_REQUEST_LINE, Http),
            ("GET /", version, MAX_REQUEST_LINE + 1, Http),
            ("GET /", "\n", MAX_LINE, File),
            ("GET /", "\n", MAX_LINE + 1, File),
            ("GET /", "\n", MAX_REQUEST_LINE, File),
            ("GET /", "\n", MAX_REQUEST_LINE + 1, Http),
            ("GET /", "", MAX_REQUEST_LINE - 1, Undecided),
            ("GET /", "", MAX_REQUEST_LINE, Http),
            ("OPTIONS *", version, MAX_REQUEST_LINE, Http),
            ("CONNECT http://", version, MAX_REQUEST_LINE, Http),
            ("GET ", version, MAX_LINE, Http),
            ("GET ", version, MAX_LINE + 1, File),
            ("get /", version, MAX_LINE + 1, File),
            ("GET  /", version, MAX_LINE + 1, File),
            ("BREW /", version, MAX_LINE + 1, File),
            ("GET https://", version, MAX_LINE + 1, File),
            ("GET ", "", MAX_LINE - 1, Undecided),
            ("GET ", "", MAX_LINE, File),
        ] {
            for empty in [&b""[..], b"\r\n"] {
                let bytes = [empty, &line(start, end, length)].concat();
                assert_eq!(first_line(&bytes), expected, "{start} {end:?} {length}");
            }
        }
    }

    #[test]
    fn beginning_shows_http() {
        for bytes in ["GET /", "\r\nPOST /x", "PUT /x 5", "OPTIONS *", "GET http://h"] {
            assert!(begins_http(bytes.as_bytes()), "{bytes:?}");
        }
        for bytes in ["", "\r\n", "G", "GET", "GET ", "GET a", "get /", "LIST /", "PUT /x 5\n"] {
            assert!(!begins_http(bytes.as_bytes()), "{bytes:?}");
        }
    }

    /// Beginnings of conversations, many of them nearly HTTP, some near the limits of a line.
    fn beginnings() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            8 => prop::sample::select(vec![
                "\r\n", "\n", "\r", " ", "GET ", "POST ", "get ", "/", "*", "http://", "a", " HTTP/1.1",
                " HTTP/1.", "HTTP/1.0", "LIST", "PUT /x 5", "Host: h\r\n",
            ]).prop_map(str::to_owned),
            1 => (4070usize..4100).prop_map(|n| "x".repeat(n)),
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn growing_input_keeps_decision(bytes in beginnings()) {
            let mut decided = FirstLine::Undecided;
            // Nothing happens within a long piece but at the limits.
            let near_limit = |end: usize| [MAX_LINE, MAX_REQUEST_LINE].iter().any(|limit| {
                end.abs_diff(*limit) < 4
            });
            let matters = |end: &usize| *end == 0 || bytes[end - 1] != b'x' || near_limit(*end);
            for end in (0..=bytes.len()).filter(matters) {
                let decision = first_line(&bytes[..end]);
                prop_assert!(decided == FirstLine::Undecided || decided == decision);
                decided = decision;
            }
        }

        #[test]
        fn any_input_is_decided_by_limit(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = begins_http(&bytes);
            let padded = [&bytes[..], &[b'x'; MAX_REQUEST_LINE]].concat();
            prop_assert_ne!(first_line(&padded), FirstLine::Undecided);
        }
    }
}
