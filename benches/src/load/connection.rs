//! Requests as bytes and replies out of bytes, in both protocols: no sockets, no waiting.

use super::content::{Check, Content, file_name};
use super::recording::ErrorKind;
use super::schedule::Verb;
use super::workload::{Protocol, Workload};
use memchr::{memchr, memchr_iter, memmem};
use std::net::SocketAddr;
use std::ops::Range;

/// What is around a chunk is not longer than this.
const LONGEST_LINE: u32 = 8 * 1024;

/// A head longer than this is none.
const LONGEST_HEAD: usize = 64 * 1024;

/// What both ends of a run know of it.
pub struct Known {
    /// The files.
    pub content: Content,
    protocol: Protocol,
    verify: bool,
    /// The hashes of all files, if they are verified and nobody changes them.
    hashes: Vec<String>,
    /// All request heads one after another.
    heads: Vec<u8>,
    /// GET and PUT by name, then the same for the last request of a connection.
    ranges: Vec<[Range<usize>; 4]>,
    list: [Range<usize>; 2],
    head_end: memmem::Finder<'static>,
}

impl Known {
    /// All requests of a workload, encoded.
    pub fn new(workload: &Workload, addr: SocketAddr) -> Known {
        let content = Content::new(workload);
        let protocol = workload.protocol;
        let mut heads = Vec::new();
        let mut add = |head: String| {
            let from = heads.len();
            heads.extend_from_slice(head.as_bytes());
            from..heads.len()
        };
        let close = ["", "Connection: close\r\n"];
        let mut ranges = Vec::with_capacity(content.names());
        for number in 0..content.names() {
            let (name, length) = (file_name(number), content.length(number));
            ranges.push(match protocol {
                Protocol::File => {
                    let get = add(format!("GET {name}\n"));
                    let put = add(format!("PUT {name} {length}\n"));
                    [get.clone(), put.clone(), get, put]
                }
                Protocol::Http => [(0, 0), (1, 0), (0, 1), (1, 1)].map(|(put, last)| {
                    let (verb, length) = match put {
                        0 => ("GET", String::new()),
                        _ => ("PUT", format!("Content-Length: {length}\r\n")),
                    };
                    let close = close[last];
                    add(format!("{verb} /{name} HTTP/1.1\r\nHost: {addr}\r\n{length}{close}\r\n"))
                }),
            });
        }
        let list = match protocol {
            Protocol::File => {
                let list = add("LIST\n".into());
                [list.clone(), list]
            }
            Protocol::Http => close.map(|close| {
                let accept = "Accept: application/json\r\n";
                add(format!("GET / HTTP/1.1\r\nHost: {addr}\r\n{accept}{close}\r\n"))
            }),
        };
        let fixed = workload.verify && workload.mix.hash > 0 && workload.mix.put == 0;
        let hashed = if fixed { content.names() } else { 0 };
        let hashes = (0..hashed).map(|name| content.hash(name)).collect();
        let head_end = memmem::Finder::new(b"\r\n\r\n");
        let verify = workload.verify;
        Known { content, protocol, verify, hashes, heads, ranges, list, head_end }
    }

    /// The bytes of a request, those of an upload not among them.
    pub fn encode(&self, asked: &Asked, out: &mut Vec<u8>) {
        let last = usize::from(asked.last);
        let range = match asked.verb {
            Verb::Get => &self.ranges[asked.name][2 * last],
            Verb::Put => &self.ranges[asked.name][2 * last + 1],
            Verb::List => &self.list[last],
            Verb::Hash => {
                out.extend_from_slice(b"HASH ");
                out.extend_from_slice(file_name(asked.name).as_bytes());
                return out.push(b'\n');
            }
            Verb::Quit => return out.extend_from_slice(b"QUIT\n"),
        };
        out.extend_from_slice(&self.heads[range.clone()]);
    }
}

/// A request, as far as its reply depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// What is asked.
    pub verb: Verb,
    /// Of which file.
    pub name: usize,
    /// Whether it is its connection's last.
    pub last: bool,
}

/// A reply that has been read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Whether it was the right one.
    pub result: Result<(), ErrorKind>,
    /// Whether the server closes after it.
    pub closes: bool,
}

/// Reads the replies of a connection, however they are cut.
#[derive(Debug, Default)]
pub struct Reader {
    /// The beginning of a head whose end has not arrived.
    head: Vec<u8>,
    body: Option<Body>,
}

