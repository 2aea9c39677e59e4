//! Response headers, and whole responses where the body is a line of text.

use super::conditions::{CONDITION_FAILED, Decision, Etag, MALFORMED_LIST};
use super::date::{WRITABLE_DATES, http_date, now};
use super::media::content_type;
use super::page::{JSON_TYPE, PAGE_POLICY, PAGE_TYPE};
use super::request::{Method, Request};
use super::text::{end_line, field, push_decimal};
use crate::protocol::RelPath;
use crate::store::Version;

/// The interim answer to a client that waits before it sends its body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const TEXT: &str = "text/plain; charset=utf-8";

/// Appends the response to a `GET` or `HEAD` of a file, up to the body.
///
/// For [`Decision::Full`] and [`Decision::Partial`] the bytes of the file follow, unless the
/// request is a `HEAD`. The other responses are complete.
pub(crate) fn write_file_header(
    out: &mut Vec<u8>,
    request: &Request,
    path: &RelPath,
    version: &Version,
    decision: &Decision,
    keep_alive: bool,
) {
    let is_head = request.method == Method::Head;
    let size = version.stat.size;
    let (status, length) = match *decision {
        Decision::Full => (200, size),
        Decision::Partial { length, .. } => (206, length),
        Decision::NotModified => {
            let now = begin_header(out, 304, keep_alive);
            validators(out, version, now);
            return end_line(out);
        }
        Decision::Malformed | Decision::PreconditionFailed => {
            return write_failed_condition(out, decision, is_head, keep_alive);
        }
        Decision::Unsatisfiable => {
            let line = "the range is beyond the end of the file";
            return write_text(out, 416, line, is_head, keep_alive, |out| {
                out.extend_from_slice(b"Content-Range: bytes */");
                push_decimal(out, size);
                end_line(out);
            });
        }
    };
    let now = begin_header(out, status, keep_alive);
    content_type(out, path, request.view.download);
    content_length(out, length);
    if let Decision::Partial { offset, length } = *decision {
        out.extend_from_slice(b"Content-Range: bytes ");
        push_decimal(out, offset);
        out.push(b'-');
        // A part is never empty, so there is a last byte.
        push_decimal(out, offset + (length - 1));
        out.push(b'/');
        push_decimal(out, size);
        end_line(out);
    }
    validators(out, version, now);
    out.extend_from_slice(b"Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n\r\n");
}

/// Appends the whole response to a `GET` or `HEAD` of a directory whose listing is not to be sent.
pub(crate) fn write_listing_decision(
    out: &mut Vec<u8>,
    decision: &Decision,
    is_head: bool,
    keep_alive: bool,
) {
    match decision {
        Decision::NotModified => write_header(out, 304, "", 0, keep_alive, &LISTING_CACHING),
        _ => write_failed_condition(out, decision, is_head, keep_alive),
    }
}

fn write_failed_condition(out: &mut Vec<u8>, decision: &Decision, is_head: bool, keep_alive: bool) {
    let (status, line) = match decision {
        Decision::Malformed => (400, MALFORMED_LIST),
        _ => (412, CONDITION_FAILED),
    };
    write_text(out, status, line, is_head, keep_alive, |_| ());
}

/// Which form a listing has depends on `Accept`, and a directory may change at any time.
const LISTING_CACHING: [(&str, &str); 2] = [("Vary", "Accept"), ("Cache-Control", "no-cache")];

/// Appends the header of a directory, as JSON or as a page, of which `length` bytes follow.
pub(crate) fn write_document_header(out: &mut Vec<u8>, length: u64, json: bool, keep_alive: bool) {
    let [vary, cache_control] = LISTING_CACHING;
    let fields = [
        vary,
        cache_control,
        ("Referrer-Policy", "same-origin"),
        ("Content-Security-Policy", if json { "default-src 'none'" } else { &PAGE_POLICY }),
    ];
    let media = if json { JSON_TYPE } else { PAGE_TYPE };
    write_header(out, 200, media, length, keep_alive, &fields);
}

