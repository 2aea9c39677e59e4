//! Request heads: where one ends, whether it is well formed, and what it asks for.

use super::conditions::{Conditions, RangeSpec};
use super::origin::{self, Sender};
use crate::protocol::{Code, RelPath};

/// The longest head: request line, fields and the empty line.
pub(crate) const MAX_HEAD: usize = 16 * 1024;

/// The most fields in one head.
const MAX_FIELDS: usize = 100;

/// As many fields are looked for on the stack, and more on the heap: where the stack is a coroutine's,
/// each page that is ever touched counts for every idle client.
const USUAL_FIELDS: usize = 16;

/// The longest request line, its CR and LF included.
const MAX_REQUEST_LINE: usize = 8192;

/// What the bytes received so far amount to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The beginning of a head; more must come.
    Partial,
    /// A whole head.
    Complete {
        /// What it asks for.
        request: Request,
        /// How many bytes it took, the empty line included.
        head_len: usize,
    },
    /// No well-formed head, whatever may follow. The connection must close after the answer, since
    /// nobody knows where the next request begins.
    Invalid {
        /// 400, 414, 431, 501 or 505.
        status: u16,
        /// One line for a person.
        reason: &'static str,
    },
}

/// One request, without its body.
#[derive(Debug)]
pub(crate) struct Request {
    /// What to do.
    pub(crate) method: Method,
    /// With what: the path of the target without query and fragment. The root for `OPTIONS *`.
    pub(crate) path: Result<RelPath, Code>,
    /// Whether the client wants to send more requests on this connection.
    pub(crate) keep_alive: bool,
    /// The length of the body, where it is given; there is no other kind of body.
    pub(crate) length: Option<u64>,
    /// What the client waits for before it sends the body.
    pub(crate) expect: Expect,
    /// Whether a folder is wanted as JSON rather than as a page.
    pub(crate) wants_json: bool,
    /// What the query asks for.
    pub(crate) view: View,
    /// Where an upload comes from, if a browser tells. Boxed because few requests do.
    pub(super) sender: Option<Box<Sender>>,
    /// The part of the file wanted; `None` also where the standard says to ignore the field.
    pub(super) range: Option<RangeSpec>,
    /// Boxed because few requests have any.
    pub(super) conditions: Option<Box<Conditions>>,
}

impl Request {
    /// Why whoever sent this may not write, if so. `own_name` is the host of `--addr`.
    pub(crate) fn objection(&self, own_name: Option<&str>) -> Option<&'static str> {
        self.sender.as_ref().and_then(|sender| origin::objection(sender, own_name))
    }
}

/// What the query of a target asks for. What it does not know, it ignores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// `sort`: how the page of a folder is ordered.
    pub(crate) sort: Sort,
    /// `order=desc`: the other way round.
    pub(crate) descending: bool,
    /// `download`: a file is to be saved, even if a browser could show it.
    pub(crate) download: bool,
}

/// What the page of a folder is ordered by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    /// By name, as people count.
    #[default]
    Name,
    /// By size.
    Size,
    /// By the time of the last change.
    Date,
}

/// What a request wants done. Names of methods are case-sensitive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// The file or the folder.
    Get,
    /// As `Get`, without the body.
    Head,
    /// Store the body.
    Put,
    /// What is allowed.
    Options,
    /// A method of the standard that no server here serves: 405.
    NotAllowed,
    /// A method nobody knows: 501.
    Unknown,
}

/// What the client waits for before it sends the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Nothing.
    None,
    /// The interim answer [`CONTINUE`](super::CONTINUE).
    Continue,
    /// Something unknown: 417.
    Other,
}

/// Whether the first line of a connection, without its LF, makes it an HTTP connection.
///
/// This only tells the two protocols apart: [`parse`] is the judge of the line.
pub(crate) fn is_request_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    split_line(line).is_some_and(|line| {
        is_token(line.method) && matches!(line.version, b"HTTP/1.0" | b"HTTP/1.1")
    })
}

/// Reads one head. `input` begins with the first byte of a request line; it may end before the head
/// does, or go on after it.
///
/// Growing the input never turns [`Parsed::Invalid`] into anything else, so a violation is answered
/// as soon as it can be seen.
pub(crate) fn parse(input: &[u8]) -> Parsed {
    match parse_head(input) {
        Ok(Some((request, head_len))) => Parsed::Complete { request, head_len },
        Ok(None) => Parsed::Partial,
        Err(Refusal(status, reason)) => Parsed::Invalid { status, reason },
    }
}

