//! The header of a reply, in both protocols.

use super::Codec;
use super::chunked::Chunk;
use crate::load::recording::ErrorKind;
use crate::load::workload::Protocol;
use memchr::{memchr, memmem};
use std::time::SystemTime;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes are left.
    Length(u64),
    /// The end of the connection.
    ToEnd,
    /// It comes in chunks, and this is what comes next.
    Chunked(Chunk),
}

/// A parsed header.
pub(super) struct Header {
    pub(super) result: Result<(), ErrorKind>,
    pub(super) framing: Framing,
    pub(super) closes: bool,
    /// Whether another header follows it.
    pub(super) interim: bool,
    /// After how many seconds the server wants to be asked again.
    pub(super) retry_after: Option<u32>,
}

pub(super) const MALFORMED: Header = Header {
    result: Err(ErrorKind::Malformed),
    framing: Framing::Length(0),
    closes: true,
    interim: false,
    retry_after: None,
};

/// The length of the header that `bytes` begin with, if its end is there. A server without room refuses a
/// client that has not sent anything yet in the file protocol, whatever the client speaks.
pub(super) fn end(codec: &Codec, bytes: &[u8]) -> Option<usize> {
    match codec.protocol {
        Protocol::Http if !bytes.starts_with(b"ERR ") => {
            // A recipient may take LF alone for the end of a line (RFC 9112, 2.2).
            match memchr(b'\n', bytes) {
                Some(at) if at > 0 && bytes[at - 1] == b'\r' => {
                    codec.header_end.find(bytes).map(|at| at + 4)
                }
                _ => memmem::find(bytes, b"\n\n").map(|at| at + 2),
            }
        }
        _ => memchr(b'\n', bytes).map(|at| at + 1),
    }
}

/// Parses a header that [`end`] has found.
pub(super) fn parse(protocol: Protocol, header: &[u8]) -> Header {
    match protocol {
        Protocol::Http if !header.starts_with(b"ERR ") => parse_http(header),
        _ => parse_file(header),
    }
}

fn parse_file(line: &[u8]) -> Header {
    if let Some(number) = line.strip_prefix(b"OK ") {
        let number = number.strip_suffix(b"\n").and_then(decimal);
        return number.map_or(MALFORMED, |length| Header {
            result: Ok(()),
            framing: Framing::Length(length),
            closes: false,
            interim: false,
            retry_after: None,
        });
    }
    let Some(rest) = line.strip_prefix(b"ERR ") else {
        return MALFORMED;
    };
    let code = rest.split(|byte| *byte == b' ' || *byte == b'\n').next().unwrap_or_default();
    let (kind, closes) = match code {
        b"busy" => (ErrorKind::Busy, true),
        b"timeout" => (ErrorKind::Timeout, true),
        b"too-large" | b"line-too-long" => (ErrorKind::Refused, true),
        _ => (ErrorKind::Refused, false),
    };
    Header { result: Err(kind), closes, ..MALFORMED }
}

fn parse_http(header: &[u8]) -> Header {
    let mut lines = header.split(|byte| *byte == b'\n');
    let status = lines.next().unwrap_or_default();
    let (old, rest) = match (status.strip_prefix(b"HTTP/1.1 "), status.strip_prefix(b"HTTP/1.0 ")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return MALFORMED,
    };
    let Some(status) = rest.get(..3).and_then(decimal) else {
        return MALFORMED;
    };
    let mut length = None;
    let mut chunked = false;
    let (mut close, mut keep_alive, mut retry_after) = (false, false, None);
    for line in lines {
        // Most fields are told apart by their length alone.
        let Some(colon) = memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match colon {
            14 if name.eq_ignore_ascii_case(b"content-length") => match decimal(value) {
                // The same length twice is one length, and two lengths are an error (RFC 9112, 6.3).
                Some(number) if length.is_none_or(|before| before == number) => {
                    length = Some(number);
                }
                _ => return MALFORMED,
            },
            10 if name.eq_ignore_ascii_case(b"connection") => {
                // A list, which may be spread over several fields.
                for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
                    close |= option.eq_ignore_ascii_case(b"close");
                    keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            // A server sends a body so that it makes while it sends, such as a listing. No request allows
            // compression.
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return MALFORMED;
                }
                chunked = true;
            }
            11 if name.eq_ignore_ascii_case(b"retry-after") => retry_after = seconds_until(value),
            _ => {}
        }
    }
    let result = match status {
        100..=199 => {
            return Header {
                result: Ok(()),
                framing: Framing::ToEnd,
                closes: false,
                interim: true,
                retry_after: None,
            };
        }
        200..=299 => Ok(()),
        503 => Err(ErrorKind::Busy),
        408 => Err(ErrorKind::Timeout),
        _ => Err(ErrorKind::Refused),
    };
    let framing = match length {
        _ if status == 204 || status == 304 => Framing::Length(0),
        // It overrides a length.
        _ if chunked => Framing::Chunked(Chunk::FIRST),
        Some(length) => Framing::Length(length),
        None => Framing::ToEnd,
    };
    let closes = close || old && !keep_alive || framing == Framing::ToEnd;
    Header { result, framing, closes, interim: false, retry_after }
}

/// The value of a Retry-After field in seconds from now. It is a number of seconds or a date.
fn seconds_until(value: &[u8]) -> Option<u32> {
    let seconds = match decimal(value) {
        Some(seconds) => seconds,
        None => {
            let date = httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()?;
            date.duration_since(SystemTime::now())
                .map_or(0, |left| left.as_secs_f64().ceil() as u64)
        }
    };
    Some(u32::try_from(seconds).unwrap_or(u32::MAX))
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
        Some(number * 10 + u64::from(digit))
    })
}