/// Appends the whole response to an upload that is in place, under a new name or an old one, with the tag that
/// the file has now, if that is known.
pub(crate) fn write_stored(
    out: &mut Vec<u8>,
    created: bool,
    version: Option<&Version>,
    keep_alive: bool,
) {
    begin_header(out, if created { 201 } else { 204 }, keep_alive);
    if created {
        content_length(out, 0);
    }
    if let Some(version) = version {
        etag(out, version);
    }
    end_line(out);
}

/// Appends the header of any other response that is not a refusal.
///
/// An empty `content_type` is left out. 204 and 304 have no body, hence no type and no length.
fn write_header(
    out: &mut Vec<u8>,
    status: u16,
    content_type: &str,
    length: u64,
    keep_alive: bool,
    extra: &[(&str, &str)],
) {
    begin_header(out, status, keep_alive);
    if !matches!(status, 204 | 304) {
        if !content_type.is_empty() {
            field(out, "Content-Type", content_type);
            field(out, "X-Content-Type-Options", "nosniff");
        }
        content_length(out, length);
    }
    for (name, value) in extra {
        field(out, name, value);
    }
    end_line(out);
}

/// Appends a whole response that refuses a request, with `line` as the reason.
///
/// 405 lists what is allowed instead, and 503 says when to try again.
pub(crate) fn write_error(
    out: &mut Vec<u8>,
    status: u16,
    line: &str,
    is_head: bool,
    keep_alive: bool,
    read_only: bool,
) {
    write_text(out, status, line, is_head, keep_alive, |out| match status {
        405 => field(out, "Allow", allowed(read_only)),
        503 => field(out, "Retry-After", "1"),
        _ => {}
    });
}

/// Appends the whole response to `OPTIONS`.
pub(crate) fn write_options(out: &mut Vec<u8>, keep_alive: bool, read_only: bool) {
    write_header(out, 204, "", 0, keep_alive, &[("Allow", allowed(read_only))]);
}

fn allowed(read_only: bool) -> &'static str {
    if read_only { "GET, HEAD, OPTIONS" } else { "GET, HEAD, OPTIONS, PUT" }
}

/// A whole response with one line of text; `extra` appends fields.
fn write_text(
    out: &mut Vec<u8>,
    status: u16,
    line: &str,
    is_head: bool,
    keep_alive: bool,
    extra: impl FnOnce(&mut Vec<u8>),
) {
    begin_header(out, status, keep_alive);
    field(out, "Content-Type", TEXT);
    field(out, "X-Content-Type-Options", "nosniff");
    content_length(out, line.len() as u64 + 1);
    extra(out);
    end_line(out);
    if !is_head {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

/// The status line and the fields of every response. Returns the time of its `Date`.
///
/// The version is the server's, not the client's. `keep-alive` is sent to every client: an HTTP/1.0
/// client needs it, and it does not harm others.
fn begin_header(out: &mut Vec<u8>, status: u16, keep_alive: bool) -> i64 {
    let now = now();
    // Room for any head of a file, so that it grows at most once.
    out.reserve(512);
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, status.into());
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(&http_date(now));
    out.extend_from_slice(if keep_alive {
        b"\r\nConnection: keep-alive\r\n"
    } else {
        b"\r\nConnection: close\r\n"
    });
    now
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    end_line(out);
}

fn validators(out: &mut Vec<u8>, version: &Version, now: i64) {
    // A time in the future is sent as now, as RFC 9110 requires. One that no date can express is not sent, since
    // another date would be compared wrongly.
    let modified = version.stat.mtime.min(now);
    if WRITABLE_DATES.contains(&modified) {
        out.extend_from_slice(b"Last-Modified: ");
        out.extend_from_slice(&http_date(modified));
        end_line(out);
    }
    etag(out, version);
}

/// The tag, unless the file is too young for one.
fn etag(out: &mut Vec<u8>, version: &Version) {
    if let Some(etag) = Etag::to_send(version) {
        out.extend_from_slice(b"ETag: ");
        out.extend_from_slice(etag.as_bytes());
        end_line(out);
    }
}

/// Returns the phrase next to the number. It may be empty, as it is for a status that is not used here.
fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        304 => "Not Modified",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
