//! Which protocol the first bytes of a connection begin.

use crate::protocol::MAX_LINE;

/// So many bytes may come without an LF where they begin as a request of HTTP does; elsewhere [`MAX_LINE`].
const MAX_HTTP_LINE: usize = 8192;

/// The methods by which a line without an end is taken for one of HTTP.
const METHODS: [&[u8]; 9] = [
    b"GET ",
    b"HEAD ",
    b"PUT ",
    b"OPTIONS ",
    b"POST ",
    b"DELETE ",
    b"PATCH ",
    b"TRACE ",
    b"CONNECT ",
];

/// What a connection begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A request of HTTP.
    Http {
        /// Its method is `HEAD`, so the response has no body.
        is_head: bool,
    },
    /// Anything else, which the file protocol answers.
    Other,
}

/// Returns what `bytes` begin, or `None` while the first line has no end that decides.
///
/// How the bytes were cut into segments changes nothing. A CRLF before the first line is skipped.
pub(crate) fn opening(bytes: &[u8]) -> Option<Opening> {
    let bytes = without_crlf(bytes);
    let begins_as_http = begins_as_http(bytes);
    let most = if begins_as_http { MAX_HTTP_LINE } else { MAX_LINE };
    let is_http = match memchr::memchr(b'\n', &bytes[..bytes.len().min(most)]) {
        Some(end) => is_http_line(&bytes[..end]),
        None if bytes.len() < most => return None,
        None => begins_as_http,
    };
    Some(either(is_http, bytes))
}

/// Returns what `bytes` begin, by the beginning of the first line where its end is missing.
pub(crate) fn opening_so_far(bytes: &[u8]) -> Opening {
    opening(bytes).unwrap_or_else(|| {
        let bytes = without_crlf(bytes);
        either(begins_as_http(bytes), bytes)
    })
}

fn either(is_http: bool, bytes: &[u8]) -> Opening {
    if is_http { Opening::Http { is_head: bytes.starts_with(b"HEAD ") } } else { Opening::Other }
}

fn without_crlf(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\r\n").unwrap_or(bytes)
}

/// Whether a whole line, without its LF, is meant as a request of HTTP, be it well formed or not.
fn is_http_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line {
        [rest @ .., b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            memchr::memchr(b' ', rest).is_some()
        }
        _ => false,
    }
}

/// Whether a line that may have no end yet begins with a method and a target of HTTP.
fn begins_as_http(bytes: &[u8]) -> bool {
    METHODS.iter().filter_map(|method| bytes.strip_prefix(*method)).any(|target| {
        target.starts_with(b"/") || target.starts_with(b"*") || target.starts_with(b"http://")
    })
}

#[cfg(test)]
mod tests;