/// A status and its reason.
struct Refusal(u16, &'static str);

const BARE_LF: Refusal = Refusal(400, "every line must end with CR and LF");

/// `None` while the end of the head is missing.
fn parse_head(input: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    // What lies beyond the limit is not looked at, so that the verdict does not depend on how much
    // has arrived already.
    let window = &input[..input.len().min(MAX_HEAD)];
    let first = &window[..window.len().min(MAX_REQUEST_LINE)];
    let Some(lf) = memchr::memchr(b'\n', first) else {
        return if first.len() == MAX_REQUEST_LINE {
            Err(Refusal(414, "the request line is longer than 8192 bytes"))
        } else {
            Ok(None)
        };
    };
    let line = first[..lf].strip_suffix(b"\r").ok_or(BARE_LF)?;
    let (method, target, version_11) = parse_line(line)?;

    let rest = &window[lf + 1..];
    let mut few = [httparse::EMPTY_HEADER; USUAL_FIELDS];
    let mut many;
    let outcome = match httparse::parse_headers(rest, &mut few) {
        Err(httparse::Error::TooManyHeaders) => {
            many = vec![httparse::EMPTY_HEADER; MAX_FIELDS];
            httparse::parse_headers(rest, &mut many)
        }
        outcome => outcome,
    };
    let status = outcome.map_err(|error| match error {
        httparse::Error::TooManyHeaders => Refusal(431, "the head has more than 100 fields"),
        httparse::Error::HeaderName => Refusal(400, "the name of a field is malformed"),
        httparse::Error::HeaderValue => Refusal(400, "the value of a field is malformed"),
        _ => Refusal(400, "the head is malformed"),
    })?;
    match status {
        httparse::Status::Partial => {
            all_lines_end_with_crlf(rest)?;
            if window.len() == MAX_HEAD {
                return Err(Refusal(431, "the head is longer than 16 KiB"));
            }
            Ok(None)
        }
        httparse::Status::Complete((taken, fields)) => {
            all_lines_end_with_crlf(&rest[..taken])?;
            let request = Fields::collect(fields)?.into_request(method, target, version_11)?;
            Ok(Some((request, lf + 1 + taken)))
        }
    }
}

/// httparse takes a bare LF for the end of a line, and of the head.
fn all_lines_end_with_crlf(bytes: &[u8]) -> Result<(), Refusal> {
    for lf in memchr::memchr_iter(b'\n', bytes) {
        if lf == 0 || bytes[lf - 1] != b'\r' {
            return Err(BARE_LF);
        }
    }
    Ok(())
}

/// The three fields of a request line, not yet judged.
struct Line<'a> {
    method: &'a [u8],
    target: &'a [u8],
    version: &'a [u8],
}

/// `None` unless there are exactly three fields, none empty, with one space between them.
fn split_line(line: &[u8]) -> Option<Line<'_>> {
    let mut fields = line.split(|&b| b == b' ');
    let (method, target, version) = (fields.next()?, fields.next()?, fields.next()?);
    let whole = fields.next().is_none() && ![method, target, version].contains(&&b""[..]);
    whole.then_some(Line { method, target, version })
}

fn parse_line(line: &[u8]) -> Result<(Method, &[u8], bool), Refusal> {
    let malformed = Refusal(400, "the request line is malformed");
    let Some(Line { method, target, version }) = split_line(line) else {
        return Err(malformed);
    };
    if !is_token(method) || target.iter().any(u8::is_ascii_control) {
        return Err(malformed);
    }
    let version_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Refusal(505, "only HTTP/1.0 and HTTP/1.1 are spoken here"));
        }
        _ => return Err(malformed),
    };
    let method = match method {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"PUT" => Method::Put,
        b"OPTIONS" => Method::Options,
        b"POST" | b"DELETE" | b"PATCH" | b"TRACE" | b"CONNECT" => Method::NotAllowed,
        _ => Method::Unknown,
    };
    Ok((method, target, version_11))
}

