//! The refusal of a client for which there is no room, in the protocol that its first bytes begin.
//!
//! Such a client has no session. Its socket is the business of the server crates.

use crate::http::{self, FirstLine, begins_http, first_line};
use crate::protocol::{Code, error_line};

/// Returns the whole reply, or `None` while more bytes of the client may decide in which protocol it is due.
///
/// After at most 8,192 bytes there is a reply.
pub fn reply(first_bytes: &[u8]) -> Option<Vec<u8>> {
    match first_line(first_bytes) {
        FirstLine::Undecided => None,
        FirstLine::File | FirstLine::Http => Some(reply_so_far(first_bytes)),
    }
}

/// Returns the whole reply to a client that is not waited for any longer.
pub fn reply_so_far(first_bytes: &[u8]) -> Vec<u8> {
    let code = Code::Busy;
    if !begins_http(first_bytes) {
        return error_line(code).into_bytes();
    }
    let line = format!("{code}: {}", code.message());
    let is_head = first_bytes.trim_ascii_start().starts_with(b"HEAD ");
    let mut response = Vec::new();
    http::write_error(&mut response, code.http_status(), &line, is_head, false, false);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusal_speaks_client_protocol() {
        let line = "ERR busy no room for another client now, try again later\n";
        let reply = |bytes: &[u8]| reply(bytes).map(|reply| String::from_utf8(reply).unwrap());
        assert_eq!(reply(b""), None);
        assert_eq!(reply(b"HASH x\n").as_deref(), Some(line));
        assert_eq!(reply_so_far(b""), line.as_bytes());
        let get = reply(b"GET / HTTP/1.1\r\n").unwrap();
        let (header, body) = get.split_once("\r\n\r\n").unwrap();
        assert!(header.starts_with("HTTP/1.1 503 Service Unavailable\r\nDate: "), "{header}");
        for field in ["Retry-After: 1", "Connection: close", "Content-Length: 54"] {
            assert!(header.lines().any(|line| line == field), "{field}: {header}");
        }
        assert_eq!(body, "busy: no room for another client now, try again later\n");
        let head = reply(b"HEAD / HTTP/1.1\r\n").unwrap();
        assert!(head.contains("Content-Length: 54\r\n") && head.ends_with("\r\n\r\n"), "{head}");
        assert!(reply(b"\r\nHEAD / HTTP/1.1\r\n").unwrap().ends_with("\r\n\r\n"));
        assert!(reply_so_far(b"GET /x").starts_with(b"HTTP/1.1 503 "));
    }
}
