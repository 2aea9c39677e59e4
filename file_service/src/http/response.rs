//! Response heads, and whole responses where the body is a line of text.

use std::time::{SystemTime, UNIX_EPOCH};

use super::conditions::{Decision, Etag};
use super::page::{JSON_TYPE, PAGE_POLICY, PAGE_TYPE, push_url};
use super::request::{Method, Request};
use crate::protocol::RelPath;
use crate::store::Stat;

/// The interim answer to a client that waits before it sends its body.
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

const TEXT: &str = "text/plain; charset=utf-8";

/// Appends what a `GET` or `HEAD` of a file is answered, up to the body.
///
/// For [`Decision::Full`] and [`Decision::Partial`] the bytes of the file follow, unless the
/// request is a `HEAD`. The other responses are complete.
pub(crate) fn file_head(
    out: &mut Vec<u8>,
    request: &Request,
    path: &RelPath,
    stat: &Stat,
    decision: &Decision,
    keep_alive: bool,
) {
    let head_only = request.method == Method::Head;
    let (status, length) = match *decision {
        Decision::Full => (200, stat.size),
        Decision::Partial { length, .. } => (206, length),
        Decision::NotModified => {
            let now = begin(out, 304, keep_alive);
            validators(out, stat, now);
            return end(out);
        }
        Decision::PreconditionFailed => {
            return text(out, 412, "the file is another version", head_only, keep_alive, |_| ());
        }
        Decision::Unsatisfiable => {
            let line = "the range is beyond the end of the file";
            return text(out, 416, line, head_only, keep_alive, |out| {
                out.extend_from_slice(b"Content-Range: bytes */");
                push_decimal(out, stat.size);
                end(out);
            });
        }
    };
    let now = begin(out, status, keep_alive);
    content_type(out, path, request.view.download);
    content_length(out, length);
    if let Decision::Partial { offset, length } = *decision {
        out.extend_from_slice(b"Content-Range: bytes ");
        push_decimal(out, offset);
        out.push(b'-');
        // A part is never empty, so there is a last byte.
        push_decimal(out, offset + (length - 1));
        out.push(b'/');
        push_decimal(out, stat.size);
        end(out);
    }
    validators(out, stat, now);
    out.extend_from_slice(b"Accept-Ranges: bytes\r\nX-Content-Type-Options: nosniff\r\n\r\n");
}

/// Appends the head of a folder, as JSON or as a page, of which `length` bytes follow.
pub(crate) fn document_head(out: &mut Vec<u8>, length: u64, json: bool, keep_alive: bool) {
    // Which form it is depends on `Accept`, and a folder may change at any time.
    let fields = [
        ("Vary", "Accept"),
        ("Cache-Control", "no-cache"),
        ("Referrer-Policy", "same-origin"),
        ("Content-Security-Policy", if json { "default-src 'none'" } else { &PAGE_POLICY }),
    ];
    let media = if json { JSON_TYPE } else { PAGE_TYPE };
    body_head(out, 200, media, length, keep_alive, &fields);
}

/// Appends the whole response to an upload that is in place, under a new name or an old one.
pub(crate) fn stored(out: &mut Vec<u8>, created: bool, keep_alive: bool) {
    let status = if created { 201 } else { 204 };
    body_head(out, status, "", 0, keep_alive, &[]);
}

/// Appends the head of any other response that is no refusal.
///
/// An empty `content_type` is left out. 204 and 304 have no body, hence no type and no length.
fn body_head(
    out: &mut Vec<u8>,
    status: u16,
    content_type: &str,
    length: u64,
    keep_alive: bool,
    extra: &[(&str, &str)],
) {
    begin(out, status, keep_alive);
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
    end(out);
}

/// Appends a whole response that refuses a request: `line` says why.
///
/// 405 tells what is allowed instead.
pub(crate) fn error(
    out: &mut Vec<u8>,
    status: u16,
    line: &str,
    head_only: bool,
    keep_alive: bool,
    read_only: bool,
) {
    text(out, status, line, head_only, keep_alive, |out| {
        if status == 405 {
            field(out, "Allow", allowed(read_only));
        }
    });
}