/// The path that a target names.
fn parse_target(method: Method, target: &[u8]) -> Result<RelPath, Code> {
    if target == b"*" && method == Method::Options {
        return Ok(RelPath::root());
    }
    // What the query says is no part of the path.
    let end = target.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    let target = &target[..end];
    if target.starts_with(b"/") {
        return RelPath::decode(target);
    }
    // What a client says to a proxy, which a server must understand as well. The host does not
    // matter: there is only one here.
    const SCHEME: &[u8] = b"http://";
    let (scheme, rest) = target.split_at_checked(SCHEME.len()).ok_or(Code::BadPath)?;
    let path = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path);
    if !scheme.eq_ignore_ascii_case(SCHEME) || authority.is_empty() || !is_host(authority) {
        return Err(Code::BadPath);
    }
    if path.is_empty() { Ok(RelPath::root()) } else { RelPath::decode(path) }
}

impl View {
    /// Of several parameters of one name the last one counts.
    fn of(target: &[u8]) -> View {
        let mut view = View::default();
        let whole = target.split(|&b| b == b'#').next().unwrap_or_default();
        let Some(question) = memchr::memchr(b'?', whole) else {
            return view;
        };
        for parameter in whole[question + 1..].split(|&b| b == b'&') {
            match parameter {
                b"sort=name" => view.sort = Sort::Name,
                b"sort=size" => view.sort = Sort::Size,
                b"sort=date" => view.sort = Sort::Date,
                b"order=asc" => view.descending = false,
                b"order=desc" => view.descending = true,
                b"download" | b"download=" => view.download = true,
                _ => {}
            }
        }
        view
    }
}

/// What the fields of one head say together.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    origin: Option<Vec<u8>>,
    site: Option<Vec<u8>>,
    close: bool,
    keep_alive: bool,
    length: Option<u64>,
    transfer_encoding: bool,
    expect_continue: bool,
    expect_other: bool,
    ranges: usize,
    range: Option<RangeSpec>,
    accept: Accept,
    conditions: Option<Box<Conditions>>,
}

