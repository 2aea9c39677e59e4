//! Request headers: where one ends, whether it is well formed, and what it asks for.

use super::conditions::{self, Conditions, Decision, MALFORMED_LIST, RangeSpec};
use super::origin::{self, PageOrigin};
use super::text::is_token_char;
use crate::protocol::{Code, RelPath};
use crate::store::{Precondition, Version};

/// The longest header: request line, fields and the empty line.
const MAX_HEADER: usize = 16 * 1024;

/// The most fields in one header.
const MAX_FIELDS: usize = 100;

/// As many fields are looked for on the stack, and more on the heap: where the stack is a coroutine's,
/// each page that is ever touched counts for every idle client.
const INLINE_FIELDS: usize = 16;

/// The longest request line, its CR and LF included.
pub(super) const MAX_REQUEST_LINE: usize = 8192;

/// What the bytes received so far amount to.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// The beginning of a header; more must come.
    Partial,
    /// A whole header.
    Complete {
        /// What it asks for.
        request: Request,
        /// How many bytes it took, the empty line included.
        header_len: usize,
    },
    /// Not a well-formed header, whatever may follow. The connection must close after the answer, since
    /// it is unknown where the next request begins.
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
    /// Whether a body follows, and where it ends.
    pub(crate) body: Body,
    /// Whether the body is only a part of what the path names.
    pub(crate) has_content_range: bool,
    /// What the client waits for before it sends the body.
    pub(crate) expect: Expect,
    /// Whether a directory is wanted as JSON rather than as a page.
    pub(crate) wants_json: bool,
    /// What the query asks for.
    pub(crate) view: View,
    /// The host as the client names it, kept only for one that asks for `text/html` by name, as browsers do.
    pub(crate) host: Option<Box<[u8]>>,
    /// The page that sent the request, if a browser names it. Boxed because few requests have one.
    page_origin: Option<Box<PageOrigin>>,
    /// The part of the file wanted; `None` also where the standard has the field ignored.
    range: Option<RangeSpec>,
    /// Boxed because few requests have any.
    conditions: Option<Box<Conditions>>,
}

impl Request {
    /// Returns why the page that sent this may not write, unless it may. `own_name` is the host of `--addr`.
    pub(crate) fn cross_origin_refusal(&self, own_name: Option<&str>) -> Option<&'static str> {
        self.page_origin.as_ref().and_then(|page| origin::refusal(page, own_name))
    }

    /// Decides the response to this `GET` or `HEAD` of a file.
    pub(crate) fn decide(&self, version: &Version) -> Decision {
        let range = self.range.filter(|_| self.method == Method::Get);
        conditions::decide(range, self.conditions.as_deref(), version)
    }

    /// Decides the response to this `GET` or `HEAD` of a directory.
    pub(crate) fn decide_listing(&self) -> Decision {
        conditions::decide_listing(self.conditions.as_deref())
    }

    /// Returns why the conditions of this `PUT` cannot be judged, unless they can.
    pub(crate) fn malformed_condition(&self) -> Option<&'static str> {
        let conditions = self.conditions.as_ref()?;
        conditions.has_malformed_list().then_some(MALFORMED_LIST)
    }

    /// Takes out what must hold of the existing file for this `PUT` to land, if the request has such conditions.
    pub(crate) fn take_precondition(&mut self) -> Option<Box<dyn Precondition>> {
        Some(self.conditions.take().filter(|conditions| conditions.concern_put())?)
    }
}

/// What the query of a target asks for. Unknown parameters are ignored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// `sort`: how the page of a directory is ordered.
    pub(crate) sort: Sort,
    /// `order=desc`: the other way round.
    pub(crate) descending: bool,
    /// `download`: a file is to be saved, even if a browser could show it.
    pub(crate) download: bool,
}

/// What the page of a directory is ordered by.
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
    /// The file or the directory.
    Get,
    /// As `Get`, without the body.
    Head,
    /// Store the body.
    Put,
    /// What is allowed.
    Options,
    /// A method of the standard that no server here serves: 405.
    NotAllowed,
    /// A method that is not of the standard: 501.
    Unknown,
}

/// How the end of a request's body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// There is no body.
    None,
    /// It has so many bytes.
    Length(u64),
    /// It comes in chunks, which a [`Decoder`](super::Decoder) takes apart.
    Chunked,
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