/// Appends the whole response to `OPTIONS`.
pub(crate) fn options(out: &mut Vec<u8>, keep_alive: bool, read_only: bool) {
    body_head(out, 204, "", 0, keep_alive, &[("Allow", allowed(read_only))]);
}

fn allowed(read_only: bool) -> &'static str {
    if read_only { "GET, HEAD, OPTIONS" } else { "GET, HEAD, OPTIONS, PUT" }
}

/// A whole response with one line of text; `extra` appends fields.
fn text(
    out: &mut Vec<u8>,
    status: u16,
    line: &str,
    head_only: bool,
    keep_alive: bool,
    extra: impl FnOnce(&mut Vec<u8>),
) {
    begin(out, status, keep_alive);
    field(out, "Content-Type", TEXT);
    field(out, "X-Content-Type-Options", "nosniff");
    content_length(out, line.len() as u64 + 1);
    extra(out);
    end(out);
    if !head_only {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
}

/// The status line and the fields of every response. Returns the time of its `Date`.
///
/// The version is the server's, not the client's. `keep-alive` is said to everyone: an HTTP/1.0
/// client needs to hear it and no other minds.
fn begin(out: &mut Vec<u8>, status: u16, keep_alive: bool) -> i64 {
    let now = now();
    // Room for any head of a file, so that it grows at most once.
    out.reserve(512);
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, status.into());
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\nDate: ");
    out.extend_from_slice(&http_date(now));
    out.extend_from_slice(if keep_alive {
        b"\r\nConnection: keep-alive\r\n"
    } else {
        b"\r\nConnection: close\r\n"
    });
    now
}

/// The end of a field begun by hand, and of a head.
fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// One field. Control bytes are dropped from its value, so that none can end the field.
fn field(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend(value.bytes().filter(|byte| !byte.is_ascii_control()));
    end(out);
}

fn content_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, length);
    end(out);
}

/// The type of a file by its name, and whether a browser is to save it: `download`, or what it might run.
fn content_type(out: &mut Vec<u8>, path: &RelPath, download: bool) {
    let media = media_type(path);
    out.extend_from_slice(b"Content-Type: ");
    out.extend_from_slice(media.as_bytes());
    if media.starts_with("text/") {
        out.extend_from_slice(b"; charset=utf-8");
    }
    end(out);
    let is_harmless = is_harmless(media);
    if download || !is_harmless {
        disposition(out, path);
    }
    if !is_harmless {
        // Where it is shown all the same, it has an origin of its own and runs nothing.
        field(out, "Content-Security-Policy", "sandbox");
    }
}

/// Whether a browser that follows the type runs nothing when it shows the file, or only ever saves it.
///
/// A list of what is known to be so: what is forgotten here is merely saved instead of shown.
fn is_harmless(media: &str) -> bool {
    const EXACT: &[&str] = &[
        UNKNOWN_TYPE,
        "application/gzip",
        "application/json",
        "application/pdf",
        "application/zip",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/x-icon",
        "text/css",
        "text/csv",
        "text/javascript",
        "text/markdown",
        "text/plain",
        "text/x-c",
        "text/x-rust",
        "text/x-toml",
        "text/x-yaml",
    ];
    EXACT.contains(&media) || media.starts_with("audio/") || media.starts_with("video/")
}

/// Offers the file for saving under its own name: RFC 6266, with a plainer name for old programs where
/// the own one is not plain.
fn disposition(out: &mut Vec<u8>, path: &RelPath) {
    let name = path.split().map_or(&b""[..], |(_, name)| name);
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b" ._-+,=@()[]".contains(&b);
    let mut plain = String::with_capacity(name.len());
    let text = String::from_utf8_lossy(name);
    plain.extend(text.chars().map(|c| match u8::try_from(c) {
        Ok(byte) if is_plain(byte) => c,
        _ => '_',
    }));
    let mut value = format!("attachment; filename=\"{plain}\"");
    if plain != text {
        value.push_str("; filename*=UTF-8''");
        push_url(&mut value, text.as_bytes());
    }
    field(out, "Content-Disposition", &value);
}