impl<'a> Fields<'a> {
    fn collect(fields: &[httparse::Header<'a>]) -> Result<Fields<'a>, Refusal> {
        let mut all = Fields::default();
        for field in fields {
            all.add(field.name, field.value.trim_ascii())?;
        }
        Ok(all)
    }

    fn add(&mut self, name: &str, value: &'a [u8]) -> Result<(), Refusal> {
        // Each comparison looks at the length first, so a long chain costs little.
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if is("Host") {
            if self.host.is_some() {
                return Err(Refusal(400, "more than one Host field"));
            }
            if !is_host(value) {
                return Err(Refusal(400, "the Host field is malformed"));
            }
            self.host = Some(value);
        } else if is("Connection") {
            for token in list(value) {
                self.close |= token.eq_ignore_ascii_case(b"close");
                self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            }
        } else if is("Content-Length") {
            let length = parse_length(value)
                .ok_or(Refusal(400, "the Content-Length field is no number of bytes"))?;
            if self.length.replace(length).is_some_and(|other| other != length) {
                return Err(Refusal(400, "two Content-Length fields differ"));
            }
        } else if is("Transfer-Encoding") {
            self.transfer_encoding = true;
        } else if is("Expect") {
            for token in list(value) {
                let known = token.eq_ignore_ascii_case(b"100-continue");
                self.expect_continue |= known;
                self.expect_other |= !known;
            }
        } else if is("Accept") {
            self.accept.add(value);
        } else if is("Range") {
            self.ranges += 1;
            self.range = RangeSpec::parse(value);
        } else if is("Origin") {
            join(&mut self.origin, value);
        } else if is("Sec-Fetch-Site") {
            join(&mut self.site, value);
        } else if let Some(kept) = Conditions::field(&mut self.conditions, name) {
            join(kept, value);
        }
        Ok(())
    }

    fn into_request(
        self,
        method: Method,
        target: &[u8],
        version_11: bool,
    ) -> Result<Request, Refusal> {
        if version_11 && self.host.is_none() {
            return Err(Refusal(400, "the Host field is missing"));
        }
        if self.transfer_encoding {
            return Err(match self.length {
                Some(_) => Refusal(400, "both Content-Length and Transfer-Encoding"),
                None => Refusal(501, "transfer codings are not served, send a Content-Length"),
            });
        }
        let sender = (self.origin.is_some() || self.site.is_some()).then(|| {
            let host = self.host.unwrap_or_default().to_vec();
            Box::new(Sender { host, origin: self.origin, site: self.site })
        });
        Ok(Request {
            method,
            path: parse_target(method, target),
            view: View::of(target),
            sender,
            keep_alive: !self.close && (version_11 || self.keep_alive),
            length: self.length,
            expect: match (self.expect_other, self.expect_continue) {
                (true, _) => Expect::Other,
                // Interim answers came with 1.1; an older client would take one for the last.
                (false, true) if version_11 => Expect::Continue,
                _ => Expect::None,
            },
            wants_json: self.accept.wants_json(),
            range: self.range.filter(|_| self.ranges == 1),
            conditions: self.conditions,
        })
    }
}

/// Several fields of one name are one list. Where no list is allowed, the joined value is malformed, as
/// it should be.
fn join(kept: &mut Option<Vec<u8>>, value: &[u8]) {
    match kept {
        Some(value_so_far) => {
            value_so_far.extend_from_slice(b", ");
            value_so_far.extend_from_slice(value);
        }
        None => *kept = Some(value.to_vec()),
    }
}

/// The members of a comma-separated list, without the empty ones.
fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// 1 to 19 digits, at most 2^63-1: offsets of the operating system are signed. No list, not even of
/// equal numbers.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // 19 digits fit a u64.
    let length = value.iter().fold(0u64, |n, digit| n * 10 + u64::from(digit - b'0'));
    (length <= i64::MAX as u64).then_some(length)
}

/// The characters of method names and field names.
fn is_token(word: &[u8]) -> bool {
    let is_token_char = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !word.is_empty() && word.iter().all(is_token_char)
}

/// `host [":" port]`, where the host may be empty. What it names is of no interest, but a strange
/// one may be read as something else by somebody on the way.
fn is_host(value: &[u8]) -> bool {
    let is_port = |rest: &[u8]| match rest {
        [] => true,
        [b':', port @ ..] => port.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if let Some(literal) = value.strip_prefix(b"[") {
        let Some(end) = memchr::memchr(b']', literal) else {
            return false;
        };
        let (address, rest) = (&literal[..end], &literal[end + 1..]);
        let is_address = |b: &u8| b.is_ascii_alphanumeric() || b":.%-_~".contains(b);
        !address.is_empty() && address.iter().all(is_address) && is_port(rest)
    } else {
        let end = memchr::memchr(b':', value).unwrap_or(value.len());
        let (name, rest) = value.split_at(end);
        let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(b);
        name.iter().all(is_name) && is_port(rest)
    }
}

/// How much the client likes the two forms of a folder, in thousandths.
#[derive(Default)]
struct Accept {
    /// For `application/json` by name: nobody gets JSON who did not ask for it.
    json: u16,
    /// For `text/html`, `text/*` and `*/*`, of which the most exact one counts.
    html: [Option<u16>; 3],
}

impl Accept {
    fn add(&mut self, value: &[u8]) {
        for member in list(value) {
            let mut parts = member.split(|&b| b == b';').map(<[u8]>::trim_ascii);
            let media = parts.next().unwrap_or_default();
            let is = |known: &str| media.eq_ignore_ascii_case(known.as_bytes());
            let quality = parts
                .find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")))
                .map_or(1000, parse_quality);
            if is("application/json") {
                self.json = self.json.max(quality);
            } else if let Some(at) = ["text/html", "text/*", "*/*"].into_iter().position(is) {
                let html = &mut self.html[at];
                *html = (*html).max(Some(quality));
            }
        }
    }

    fn wants_json(&self) -> bool {
        let html = self.html.into_iter().flatten().next().unwrap_or(0);
        // Between a name and a wildcard of equal weight, the name is what was meant.
        let named_html = self.html[0].is_some();
        self.json > html || (self.json > 0 && self.json == html && !named_html)
    }
}

/// `0`, `0.5`, `1.000` in thousandths; 0 for what is malformed.
fn parse_quality(value: &[u8]) -> u16 {
    let (whole, digits) = match value {
        [whole] => (whole, &[][..]),
        [whole, b'.', digits @ ..] if digits.len() <= 3 => (whole, digits),
        _ => return 0,
    };
    if !matches!(whole, b'0' | b'1') || !digits.iter().all(u8::is_ascii_digit) {
        return 0;
    }
    let fraction = digits
        .iter()
        .zip([100, 10, 1])
        .map(|(digit, weight)| u16::from(digit - b'0') * weight)
        .sum::<u16>();
    (u16::from(whole - b'0') * 1000 + fraction).min(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The request of a head, which must be whole.
    fn request(head: &str) -> Request {
        match parse(head.as_bytes()) {
            Parsed::Complete { request, head_len } if head_len == head.len() => request,
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
    fn the_first_line_tells_the_protocols_apart() {
        for line in [
            "GET / HTTP/1.1",
            "GET / HTTP/1.1\r",
            "get /a%20b?x HTTP/1.0",
            "BREW pot HTTP/1.1",
            "M-SEARCH * HTTP/1.1",
        ] {
            assert!(is_request_line(line.as_bytes()), "{line:?}");
        }
        for line in [
            "",
            "\r",
            "GET /",
            "GET / 0",
            "GET / 0 5",
            "PUT /x 5",
            "LIST",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "GET / x HTTP/1.1",
            "GET  HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET / HTTP/1.2",
            "GET / HTTP/2.0",
            "GET / http/1.1",
            "GET / HTTP/1.1\r\r",
            "PRI * HTTP/2.0",
        ] {
            assert!(!is_request_line(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn a_plain_request() {
        let head = "GET /a%20b/c HTTP/1.1\r\nHost: localhost:9000\r\nUser-Agent: x\r\n\r\n";
        let request = request(head);
        assert_eq!(request.method, Method::Get);
        assert_eq!(request.path.unwrap().as_bytes(), b"a b/c");
        assert!(request.keep_alive && !request.wants_json);
        assert_eq!(request.length, None);
        assert_eq!(request.expect, Expect::None);
        assert!(request.range.is_none() && request.conditions.is_none());
        assert!(request.sender.is_none() && request.view == View::default());
    }

    #[test]
    fn what_follows_the_head_is_left_alone() {
        let head = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        for after in [&b"GET /b HTTP/1.1\r\n"[..], b"\n\n\xff", &[b'x'; 2 * MAX_HEAD]] {
            match parse(&[head, after].concat()) {
                Parsed::Complete { head_len, .. } => assert_eq!(head_len, head.len()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn methods() {
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
    fn request_lines_have_one_form() {
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
            ("GET / HTTP/1.2", 505),
            ("GET / HTTP/2.0", 505),
            ("GET / HTTP/0.9", 505),
        ] {
            assert_eq!(status(&format!("{line}\r\nHost: a\r\n\r\n")), expected, "{line:?}");
        }
    }

    #[test]
    fn targets() {
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
    fn queries() {
        let view =
            |query: &str| request(&format!("GET /a{query} HTTP/1.1\r\nHost: a\r\n\r\n")).view;
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
    fn browsers_say_where_they_come_from() {
        let sender = |fields: &str| with(fields).sender.map(|sender| *sender);
        assert_eq!(sender("X-Origin: b\r\n"), None);
        let own = sender("origin: http://a\r\nSec-Fetch-Site: same-origin\r\n").unwrap();
        assert_eq!((&own.host[..], own.origin.as_deref()), (&b"a"[..], Some(&b"http://a"[..])));
        assert_eq!(own.site.as_deref(), Some(&b"same-origin"[..]));
        let two = sender("Origin: http://a\r\nOrigin: http://b\r\n").unwrap();
        assert_eq!(two.origin.as_deref(), Some(&b"http://a, http://b"[..]));
        assert_eq!(with("Origin: http://b\r\n").objection(None), Some(origin::FOREIGN));
        assert_eq!(with("Origin: http://a\r\n").objection(None), Some(origin::UNKNOWN_HOST));
        assert_eq!(with("Origin: http://a\r\n").objection(Some("a")), None);
        assert_eq!(with("").objection(None), None);
        let old = request("PUT /a HTTP/1.0\r\nOrigin: http://a\r\n\r\n");
        assert_eq!(old.objection(Some("a")), Some(origin::FOREIGN));
    }

    #[test]
    fn a_bare_lf_ends_nothing() {
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
        // Seen before the head ends.
        assert_eq!(status("GET / HTTP/1.1\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a\nX"), 400);
        // A bare CR is no better.
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"), 400);
        assert_eq!(status("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"), 400);
    }

    #[test]
    fn an_empty_line_before_the_request_is_refused() {
        assert_eq!(status("\r\nGET / HTTP/1.0\r\n\r\n"), 400);
        assert_eq!(status("\nGET / HTTP/1.0\r\n\r\n"), 400);
    }

    #[test]
    fn malformed_fields_are_refused() {
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
    fn host_is_given_once() {
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
    fn lengths() {
        for (fields, length) in [
            ("", None),
            ("Content-Length: 0\r\n", Some(0)),
            ("content-length:5\r\n", Some(5)),
            ("Content-Length: 5 \r\n", Some(5)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Some(5)),
            ("Content-Length: 9223372036854775807\r\n", Some(i64::MAX as u64)),
        ] {
            assert_eq!(with(fields).length, length, "{fields:?}");
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
    fn transfer_codings_are_refused() {
        for value in ["chunked", "identity", "", "gzip, chunked", "\x0bchunked"] {
            let fields = format!("Transfer-Encoding: {value}\r\n");
            let expected = if value.contains('\x0b') { 400 } else { 501 };
            assert_eq!(status_with(&fields), expected, "{value:?}");
        }
        assert_eq!(status_with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"), 400);
        assert_eq!(status_with("transfer-encoding: chunked\r\ncontent-length: 5\r\n"), 400);
        assert_eq!(status("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 501);
    }

    #[test]
    fn connections_stay_or_close() {
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
    fn expectations() {
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
    fn json_goes_to_those_who_ask_for_it() {
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
    fn a_long_request_line_is_refused_before_it_ends() {
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
    fn a_large_head_is_refused_before_it_ends() {
        let head = |length: usize| {
            let start = "GET / HTTP/1.0\r\nX: ";
            format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
        };
        request(&head(MAX_HEAD));
        assert_eq!(status(&head(MAX_HEAD + 1)), 431);
        let endless = &head(2 * MAX_HEAD);
        assert!(is_partial(&endless.as_bytes()[..MAX_HEAD - 1]));
        assert_eq!(status(&endless[..MAX_HEAD]), 431);
        assert_eq!(status(endless), 431);
    }

    #[test]
    fn fields_are_counted() {
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
    /// taken back, and the end of a whole head does not move.
    fn grows_consistently(input: &[u8]) -> Result<(), TestCaseError> {
        let mut refused = false;
        let mut whole = None;
        for end in 0..=input.len() {
            match parse(&input[..end]) {
                Parsed::Partial => prop_assert!(!refused && whole.is_none()),
                Parsed::Invalid { .. } => {
                    prop_assert!(whole.is_none());
                    refused = true;
                }
                Parsed::Complete { head_len, .. } => {
                    prop_assert!(!refused);
                    prop_assert_eq!(head_len, *whole.get_or_insert(end));
                    prop_assert!(input[..head_len].ends_with(b"\r\n\r\n"));
                }
            }
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn no_input_makes_the_parser_panic(input in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = is_request_line(&input);
            grows_consistently(&input)?;
        }

        #[test]
        fn heads_grow_consistently(head in heads()) {
            grows_consistently(&head)?;
        }

        #[test]
        fn damaged_heads_grow_consistently(
            mut head in heads(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
        ) {
            let at = at.index(head.len());
            head[at] = byte;
            grows_consistently(&head)?;
        }

        #[test]
        fn no_field_makes_the_parser_panic(
            name in prop::sample::select(vec![
                "Host", "Range", "Accept", "Expect", "Connection", "Content-Length", "If-Range", "Origin",
                "If-Match", "If-None-Match", "If-Modified-Since",
            ]),
            value in "[ -~äé]{0,60}",
        ) {
            let _ = parse(format!("GET / HTTP/1.0\r\n{name}: {value}\r\n\r\n").as_bytes());
        }

        #[test]
        fn a_line_that_parses_is_a_request_line(line in "[A-Z]{1,4} [/a%?*:]{1,8} HTTP/[012]\\.[01]") {
            let is_line = is_request_line(line.as_bytes());
            let parsed = parse(format!("{line}\r\nHost: a\r\n\r\n").as_bytes());
            prop_assert_eq!(is_line, matches!(parsed, Parsed::Complete { .. }));
        }
    }
}