/// Reads one header. `input` begins with the first byte of a request line; it may end before the header
/// does, or go on after it.
///
/// Lines are judged in their order, each when its end has come, and the limits at fixed positions. So the first
/// violation decides, however much of the input is there, and growing the input never changes a
/// [`Parsed::Invalid`].
pub(crate) fn parse(input: &[u8]) -> Parsed {
    match parse_header(input) {
        Ok(Some((request, header_len))) => Parsed::Complete { request, header_len },
        Ok(None) => Parsed::Partial,
        Err(Refusal(status, reason)) => Parsed::Invalid { status, reason },
    }
}

/// A status and its reason.
struct Refusal(u16, &'static str);

const BARE_LF: Refusal = Refusal(400, "every line must end with CR and LF");

/// `None` while the end of the header is missing.
fn parse_header(input: &[u8]) -> Result<Option<(Request, usize)>, Refusal> {
    // What lies beyond the limit is not looked at, so that the verdict does not depend on how much
    // has arrived already.
    let window = &input[..input.len().min(MAX_HEADER)];
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

    let (lines, then) = field_lines(&window[lf + 1..]);
    let mut few = [httparse::EMPTY_HEADER; INLINE_FIELDS];
    let mut many;
    let outcome = match httparse::parse_headers(lines, &mut few) {
        Err(httparse::Error::TooManyHeaders) => {
            many = vec![httparse::EMPTY_HEADER; MAX_FIELDS];
            httparse::parse_headers(lines, &mut many)
        }
        outcome => outcome,
    };
    let status = outcome.map_err(|error| match error {
        httparse::Error::TooManyHeaders => Refusal(431, "the head has more than 100 fields"),
        httparse::Error::HeaderName => Refusal(400, "the name of a field is malformed"),
        httparse::Error::HeaderValue => Refusal(400, "the value of a field is malformed"),
        _ => Refusal(400, "the head is malformed"),
    })?;
    match (status, then) {
        (httparse::Status::Complete((taken, fields)), _) => {
            let request = Fields::collect(fields)?.into_request(method, target, version_11)?;
            Ok(Some((request, lf + 1 + taken)))
        }
        (httparse::Status::Partial, AfterLines::BareLf) => Err(BARE_LF),
        (httparse::Status::Partial, AfterLines::Rest) if window.len() == MAX_HEADER => {
            Err(Refusal(431, "the head is longer than 16 KiB"))
        }
        (httparse::Status::Partial, AfterLines::Rest) => Ok(None),
    }
}

/// What follows the lines that [`field_lines`] returns.
enum AfterLines {
    /// A line that ends with a bare LF.
    BareLf,
    /// A line whose end is missing, or what comes after the header.
    Rest,
}

/// Returns the complete lines that `bytes` begin with: up to the empty line, or to one that ends with a bare LF, which
/// httparse would take for the end of a line.
fn field_lines(bytes: &[u8]) -> (&[u8], AfterLines) {
    let mut start = 0;
    for lf in memchr::memchr_iter(b'\n', bytes) {
        match &bytes[start..lf] {
            b"\r" => return (&bytes[..=lf], AfterLines::Rest),
            [.., b'\r'] => start = lf + 1,
            _ => return (&bytes[..start], AfterLines::BareLf),
        }
    }
    (&bytes[..start], AfterLines::Rest)
}

/// Splits a request line into method, target and version. `None` unless there are exactly three fields, none empty, with
/// one space between them.
fn split_line(line: &[u8]) -> Option<[&[u8]; 3]> {
    let mut rest = line.split(|&b| b == b' ');
    let fields = [rest.next()?, rest.next()?, rest.next()?];
    (rest.next().is_none() && !fields.contains(&&b""[..])).then_some(fields)
}

/// Returns the method, the target, and whether the version is 1.1 or a higher minor one.
fn parse_line(line: &[u8]) -> Result<(Method, &[u8], bool), Refusal> {
    let malformed = Refusal(400, "the request line is malformed");
    let Some([method, target, version]) = split_line(line) else {
        return Err(malformed);
    };
    if !is_token(method) || target.iter().any(u8::is_ascii_control) {
        return Err(malformed);
    }
    let version_11 = match version {
        b"HTTP/1.0" => false,
        // A higher minor version is answered as the highest that is spoken here.
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => true,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            return Err(Refusal(505, "only HTTP/1 is spoken here"));
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
    // The query is not part of the path.
    let end = target.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(target.len());
    let target = &target[..end];
    if target.starts_with(b"/") {
        return RelPath::decode(target);
    }
    let (authority, path) = split_absolute(target).ok_or(Code::BadPath)?;
    // There may be a port without a host, which `is_host` allows, and RFC 9110, section 4.2.1, does not.
    if authority.is_empty() || authority.starts_with(b":") || !is_host(authority) {
        return Err(Code::BadPath);
    }
    if path.is_empty() { Ok(RelPath::root()) } else { RelPath::decode(path) }
}

/// Splits a target in the form for a proxy, which a server must understand as well, behind its authority. `None` for any other
/// form.
fn split_absolute(target: &[u8]) -> Option<(&[u8], &[u8])> {
    const SCHEME: &[u8] = b"http://";
    let (scheme, rest) = target.split_at_checked(SCHEME.len())?;
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    scheme.eq_ignore_ascii_case(SCHEME).then(|| rest.split_at(end))
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

/// What the fields of one header amount to.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    origin: Option<Vec<u8>>,
    site: Option<Vec<u8>>,
    close: bool,
    keep_alive: bool,
    length: Option<u64>,
    content_range: bool,
    codings: Option<Vec<u8>>,
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
            join(&mut self.codings, value);
        } else if is("Content-Range") {
            self.content_range = true;
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
        let body = match (self.codings, self.length) {
            (None, None) => Body::None,
            (None, Some(length)) => Body::Length(length),
            (Some(_), Some(_)) => {
                return Err(Refusal(400, "both Content-Length and Transfer-Encoding"));
            }
            (Some(_), None) if !version_11 => {
                return Err(Refusal(400, "HTTP/1.0 has no Transfer-Encoding"));
            }
            (Some(codings), None) => {
                check_codings(&codings)?;
                Body::Chunked
            }
        };
        // The host in the target counts, and Host only where the target has none.
        let host = split_absolute(target).map(|(authority, _)| authority).or(self.host);
        let page_origin = (self.origin.is_some() || self.site.is_some()).then(|| {
            let host = host.unwrap_or_default().to_vec();
            Box::new(PageOrigin { host, origin: self.origin, site: self.site })
        });
        Ok(Request {
            method,
            path: parse_target(method, target),
            view: View::of(target),
            host: host.filter(|_| self.accept.names_html()).map(Box::from),
            page_origin,
            keep_alive: !self.close && (version_11 || self.keep_alive),
            body,
            has_content_range: self.content_range,
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

/// Refuses all transfer codings but a single `chunked`.
fn check_codings(codings: &[u8]) -> Result<(), Refusal> {
    let mut chunked = 0;
    let mut others = 0;
    let mut last_is_chunked = false;
    for coding in list(codings) {
        let name = coding.split(|&b| b == b';').next().unwrap_or_default().trim_ascii_end();
        if !is_token(name) {
            return Err(Refusal(400, "the Transfer-Encoding field is malformed"));
        }
        last_is_chunked = name.eq_ignore_ascii_case(b"chunked");
        // It has no parameters.
        if last_is_chunked && name.len() < coding.len() {
            return Err(Refusal(400, "the Transfer-Encoding field is malformed"));
        }
        *if last_is_chunked { &mut chunked } else { &mut others } += 1;
    }
    match (last_is_chunked, chunked, others) {
        (true, 1, 0) => Ok(()),
        (true, 1, _) => Err(Refusal(501, "chunked is the only transfer coding served here")),
        (true, ..) => Err(Refusal(400, "chunked is applied more than once")),
        (false, ..) => Err(Refusal(400, "the last transfer coding is not chunked")),
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

/// The form of method names and field names.
fn is_token(word: &[u8]) -> bool {
    !word.is_empty() && word.iter().copied().all(is_token_char)
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

/// How much the client prefers the two forms of a directory, in thousandths.
#[derive(Default)]
struct Accept {
    /// For `application/json` by name: JSON is only for clients that ask for it.
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
        self.json > html || (self.json > 0 && self.json == html && !self.names_html())
    }

    fn names_html(&self) -> bool {
        self.html[0].is_some()
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
mod tests;