#[derive(Debug)]
struct Body {
    frame: Frame,
    reply: Reply,
    check: Checking,
}

/// What says where a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// So many bytes are left.
    Length(u64),
    /// The end of the connection.
    ToEnd,
    /// It comes in chunks, and this is what comes next.
    Chunked(Chunk),
}

/// Where one is in a body that comes in chunks (RFC 9112, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// The size of the next one: what its digits have said so far, and how long its line is so far.
    Size { so_far: u64, digits: u32, length: u32, extension: bool },
    /// So many bytes of it are left.
    Data(u64),
    /// The line's end after its bytes.
    End,
    /// Fields after the last one, up to an empty line: how long this line is, and all of them.
    Trailer { line: u32, length: u32 },
}

impl Chunk {
    const FIRST: Chunk = Chunk::Size { so_far: 0, digits: 0, length: 0, extension: false };
}

/// How a body is verified.
#[derive(Debug)]
enum Checking {
    Nothing,
    File(Check),
    /// These bytes have arrived so far.
    Hash(usize, Vec<u8>),
    /// So many entries have arrived so far, and whether a line is complete.
    Listing(usize, bool),
}

/// What a head says.
struct Head {
    result: Result<(), ErrorKind>,
    frame: Frame,
    closes: bool,
    /// Whether another head follows it.
    interim: bool,
}

const MALFORMED: Head = Head {
    result: Err(ErrorKind::Malformed),
    frame: Frame::Length(0),
    closes: true,
    interim: false,
};

impl Reader {
    /// Forgets everything: for the next connection.
    pub fn reset(&mut self) {
        self.head.clear();
        self.body = None;
    }

    /// Takes some of `input`, which is not empty; gives how much, and the reply if it is complete now.
    /// `asked` is the oldest request without a reply.
    pub fn feed(
        &mut self,
        known: &Known,
        asked: Option<&Asked>,
        input: &[u8],
    ) -> (usize, Option<Reply>) {
        if let Some(body) = &mut self.body {
            let used = body.feed(known, input);
            return (used, self.complete(known));
        }
        let (head, used) = if self.head.is_empty() {
            match head_end(known, input) {
                Some(end) => (&input[..end], end),
                None => {
                    self.head.extend_from_slice(input);
                    return (input.len(), None);
                }
            }
        } else {
            let had = self.head.len();
            self.head.extend_from_slice(input);
            match head_end(known, &self.head) {
                Some(end) => (&self.head[..end], end - had),
                None if self.head.len() > LONGEST_HEAD => (&self.head[..0], input.len()),
                None => return (input.len(), None),
            }
        };
        let head = match known.protocol {
            Protocol::Http if !head.starts_with(b"ERR ") => http_head(head),
            _ => file_head(head),
        };
        self.head.clear();
        if head.interim {
            return (used, None);
        }
        let reply = Reply { result: head.result, closes: head.closes };
        let mut body = Body { frame: head.frame, reply, check: Checking::Nothing };
        match asked {
            // Nobody has asked for anything: only a farewell is in order.
            None if reply.result.is_ok() => body.reply = malformed(),
            Some(asked) if known.verify && reply.result.is_ok() => body.verify(known, asked),
            _ => {}
        }
        self.body = Some(body);
        (used, self.complete(known))
    }

    /// The connection has ended; gives the reply that ends with it, if there is one.
    pub fn finish(&mut self, known: &Known) -> Option<Reply> {
        self.body.as_mut().filter(|body| body.frame == Frame::ToEnd)?.frame = Frame::Length(0);
        self.complete(known)
    }

    fn complete(&mut self, known: &Known) -> Option<Reply> {
        let body = self.body.take_if(|body| body.frame == Frame::Length(0))?;
        let mut reply = body.reply;
        let right = match &body.check {
            Checking::Nothing => true,
            Checking::File(check) => check.is_whole(&known.content),
            Checking::Hash(name, bytes) => is_hash(known, *name, bytes),
            Checking::Listing(entries, whole) => *whole && *entries >= known.content.names(),
        };
        if reply.result.is_ok() && !right {
            reply.result = Err(ErrorKind::WrongBody);
        }
        Some(reply)
    }
}