fn validators(out: &mut Vec<u8>, stat: &Stat, now: i64) {
    out.extend_from_slice(b"Last-Modified: ");
    // A file from the future was modified now, as far as any client may hear.
    out.extend_from_slice(&http_date(stat.mtime.min(now)));
    out.extend_from_slice(b"\r\nETag: ");
    out.extend_from_slice(Etag::of(stat).as_bytes());
    end(out);
}

/// By the extension of the name; a leading dot begins none.
fn media_type(path: &RelPath) -> &'static str {
    let name = path.split().map_or(&b""[..], |(_, name)| name);
    memchr::memrchr(b'.', name)
        .filter(|&dot| dot > 0)
        .and_then(|dot| std::str::from_utf8(&name[dot + 1..]).ok())
        .and_then(|extension| {
            COMMON_TYPES
                .iter()
                .find(|(common, _)| *common == extension)
                .map(|&(_, media)| media)
                .or_else(|| mime_guess::from_ext(extension).first_raw())
        })
        .unwrap_or(UNKNOWN_TYPE)
}

const UNKNOWN_TYPE: &str = "application/octet-stream";

/// What mime_guess says about the extensions met most often; its search through all that it knows
/// takes half as long as everything else about a head.
const COMMON_TYPES: [(&str, &str); 8] = [
    ("txt", "text/plain"),
    ("html", "text/html"),
    ("bin", UNKNOWN_TYPE),
    ("css", "text/css"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("png", "image/png"),
    ("jpg", "image/jpeg"),
];

/// The phrase beside the number. It may be empty, as it is for a status nobody here uses.
fn reason(status: u16) -> &'static str {
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

/// Seconds since the epoch.
pub(super) fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

/// A moment in UTC, in the calendar.
pub(super) struct Civil {
    pub(super) year: i64,
    /// 1 to 12.
    pub(super) month: u8,
    /// 1 to 31.
    pub(super) day: u8,
    /// 0 for Sunday.
    pub(super) weekday: u8,
    pub(super) hour: u8,
    pub(super) minute: u8,
    pub(super) second: u8,
}

impl Civil {
    /// Any number of seconds since the epoch, a negative one too. (httpdate panics outside the
    /// years 1970 to 9999, and files can claim any time.)
    pub(super) fn from_seconds(seconds: i64) -> Civil {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // Counted from 1 March of the year 0, so that a leap day is the last day of its year, in
        // eras of 400 years, which all have the same number of days.
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // March is 0; from there on, the lengths of the months follow a line of slope 153 / 5.
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Civil {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u8,
            day: day as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
            hour: (rest / 3_600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
        }
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`; times outside the years 1970 to 9999 are moved to the nearest
/// end.
fn http_date(seconds: i64) -> [u8; 29] {
    const LAST: i64 = 253_402_300_799;
    const DAYS: &[u8; 21] = b"SunMonTueWedThuFriSat";
    const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";
    let civil = Civil::from_seconds(seconds.clamp(0, LAST));
    let mut date = *b"Sun, 00 Jan 0000 00:00:00 GMT";
    let day = usize::from(civil.weekday) * 3;
    let month = usize::from(civil.month - 1) * 3;
    date[0..3].copy_from_slice(&DAYS[day..day + 3]);
    date[8..11].copy_from_slice(&MONTHS[month..month + 3]);
    let (century, year) = ((civil.year / 100) as u8, (civil.year % 100) as u8);
    let pairs = [
        (5, civil.day),
        (12, century),
        (14, year),
        (17, civil.hour),
        (20, civil.minute),
        (23, civil.second),
    ];
    for (at, number) in pairs {
        date[at] = b'0' + number / 10;
        date[at + 1] = b'0' + number % 10;
    }
    date
}

/// Without the machinery of `format!`, which would be a good part of the cost of a head.
fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes lower-case hex digits to the start of `out` and tells how many. `out` must have room for
/// 16, or for as many as the number needs.
pub(super) fn push_hex(number: u64, out: &mut [u8]) -> usize {
    let digits = (64 - (number | 1).leading_zeros()).div_ceil(4) as usize;
    for (at, digit) in out[..digits].iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (4 * at) & 15) as usize];
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::super::conditions::decide;
    use super::super::request::{Parsed, parse};
    use super::*;
    use crate::protocol::Code;
    use proptest::prelude::*;
    use std::time::Duration;

    const MTIME: i64 = 784_111_777;

    fn stat(size: u64) -> Stat {
        Stat { size, mtime: MTIME, mtime_nsec: 500, ino: 42 }
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

    fn file(head: &str, stat: &Stat) -> Response {
        let request = request(head);
        let decision = decide(&request, stat);
        let mut out = Vec::new();
        let path = request.path.clone().unwrap();
        file_head(&mut out, &request, &path, stat, &decision, request.keep_alive);
        Response::read(&out)
    }

    #[test]
    fn a_whole_file() {
        for method in ["GET", "HEAD"] {
            let response =
                file(&format!("{method} /d/a.html HTTP/1.1\r\nHost: a\r\n\r\n"), &stat(100));
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
            assert_eq!(etag.as_bytes(), Etag::of(&stat(100)).as_bytes());
        }
    }

    #[test]
    fn a_part_of_a_file() {
        let head = "GET /a HTTP/1.0\r\nRange: bytes=10-19\r\n\r\n";
        let response = file(head, &stat(100));
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
    fn a_part_that_is_not_there() {
        let head = "GET /a HTTP/1.1\r\nHost: a\r\nRange: bytes=100-\r\n\r\n";
        let response = file(head, &stat(100));
        assert_eq!(response.status, "HTTP/1.1 416 Range Not Satisfiable");
        response.has(&[
            ("Content-Range", Some("bytes */100")),
            ("Content-Type", Some(TEXT)),
            ("ETag", None),
        ]);
        assert_eq!(response.field("Content-Length"), Some(&*response.body.len().to_string()));
    }

    #[test]
    fn a_copy_that_is_still_good() {
        let head = "GET /a HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n";
        let response = file(head, &stat(100));
        assert_eq!(response.status, "HTTP/1.1 304 Not Modified");
        assert_eq!(response.body, "");
        response.has(&[("Content-Length", None), ("Content-Type", None)]);
        assert!(response.field("ETag").is_some() && response.field("Last-Modified").is_some());
    }

    #[test]
    fn another_version() {
        for (method, has_body) in [("GET", true), ("HEAD", false)] {
            let head = format!("{method} /a HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"\r\n\r\n");
            let response = file(&head, &stat(100));
            assert_eq!(response.status, "HTTP/1.1 412 Precondition Failed");
            assert_eq!(!response.body.is_empty(), has_body);
            assert_eq!(response.field("Content-Length"), Some("28"));
        }
    }

    #[test]
    fn types_by_name() {
        for (name, media) in [
            ("/a.txt", "text/plain"),
            ("/a.TXT", "text/plain"),
            ("/a.tar.gz", "application/gzip"),
            ("/a.json", "application/json"),
            ("/a.png", "image/png"),
            ("/a.svg", "image/svg+xml"),
            ("/a.js", "text/javascript"),
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
    fn what_a_browser_might_run_is_offered_for_saving() {
        let sent =
            |target: &str| file(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"), &stat(100));
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
            "a", "a.bin", "a.txt", "a.png", "a.pdf", "a.json", "a.mp4", "a.js", "a.css", "a.rs",
            "a.zip",
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
        let gone = file("GET /a.html HTTP/1.1\r\nHost: a\r\nIf-None-Match: *\r\n\r\n", &stat(100));
        gone.has(&[("Content-Disposition", None), ("Content-Security-Policy", None)]);
    }

    #[test]
    fn no_harmless_type_is_markup() {
        for extension in [
            "html", "htm", "shtml", "xhtml", "xht", "svg", "svgz", "xml", "xsl", "xslt", "rss",
            "atom", "mathml", "rdf", "xul", "mht", "mhtml", "eml", "swf", "hta", "htc", "dtd",
            "wsdl", "xsd", "xlf",
        ] {
            if let Some(media) = mime_guess::from_ext(extension).first_raw() {
                assert!(!is_harmless(media) || media == UNKNOWN_TYPE, "{extension}: {media}");
            }
        }
    }

    #[test]
    fn the_shortcut_leads_to_the_same_types() {
        for (extension, media) in COMMON_TYPES {
            assert_eq!(mime_guess::from_ext(extension).first_raw(), Some(media), "{extension}");
        }
    }

    #[test]
    fn folders_and_uploads() {
        for (json, media) in [(true, JSON_TYPE), (false, PAGE_TYPE)] {
            let mut out = Vec::new();
            document_head(&mut out, 7, json, true);
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
            let mut out = Vec::new();
            stored(&mut out, created, false);
            let response = Response::read(&out);
            assert_eq!((&*response.status, &*response.body), (status, ""));
            response.has(&[
                ("Content-Length", length),
                ("Content-Type", None),
                ("Connection", Some("close")),
            ]);
        }
    }

    #[test]
    fn no_value_ends_its_field() {
        let mut out = Vec::new();
        body_head(&mut out, 200, "", 0, false, &[("Location", "/a\r\nX: y")]);
        Response::read(&out).has(&[("Location", Some("/aX: y")), ("X", None)]);
    }

    #[test]
    fn what_is_allowed() {
        for (read_only, allow) in [(false, "GET, HEAD, OPTIONS, PUT"), (true, "GET, HEAD, OPTIONS")]
        {
            let mut out = Vec::new();
            options(&mut out, true, read_only);
            let response = Response::read(&out);
            assert_eq!(response.status, "HTTP/1.1 204 No Content");
            response.has(&[("Allow", Some(allow)), ("Content-Length", None)]);
            assert_eq!(response.body, "");
            out.clear();
            error(&mut out, 405, "no", false, true, read_only);
            Response::read(&out).has(&[("Allow", Some(allow)), ("Content-Length", Some("3"))]);
            out.clear();
            error(&mut out, 400, "no", false, true, read_only);
            Response::read(&out).has(&[("Allow", None)]);
        }
    }

    #[test]
    fn refusals_say_why() {
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
            for head_only in [false, true] {
                let mut out = Vec::new();
                let line = format!("{code}: {}", code.message());
                error(&mut out, code.http_status(), &line, head_only, false, false);
                let response = Response::read(&out);
                let (status, phrase) = (code.http_status(), reason(code.http_status()));
                assert!(!phrase.is_empty());
                assert_eq!(response.status, format!("HTTP/1.1 {status} {phrase}"));
                let body = format!("{}: {}\n", code.as_str(), code.message());
                assert_eq!(response.body, if head_only { "" } else { &*body });
                response.has(&[
                    ("Content-Length", Some(&*body.len().to_string())),
                    ("Content-Type", Some(TEXT)),
                    ("X-Content-Type-Options", Some("nosniff")),
                    ("Connection", Some("close")),
                ]);
            }
        }
        for status in [405, 411, 413, 414, 417, 431, 501, 505] {
            assert!(!reason(status).is_empty(), "{status}");
        }
    }

    #[test]
    fn strange_times_are_no_trouble() {
        for mtime in [i64::MIN, -1, 0, 253_402_300_800, i64::MAX] {
            let stat = Stat { mtime, ..stat(1) };
            let response = file("GET /a HTTP/1.1\r\nHost: a\r\n\r\n", &stat);
            let date = response.field("Last-Modified").unwrap();
            let date = httpdate::parse_http_date(date).unwrap();
            assert!(date <= SystemTime::now());
        }
    }

    proptest! {
        #[test]
        fn dates_are_those_of_httpdate(seconds in 0..253_402_300_800i64) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds.cast_unsigned());
            let expected = httpdate::fmt_http_date(time);
            prop_assert_eq!(&http_date(seconds)[..], expected.into_bytes());
        }

        #[test]
        fn every_time_has_a_date(seconds in any::<i64>()) {
            let civil = Civil::from_seconds(seconds);
            prop_assert!((1..=12).contains(&civil.month) && (1..=31).contains(&civil.day));
            http_date(seconds);
        }

        #[test]
        fn numbers_are_those_of_format(number in any::<u64>(), shift in 0..64u32) {
            let number = number >> shift;
            let mut out = Vec::new();
            push_decimal(&mut out, number);
            prop_assert_eq!(out, number.to_string().into_bytes());
            let mut hex = [0; 16];
            let digits = push_hex(number, &mut hex);
            prop_assert_eq!(hex[..digits].to_vec(), format!("{number:x}").into_bytes());
        }
    }
}
