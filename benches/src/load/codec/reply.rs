//! Replies from bytes, each with its body verified.

use super::chunked::Chunk;
use super::header::{self, Framing};
use super::{Codec, Request};
use crate::load::content::Verifier;
use crate::load::recording::ErrorKind;
use crate::load::schedule::Verb;
use crate::load::workload::Protocol;
use memchr::memchr_iter;

/// A header longer than this is malformed.
const LONGEST_HEADER: usize = 64 * 1024;

/// How much of the first line of an error, and how much of its body, is kept to explain it.
const EXCERPT: usize = 512;

/// The first bytes that a TLS server may send: an alert or a handshake, then the major version.
const TLS: [[u8; 2]; 2] = [[0x15, 0x03], [0x16, 0x03]];

/// How the error replies of servers explain that a port expects TLS: those of nginx, Apache and Go.
const TLS_EXPECTED: [&str; 3] = [
    "plain HTTP request was sent to HTTPS port",
    "speaking plain HTTP to an SSL-enabled server port",
    "HTTP request to an HTTPS server",
];

/// A reply that has been read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Whether it was the right one.
    pub result: Result<(), ErrorKind>,
    /// Whether the connection ends after it. The server has announced that, unless the reply is malformed.
    pub closes: bool,
    /// After how many seconds the server wants to be asked again.
    pub retry_after: Option<u32>,
}

/// Reads the replies of a connection, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct ReplyReader {
    /// The beginning of a header whose end has not arrived.
    header: Vec<u8>,
    body: Option<Body>,
    error: Excerpt,
}

/// The beginning of a reply that is an error.
#[derive(Debug, Default)]
pub(crate) struct Excerpt {
    line: Vec<u8>,
    body: Vec<u8>,
}

impl Excerpt {
    fn new(header: &[u8]) -> Excerpt {
        let end = header.iter().position(|byte| *byte == b'\n').unwrap_or(header.len());
        Excerpt { line: header[..end.min(EXCERPT)].trim_ascii().to_vec(), body: Vec::new() }
    }

    /// Its first line, printable.
    pub(crate) fn line(&self) -> String {
        self.line.escape_ascii().to_string()
    }

    /// Whether the server expects TLS.
    pub(crate) fn expects_tls(&self) -> bool {
        let body = String::from_utf8_lossy(&self.body);
        begins_tls(&self.line) || TLS_EXPECTED.iter().any(|words| body.contains(words))
    }
}

/// Whether these are the first bytes of a TLS server.
pub(crate) fn begins_tls(bytes: &[u8]) -> bool {
    TLS.iter().any(|record| bytes.starts_with(record))
}

#[derive(Debug)]
struct Body {
    framing: Framing,
    reply: Reply,
    check: BodyCheck,
}

/// How a body is verified.
#[derive(Debug)]
enum BodyCheck {
    Nothing,
    /// It is the body of an error; its beginning is kept.
    Error(Vec<u8>),
    File(Verifier),
    /// These bytes have arrived so far.
    Hash(usize, Vec<u8>),
    /// So many entries have arrived so far, and whether a line is complete.
    Listing(usize, bool),
}

impl ReplyReader {
    /// The beginning of the last reply that was an error.
    pub(crate) fn last_error(&self) -> &Excerpt {
        &self.error
    }

    /// Forgets what is unfinished: for the next connection.
    pub(crate) fn reset(&mut self) {
        self.header.clear();
        self.body = None;
    }

    /// Takes some of `input`, which is not empty. Returns how much, and the reply if it is complete now.
    /// `request` is the oldest request without a reply.
    pub(crate) fn feed(
        &mut self,
        codec: &Codec,
        request: Option<&Request>,
        input: &[u8],
    ) -> (usize, Option<Reply>) {
        if let Some(body) = &mut self.body {
            let used = body.feed(codec, input);
            return (used, self.complete(codec));
        }
        let mut too_long = false;
        let (begin, used) = if self.header.is_empty() {
            match header::end(codec, input) {
                Some(end) => (&input[..end], end),
                None => {
                    self.header.extend_from_slice(input);
                    return (input.len(), self.tls_record());
                }
            }
        } else {
            let had = self.header.len();
            self.header.extend_from_slice(input);
            match header::end(codec, &self.header) {
                Some(end) => (&self.header[..end], end - had),
                None if self.header.len() > LONGEST_HEADER => {
                    too_long = true;
                    (&self.header[..], input.len())
                }
                None => return (input.len(), self.tls_record()),
            }
        };
        let header = match too_long {
            false => header::parse(codec.protocol, begin),
            true => header::MALFORMED,
        };
        if header.result.is_err() {
            self.error = Excerpt::new(begin);
        }
        self.header.clear();
        if header.interim {
            return (used, None);
        }
        let (result, closes, retry_after) = (header.result, header.closes, header.retry_after);
        let reply = Reply { result, closes, retry_after };
        let mut body = Body { framing: header.framing, reply, check: BodyCheck::Nothing };
        match request {
            // Nothing was requested: only the notice before the server closes may come.
            None if reply.result.is_ok() => body.reply = malformed(),
            _ if reply.result.is_err() => body.check = BodyCheck::Error(Vec::new()),
            Some(request) if codec.verify => body.verify(codec, request),
            _ => {}
        }
        self.body = Some(body);
        (used, self.complete(codec))
    }