impl Body {
    fn verify(&mut self, known: &Known, asked: &Asked) {
        let wrong_length =
            |right: u64| matches!(self.frame, Frame::Length(length) if length != right);
        let file = known.protocol == Protocol::File;
        let (check, wrong) = match asked.verb {
            Verb::Get => {
                let wrong = wrong_length(known.content.length(asked.name));
                (Checking::File(Check::new(asked.name)), wrong)
            }
            Verb::Hash => (Checking::Hash(asked.name, Vec::new()), wrong_length(65)),
            Verb::List if file => (Checking::Listing(0, false), false),
            Verb::Put | Verb::Quit if file => (Checking::Nothing, wrong_length(0)),
            _ => (Checking::Nothing, false),
        };
        self.check = check;
        if wrong {
            self.wrong();
        }
    }

    fn wrong(&mut self) {
        self.reply.result = Err(ErrorKind::WrongBody);
        self.check = Checking::Nothing;
    }

    /// Takes some of `input`; gives how much.
    fn feed(&mut self, known: &Known, input: &[u8]) -> usize {
        match self.frame {
            Frame::Length(left) => {
                let used = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.frame = Frame::Length(left - used as u64);
                self.examine(known, &input[..used]);
                used
            }
            Frame::ToEnd => {
                self.examine(known, input);
                input.len()
            }
            Frame::Chunked(chunk) => self.feed_chunks(known, input, chunk),
        }
    }

    fn feed_chunks(&mut self, known: &Known, input: &[u8], mut chunk: Chunk) -> usize {
        let mut used = 0;
        while used < input.len() {
            let next = match chunk {
                Chunk::Data(left) => {
                    let piece =
                        (input.len() - used).min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.examine(known, &input[used..used + piece]);
                    used += piece;
                    match left - piece as u64 {
                        0 => Some(Chunk::End),
                        left => Some(Chunk::Data(left)),
                    }
                }
                _ => {
                    used += 1;
                    chunk.byte(input[used - 1])
                }
            };
            match next {
                Some(Chunk::Trailer { line: u32::MAX, .. }) => {
                    self.frame = Frame::Length(0);
                    return used;
                }
                Some(next) => chunk = next,
                None => {
                    self.reply = malformed();
                    self.check = Checking::Nothing;
                    self.frame = Frame::Length(0);
                    return used;
                }
            }
        }
        self.frame = Frame::Chunked(chunk);
        used
    }

    /// Compares what has arrived of the body itself with what was asked for.
    fn examine(&mut self, known: &Known, input: &[u8]) {
        match &mut self.check {
            Checking::Nothing => {}
            Checking::File(check) => {
                if !check.feed(&known.content, input) {
                    self.wrong();
                }
            }
            Checking::Hash(_, bytes) => bytes.extend_from_slice(input),
            Checking::Listing(entries, whole) => {
                *entries += memchr_iter(b'\n', input).count();
                *whole = input.last() == Some(&b'\n');
            }
        }
    }
}

impl Chunk {
    /// What comes after this byte of what is around the data; none if it does not belong there. The end of
    /// all is a trailer whose line has the length `u32::MAX`.
    fn byte(self, byte: u8) -> Option<Chunk> {
        match (self, byte) {
            (Chunk::Size { digits: 0, .. }, b'\n') => None,
            (Chunk::Size { so_far: 0, .. }, b'\n') => Some(Chunk::Trailer { line: 0, length: 0 }),
            (Chunk::Size { so_far, .. }, b'\n') => Some(Chunk::Data(so_far)),
            (Chunk::Size { length, .. }, _) if length > LONGEST_LINE => None,
            (Chunk::Size { so_far, digits, length, extension }, byte) => {
                let length = length + 1;
                let digit = char::from(byte).to_digit(16).filter(|_| !extension);
                match digit {
                    Some(digit) if digits < 15 => Some(Chunk::Size {
                        so_far: so_far * 16 + u64::from(digit),
                        digits: digits + 1,
                        length,
                        extension,
                    }),
                    None if extension || matches!(byte, b';' | b'\r' | b' ' | b'\t') => {
                        Some(Chunk::Size { so_far, digits, length, extension: true })
                    }
                    _ => None,
                }
            }
            (Chunk::End, b'\r') => Some(Chunk::End),
            (Chunk::End, b'\n') => Some(Chunk::FIRST),
            (Chunk::End, _) => None,
            (Chunk::Trailer { line: 0, length }, b'\n') => {
                Some(Chunk::Trailer { line: u32::MAX, length })
            }
            (Chunk::Trailer { length, .. }, b'\n') => Some(Chunk::Trailer { line: 0, length }),
            (Chunk::Trailer { line: 0, length }, b'\r') => Some(Chunk::Trailer { line: 0, length }),
            (Chunk::Trailer { length, .. }, _) if length > LONGEST_LINE => None,
            (Chunk::Trailer { line, length }, _) => {
                Some(Chunk::Trailer { line: line + 1, length: length + 1 })
            }
            (Chunk::Data(_), _) => None,
        }
    }
}

