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

/// A reply that has been read in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Whether it was the right one.
    pub result: Result<(), ErrorKind>,
    /// Whether the server closes after it.
    pub closes: bool,
}

/// Reads the replies of a connection, however they are cut.
#[derive(Debug, Default)]
pub(crate) struct ReplyReader {
    /// The beginning of a header whose end has not arrived.
    header: Vec<u8>,
    body: Option<Body>,
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
    File(Verifier),
    /// These bytes have arrived so far.
    Hash(usize, Vec<u8>),
    /// So many entries have arrived so far, and whether a line is complete.
    Listing(usize, bool),
}

impl ReplyReader {
    /// Forgets everything: for the next connection.
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
        let (header, used) = if self.header.is_empty() {
            match header::end(codec, input) {
                Some(end) => (&input[..end], end),
                None => {
                    self.header.extend_from_slice(input);
                    return (input.len(), None);
                }
            }
        } else {
            let had = self.header.len();
            self.header.extend_from_slice(input);
            match header::end(codec, &self.header) {
                Some(end) => (&self.header[..end], end - had),
                None if self.header.len() > LONGEST_HEADER => (&self.header[..0], input.len()),
                None => return (input.len(), None),
            }
        };
        let header = header::parse(codec.protocol, header);
        self.header.clear();
        if header.interim {
            return (used, None);
        }
        let reply = Reply { result: header.result, closes: header.closes };
        let mut body = Body { framing: header.framing, reply, check: BodyCheck::Nothing };
        match request {
            // Nothing was requested: only the notice before the server closes may come.
            None if reply.result.is_ok() => body.reply = malformed(),
            Some(request) if codec.verify && reply.result.is_ok() => body.verify(codec, request),
            _ => {}
        }
        self.body = Some(body);
        (used, self.complete(codec))
    }

    /// The connection has ended. Returns the reply that ends with it, if there is one.
    pub(crate) fn finish(&mut self, codec: &Codec) -> Option<Reply> {
        self.body.as_mut().filter(|body| body.framing == Framing::ToEnd)?.framing =
            Framing::Length(0);
        self.complete(codec)
    }

    fn complete(&mut self, codec: &Codec) -> Option<Reply> {
        let body = self.body.take_if(|body| body.framing == Framing::Length(0))?;
        let mut reply = body.reply;
        let right = match &body.check {
            BodyCheck::Nothing => true,
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
    Reply { result: Err(ErrorKind::Malformed), closes: true }
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