    /// A malformed reply, if the header that has begun is a TLS record: it has no end that could be waited for.
    fn tls_record(&mut self) -> Option<Reply> {
        if !begins_tls(&self.header) {
            return None;
        }
        self.error = Excerpt::new(&self.header);
        self.header.clear();
        Some(malformed())
    }

    /// The connection has ended. Returns the reply that ends with it, if there is one.
    pub(crate) fn finish(&mut self, codec: &Codec) -> Option<Reply> {
        self.body.as_mut().filter(|body| body.framing == Framing::ToEnd)?.framing =
            Framing::Length(0);
        self.complete(codec)
    }

    fn complete(&mut self, codec: &Codec) -> Option<Reply> {
        let mut body = self.body.take_if(|body| body.framing == Framing::Length(0))?;
        let mut reply = body.reply;
        if let BodyCheck::Error(excerpt) = &mut body.check {
            self.error.body = std::mem::take(excerpt);
        }
        let right = match &body.check {
            BodyCheck::Nothing | BodyCheck::Error(_) => true,
            BodyCheck::File(check) => check.is_whole(&codec.content),
            BodyCheck::Hash(name, bytes) => is_hash(codec, *name, bytes),
            BodyCheck::Listing(entries, whole) => *whole && *entries >= codec.content.names(),
        };
        if reply.result.is_ok() && !right {
            reply.result = Err(ErrorKind::WrongBody);
        }
        Some(reply)
    }
}

impl Body {
    fn verify(&mut self, codec: &Codec, request: &Request) {
        let wrong_length =
            |right: u64| matches!(self.framing, Framing::Length(length) if length != right);
        let file = codec.protocol == Protocol::File;
        let (check, wrong) = match request.verb {
            Verb::Get => {
                let wrong = wrong_length(codec.content.length(request.name));
                (BodyCheck::File(Verifier::new(request.name)), wrong)
            }
            Verb::Hash => (BodyCheck::Hash(request.name, Vec::new()), wrong_length(65)),
            Verb::List if file => (BodyCheck::Listing(0, false), false),
            Verb::Put | Verb::Quit if file => (BodyCheck::Nothing, wrong_length(0)),
            _ => (BodyCheck::Nothing, false),
        };
        self.check = check;
        if wrong {
            self.wrong();
        }
    }

    fn wrong(&mut self) {
        self.reply.result = Err(ErrorKind::WrongBody);
        self.check = BodyCheck::Nothing;
    }

    /// Takes some of `input` and returns how much.
    fn feed(&mut self, codec: &Codec, input: &[u8]) -> usize {
        match self.framing {
            Framing::Length(left) => {
                let used = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                self.framing = Framing::Length(left - used as u64);
                self.examine(codec, &input[..used]);
                used
            }
            Framing::ToEnd => {
                self.examine(codec, input);
                input.len()
            }
            Framing::Chunked(chunk) => self.feed_chunks(codec, input, chunk),
        }
    }

    fn feed_chunks(&mut self, codec: &Codec, input: &[u8], mut chunk: Chunk) -> usize {
        let mut used = 0;
        while used < input.len() {
            let next = match chunk {
                Chunk::Data(left) => {
                    let piece =
                        (input.len() - used).min(usize::try_from(left).unwrap_or(usize::MAX));
                    self.examine(codec, &input[used..used + piece]);
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
                Some(next) if next.is_end() => {
                    self.framing = Framing::Length(0);
                    return used;
                }
                Some(next) => chunk = next,
                None => {
                    self.reply = malformed();
                    self.check = BodyCheck::Nothing;
                    self.framing = Framing::Length(0);
                    return used;
                }
            }
        }
        self.framing = Framing::Chunked(chunk);
        used
    }

    /// Compares bytes of the body with the content that was requested.
    fn examine(&mut self, codec: &Codec, input: &[u8]) {
        match &mut self.check {
            BodyCheck::Nothing => {}
            BodyCheck::Error(excerpt) => {
                let room = EXCERPT.saturating_sub(excerpt.len()).min(input.len());
                excerpt.extend_from_slice(&input[..room]);
            }
            BodyCheck::File(check) => {
                if !check.feed(&codec.content, input) {
                    self.wrong();
                }
            }
            BodyCheck::Hash(_, bytes) => bytes.extend_from_slice(input),
            BodyCheck::Listing(entries, whole) => {
                *entries += memchr_iter(b'\n', input).count();
                *whole = input.last() == Some(&b'\n');
            }
        }
    }
}

fn malformed() -> Reply {
    Reply { result: Err(ErrorKind::Malformed), closes: true, retry_after: None }
}

fn is_hash(codec: &Codec, name: usize, bytes: &[u8]) -> bool {
    match codec.hashes.get(name) {
        Some(hash) => hash.as_bytes() == bytes,
        // Another client may have changed the file: only the form can be checked.
        None => {
            bytes.len() == 65
                && bytes[64] == b'\n'
                && bytes[..64].iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b))
        }
    }
}