fn malformed() -> Reply {
    Reply { result: Err(ErrorKind::Malformed), closes: true }
}

fn is_hash(known: &Known, name: usize, bytes: &[u8]) -> bool {
    match known.hashes.get(name) {
        Some(hash) => hash.as_bytes() == bytes,
        // Somebody may have changed the file: the form is all that can be known.
        None => {
            bytes.len() == 65
                && bytes[64] == b'\n'
                && bytes[..64].iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        }
    }
}

/// The length of the head that `bytes` begin with. A server that has no room says so in the words of the
/// file protocol, whatever the client speaks.
fn head_end(known: &Known, bytes: &[u8]) -> Option<usize> {
    match known.protocol {
        Protocol::Http if !bytes.starts_with(b"ERR ") => {
            known.head_end.find(bytes).map(|at| at + 4)
        }
        _ => memchr(b'\n', bytes).map(|at| at + 1),
    }
}

fn file_head(line: &[u8]) -> Head {
    if let Some(number) = line.strip_prefix(b"OK ") {
        let number = number.strip_suffix(b"\n").and_then(decimal);
        return number.map_or(MALFORMED, |length| Head {
            result: Ok(()),
            frame: Frame::Length(length),
            closes: false,
            interim: false,
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
    Head { result: Err(kind), frame: Frame::Length(0), closes, interim: false }
}

fn http_head(head: &[u8]) -> Head {
    let mut lines = head.split(|byte| *byte == b'\n');
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
    let mut closes = old;
    for line in lines {
        // Most fields are told apart by their length alone.
        let Some(colon) = memchr(b':', line) else {
            continue;
        };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match colon {
            14 if name.eq_ignore_ascii_case(b"content-length") => match decimal(value) {
                Some(number) => length = Some(number),
                None => return MALFORMED,
            },
            10 if name.eq_ignore_ascii_case(b"connection") => {
                closes = if old {
                    !value.eq_ignore_ascii_case(b"keep-alive")
                } else {
                    value.eq_ignore_ascii_case(b"close")
                };
            }
            // What is made while it is sent, such as a folder's list, comes so. Nobody was told that he
            // may compress it.
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if !value.eq_ignore_ascii_case(b"chunked") {
                    return MALFORMED;
                }
                chunked = true;
            }
            _ => {}
        }
    }
    let result = match status {
        100..=199 => {
            return Head { result: Ok(()), frame: Frame::ToEnd, closes: false, interim: true };
        }
        200..=299 => Ok(()),
        503 => Err(ErrorKind::Busy),
        408 => Err(ErrorKind::Timeout),
        _ => Err(ErrorKind::Refused),
    };
    let frame = match length {
        _ if status == 204 || status == 304 => Frame::Length(0),
        // It overrides a length.
        _ if chunked => Frame::Chunked(Chunk::FIRST),
        Some(length) => Frame::Length(length),
        None => Frame::ToEnd,
    };
    Head { result, frame, closes: closes || frame == Frame::ToEnd, interim: false }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::content::Upload;
    use crate::load::workload::Mix;

    const GET: Asked = Asked { verb: Verb::Get, name: 0, last: false };
    const LIST: Asked = Asked { verb: Verb::List, name: 0, last: false };
    const HASH: Asked = Asked { verb: Verb::Hash, name: 0, last: false };

    fn known(protocol: Protocol) -> Known {
        let mix = Mix { hash: 1, ..Mix::default() };
        let workload =
            Workload { protocol, sizes: vec![100].into(), names: 2, mix, ..Workload::default() };
        Known::new(&workload, "127.0.0.1:1".parse().unwrap())
    }

    fn body(known: &Known, version: u64) -> Vec<u8> {
        let mut upload = Upload::new(&known.content, 0, version);
        let mut bytes = upload.next(&known.content).to_vec();
        upload.advance(bytes.len());
        bytes.extend_from_slice(upload.next(&known.content));
        bytes
    }

    /// The replies in `bytes`, cut into pieces of `step`, all to `asked`.
    fn replies(known: &Known, asked: Option<&Asked>, bytes: &[u8], step: usize) -> Vec<Reply> {
        let mut reader = Reader::default();
        let mut replies = Vec::new();
        for mut piece in bytes.chunks(step) {
            while !piece.is_empty() {
                let (used, reply) = reader.feed(known, asked, piece);
                piece = &piece[used..];
                replies.extend(reply);
            }
        }
        replies.extend(reader.finish(known));
        replies
    }

    #[track_caller]
    fn assert_replies(
        protocol: Protocol,
        asked: Option<&Asked>,
        bytes: &[u8],
        expected: &[(Result<(), ErrorKind>, bool)],
    ) {
        let known = known(protocol);
        let expected: Vec<_> =
            expected.iter().map(|&(result, closes)| Reply { result, closes }).collect();
        for step in [1, 2, 3, 5, 1000] {
            assert_eq!(replies(&known, asked, bytes, step), expected, "in pieces of {step}");
        }
    }

    #[test]
    fn replies_of_the_file_protocol() {
        let known = known(Protocol::File);
        let right = [b"OK 100\n", &body(&known, 3)[..]].concat();
        let two = [&right[..], &right[..]].concat();
        let file = |asked, bytes: &[u8], expected: &[_]| {
            assert_replies(Protocol::File, asked, bytes, expected);
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
        let hash = ["OK 65\n", &known.content.hash(0)].concat();
        file(Some(&HASH), hash.as_bytes(), &[(Ok(()), false)]);
        let hash = ["OK 65\n", &known.content.hash(1)].concat();
        file(Some(&HASH), hash.as_bytes(), &[(Err(ErrorKind::WrongBody), false)]);
    }

    #[test]
    fn replies_of_http() {
        let known = known(Protocol::Http);
        let with = |head: &str| [head.as_bytes(), b"\r\n\r\n", &body(&known, 0)[..]].concat();
        let http = |asked, bytes: &[u8], expected: &[_]| {
            assert_replies(Protocol::Http, asked, bytes, expected);
        };
        let right = with("HTTP/1.1 200 OK\r\nServer: x\r\ncontent-length: 100");
        let two = [&right[..], &right[..]].concat();
        http(Some(&GET), &two, &[(Ok(()), false), (Ok(()), false)]);
        let close = with("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 100");
        http(Some(&GET), &close, &[(Ok(()), true)]);
        http(Some(&GET), &with("HTTP/1.0 200 OK"), &[(Ok(()), true)]);
        http(Some(&GET), &with("HTTP/1.0 200 OK")[..80], &[(Err(ErrorKind::WrongBody), true)]);
        let after = [b"HTTP/1.1 100 Continue\r\n\r\n", &right[..]].concat();
        http(Some(&GET), &after, &[(Ok(()), false)]);
        let refused = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\n\r\nno\n";
        http(Some(&GET), refused, &[(Err(ErrorKind::Refused), false)]);
        // No room comes before the protocol of a connection is known.
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
        let known = known(Protocol::Http);
        let http = |asked, bytes: &[u8], expected: &[_]| {
            assert_replies(Protocol::Http, asked, bytes, expected);
        };
        let right = body(&known, 2);
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
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: ";
        let malformed = [
            "chunked\r\n\r\nx\r\n",
            "chunked\r\n\r\n\r\n",
            "chunked\r\n\r\n1\r\nab\r\n",
            "chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
            "gzip, chunked\r\n\r\n",
        ];
        for rest in malformed {
            let mut reader = Reader::default();
            let bytes = [head, rest].concat().into_bytes();
            let mut replies = Vec::new();
            let mut input = &bytes[..];
            while !input.is_empty() && replies.is_empty() {
                let (used, reply) = reader.feed(&known, Some(&LIST), input);
                input = &input[used..];
                replies.extend(reply);
            }
            let expected = Reply { result: Err(ErrorKind::Malformed), closes: true };
            assert_eq!(replies, [expected], "{rest}");
        }
    }
}
