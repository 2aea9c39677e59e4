//! The chunked transfer coding of a request body (RFC 9112, section 7.1).
//!
//! The decoder sees each byte of the framing once and in order, so its verdict does not depend on how the bytes are cut.
//! It takes nothing but the grammar: a proxy that is more lenient, or lenient in another way, must not find a
//! different end of the body.

use super::text::is_token_char;

/// The most hex digits of a chunk's size, leading zeros included.
const MAX_SIZE_DIGITS: u32 = 16;

/// The most bytes of chunk extensions in one body, since they count for no limit on its length.
const MAX_EXTENSIONS: u32 = 16 * 1024;

/// The most bytes of the trailer section, the line that ends the body included.
const MAX_TRAILERS: u32 = 16 * 1024;

/// The most fields in the trailer section.
const MAX_TRAILER_FIELDS: u32 = 100;

/// What the next bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// So many bytes of framing. More of the body follows.
    Framing(usize),
    /// So many bytes of content.
    Content(usize),
    /// So many bytes of framing, which end the body.
    End(usize),
}

/// Why a body is refused. It is unknown where the body ends, so the connection must close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Violation {
    /// The framing is malformed; one line for a person.
    Malformed(&'static str),
    /// The content is longer than the limit.
    TooLarge,
}

/// Finds the content in a chunked body.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// How much content may still be announced.
    allowance: u64,
    extensions: u32,
    trailers: u32,
    trailer_fields: u32,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// In the size of a chunk.
    Size { size: u64, digits: u32 },
    /// In the whitespace that may stand before an extension.
    BeforeExtension { size: u64 },
    /// In the extensions.
    Extension { size: u64 },
    /// Before the LF of the line with the size.
    SizeLf { size: u64 },
    /// In the content of a chunk, of which so much is left.
    Content { left: u64 },
    /// Before the CR behind the content.
    ContentCr,
    /// Before the LF behind the content.
    ContentLf,
    /// At the beginning of a line in the trailer section.
    TrailerStart,
    /// In the name of a trailer field.
    TrailerName,
    /// In the value of a trailer field.
    TrailerValue,
    /// Before the LF of a trailer field.
    TrailerLf,
    /// Before the last LF.
    EndLf,
}

const MALFORMED_SIZE: Violation = Violation::Malformed("the size of a chunk is malformed");
const MALFORMED_TRAILER: Violation = Violation::Malformed("a trailer field is malformed");
const LARGE_TRAILERS: Violation =
    Violation::Malformed("the trailer has more than 16 KiB or 100 fields");

const START: State = State::Size { size: 0, digits: 0 };

impl Decoder {
    /// A decoder at the beginning of a body that may have up to `limit` bytes of content.
    pub(crate) fn new(limit: u64) -> Decoder {
        Decoder { state: START, allowance: limit, extensions: 0, trailers: 0, trailer_fields: 0 }
    }

    /// Returns the least number of bytes that the rest of the body can have. A caller that reads at most so many does not
    /// read beyond the end of the body.
    pub(crate) fn least_rest(&self) -> u64 {
        match self.state {
            // After the content come CR LF, `0`, CR LF, CR LF.
            State::Content { left } => left + 7,
            _ => 1,
        }
    }

    /// Returns what `input` begins with, which are the next bytes of the body and not empty.
    ///
    /// Must not be called after [`Part::End`].
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<Part, Violation> {
        if let State::Content { left } = &mut self.state {
            let n = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= n as u64;
            if *left == 0 {
                self.state = State::ContentCr;
            }
            return Ok(Part::Content(n));
        }
        for (at, &byte) in input.iter().enumerate() {
            match self.step(byte)? {
                Some(state) => self.state = state,
                None => return Ok(Part::End(at + 1)),
            }
            if matches!(self.state, State::Content { .. }) {
                return Ok(Part::Framing(at + 1));
            }
        }
        Ok(Part::Framing(input.len()))
    }

    /// Returns the state after one byte of framing, and `None` after the last one.
    fn step(&mut self, byte: u8) -> Result<Option<State>, Violation> {
        Ok(Some(match self.state {
            State::Size { size, digits } => match (hex_value(byte), byte) {
                (Some(_), _) if digits == MAX_SIZE_DIGITS => {
                    return Err(Violation::Malformed(
                        "the size of a chunk has more than 16 digits",
                    ));
                }
                // 16 hex digits fit a u64.
                (Some(value), _) => State::Size { size: size << 4 | value, digits: digits + 1 },
                _ if digits == 0 => return Err(MALFORMED_SIZE),
                (None, b'\r') => State::SizeLf { size },
                (None, b' ' | b'\t') => self.extension(State::BeforeExtension { size })?,
                (None, b';') => self.extension(State::Extension { size })?,
                _ => return Err(MALFORMED_SIZE),
            },
            State::BeforeExtension { size } => match byte {
                b' ' | b'\t' => self.extension(self.state)?,
                b';' => self.extension(State::Extension { size })?,
                _ => return Err(MALFORMED_SIZE),
            },
            State::Extension { size } => match byte {
                b'\r' => State::SizeLf { size },
                byte if is_text(byte) => self.extension(self.state)?,
                _ => return Err(Violation::Malformed("a chunk extension is malformed")),
            },
            State::SizeLf { size } => match (byte, size) {
                (b'\n', 0) => State::TrailerStart,
                (b'\n', size) => {
                    self.allowance = self.allowance.checked_sub(size).ok_or(Violation::TooLarge)?;
                    State::Content { left: size }
                }
                _ => return Err(MALFORMED_SIZE),
            },
            State::ContentCr if byte == b'\r' => State::ContentLf,
            State::ContentLf if byte == b'\n' => START,
            State::Content { .. } | State::ContentCr | State::ContentLf => {
                return Err(Violation::Malformed("a chunk does not end where its size says"));
            }
            State::TrailerStart => match byte {
                b'\r' => self.trailer(State::EndLf)?,
                byte if is_token_char(byte) => {
                    self.trailer_fields += 1;
                    if self.trailer_fields > MAX_TRAILER_FIELDS {
                        return Err(LARGE_TRAILERS);
                    }
                    self.trailer(State::TrailerName)?
                }
                _ => return Err(MALFORMED_TRAILER),
            },
            State::TrailerName => match byte {
                b':' => self.trailer(State::TrailerValue)?,
                byte if is_token_char(byte) => self.trailer(State::TrailerName)?,
                _ => return Err(MALFORMED_TRAILER),
            },
            State::TrailerValue => match byte {
                b'\r' => self.trailer(State::TrailerLf)?,
                byte if is_text(byte) => self.trailer(State::TrailerValue)?,
                _ => return Err(MALFORMED_TRAILER),
            },
            State::TrailerLf if byte == b'\n' => self.trailer(State::TrailerStart)?,
            State::EndLf if byte == b'\n' => return Ok(None),
            State::TrailerLf | State::EndLf => return Err(MALFORMED_TRAILER),
        }))
    }

    /// Counts a byte of an extension.
    fn extension(&mut self, next: State) -> Result<State, Violation> {
        self.extensions += 1;
        if self.extensions > MAX_EXTENSIONS {
            return Err(Violation::Malformed("the chunk extensions are longer than 16 KiB"));
        }
        Ok(next)
    }

    /// Counts a byte of the trailer section.
    fn trailer(&mut self, next: State) -> Result<State, Violation> {
        self.trailers += 1;
        // The last LF is not counted any more.
        if self.trailers >= MAX_TRAILERS { Err(LARGE_TRAILERS) } else { Ok(next) }
    }
}

fn hex_value(byte: u8) -> Option<u64> {
    char::from(byte).to_digit(16).map(u64::from)
}

/// Whether `byte` may stand in a field value: no control byte but the tab.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Decodes `input` in pieces of the given sizes, over and over. Returns the content and the length of the body, or `None`
    /// where its end is missing.
    fn decode(
        input: &[u8],
        limit: u64,
        sizes: &[usize],
    ) -> Result<Option<(Vec<u8>, usize)>, Violation> {
        let (mut decoder, mut content, mut at) = (Decoder::new(limit), Vec::new(), 0);
        for size in sizes.iter().cycle() {
            let mut piece = &input[at..input.len().min(at + size)];
            if piece.is_empty() {
                return Ok(None);
            }
            while !piece.is_empty() {
                let least = decoder.least_rest();
                let part = decoder.next(piece)?;
                let (Part::Framing(n) | Part::Content(n) | Part::End(n)) = part;
                assert!(n > 0);
                match part {
                    Part::Content(n) => content.extend_from_slice(&piece[..n]),
                    Part::Framing(_) => {}
                    Part::End(n) => {
                        assert!(least <= n as u64, "the rest was shorter than promised");
                        return Ok(Some((content, at + n)));
                    }
                }
                piece = &piece[n..];
                at += n;
            }
        }
        unreachable!("cycle never ends");
    }

    fn whole(input: &str) -> Result<Option<(Vec<u8>, usize)>, Violation> {
        decode(input.as_bytes(), 1000, &[usize::MAX / 2])
    }

    fn content(input: &str) -> String {
        let (content, length) = whole(input).unwrap().unwrap_or_else(|| panic!("{input:?}"));
        assert_eq!(length, input.len(), "{input:?}");
        String::from_utf8(content).unwrap()
    }

    #[test]
    fn chunks_are_joined() {
        for (body, expected) in [
            ("0\r\n\r\n", ""),
            ("000\r\n\r\n", ""),
            ("5\r\nhello\r\n0\r\n\r\n", "hello"),
            ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
            ("3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", "hello"),
            ("a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
            ("1;x\r\na\r\n0;last\r\n\r\n", "a"),
            ("1;x=y;z=\"q;\\\"\"\r\na\r\n0\r\n\r\n", "a"),
            ("1 \t;x = y\r\na\r\n0 ;x\r\n\r\n", "a"),
            ("1\r\na\r\n0\r\nX: y\r\nEmpty:\r\nSpaced:\t ä \r\n\r\n", "a"),
        ] {
            assert_eq!(content(body), expected, "{body:?}");
        }
    }

    #[test]
    fn next_request_is_not_touched() {
        for after in ["GET / HTTP/1.1\r\n", "\r\n", "0\r\n\r\n", "x"] {
            let body = "1\r\na\r\n0\r\n\r\n";
            let outcome = whole(&format!("{body}{after}"));
            assert_eq!(outcome, Ok(Some((b"a".to_vec(), body.len()))), "{after:?}");
        }
    }

    #[test]
    fn malformed_framing_is_refused() {
        for body in [
            // Sizes.
            "\r\n",
            "\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\na\r\n",
            "0x1\r\na\r\n",
            "1h\r\na\r\n",
            "1_0\r\n",
            " 1\r\na\r\n",
            "\t1\r\na\r\n",
            "1 \r\na\r\n",
            "1\t\r\na\r\n",
            "1 1\r\na\r\n",
            "1\x0b\r\na\r\n",
            "\u{661}\r\n",
            ";x\r\n",
            "00000000000000001\r\n",
            "10000000000000001\r\n",
            "fffffffffffffffff\r\n",
            // Ends of lines.
            "1\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r\n0\n\r\n",
            "1\r\na\r\n0\r\n\n",
            "1\rXa\r\n",
            "1\r\ra\r\n",
            "1\r\r\na\r\n",
            "1\r\na\rX",
            "1\r\na\r\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "2\r\na\r\n0\r\n\r\n",
            "1\r\na0\r\n\r\n",
            // Extensions.
            "1;x\n",
            "1;x\rX",
            "1;x\0\r\n",
            "1;\x7f\r\n",
            // Trailers.
            "0\r\nX\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\n X: y\r\n\r\n",
            "0\r\nX: y\r\n z\r\n\r\n",
            "0\r\n: y\r\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX: y\0\r\n\r\n",
            "0\r\nX: y\rz\r\n\r\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
            "0\r\n\rX",
            "0\r\n\r\r\n",
        ] {
            let outcome = whole(body);
            assert!(matches!(outcome, Err(Violation::Malformed(_))), "{body:?}: {outcome:?}");
        }
    }

    #[test]
    fn limit_counts_content() {
        let body = |sizes: &[usize]| {
            let chunks = sizes.iter().map(|&n| format!("{n:x}\r\n{}\r\n", "x".repeat(n)));
            chunks.collect::<String>() + "0\r\n\r\n"
        };
        assert_eq!(content(&body(&[1000])).len(), 1000);
        assert_eq!(content(&body(&[1, 999])).len(), 1000);
        for input in ["3e9\r\n", "ffffffffffffffff\r\n", "7fffffffffffffff;x\r\n"] {
            assert_eq!(whole(input), Err(Violation::TooLarge), "{input:?}");
            // Not before the line is complete.
            assert_eq!(whole(&input[..input.len() - 1]), Ok(None), "{input:?}");
        }
        assert_eq!(whole(&body(&[1, 1000])), Err(Violation::TooLarge));
    }

    #[test]
    fn extensions_and_trailers_are_bounded() {
        let malformed = |body: &str| matches!(whole(body), Err(Violation::Malformed(_)));
        let extension = |n: usize| format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(n - 1));
        assert_eq!(content(&extension(16 * 1024)), "a");
        assert!(malformed(&extension(16 * 1024 + 1)));
        // All of a body's together.
        let many = |n: usize| "1;xxxxxxx\r\na\r\n".repeat(n).into_bytes();
        assert_eq!(decode(&many(2048), 3000, &[1000]), Ok(None));
        assert!(matches!(decode(&many(2049), 3000, &[1000]), Err(Violation::Malformed(_))));
        let trailer = |n: usize| format!("0\r\nX:{}\r\n\r\n", "x".repeat(n - 6));
        assert_eq!(content(&trailer(16 * 1024)), "");
        assert!(malformed(&trailer(16 * 1024 + 1)));
        let fields = |n: usize| format!("0\r\n{}\r\n", "X: y\r\n".repeat(n));
        assert_eq!(content(&fields(100)), "");
        assert!(malformed(&fields(101)));
    }

    /// Bodies that are right or nearly right.
    fn bodies() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec![
            "1\r\na\r\n",
            "3;x=y\r\nabc\r\n",
            "0\r\n",
            "\r\n",
            "X: y\r\n",
            "2\r\n\r\n\r\n",
            "5\r\nhello\r\n",
            "00",
            "f",
            "\n",
            ";",
            " ",
            "a",
        ]);
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_chunking_decodes_same(
            data in prop::collection::vec(any::<u8>(), 0..2000),
            chunks in prop::collection::vec(1usize..300, 1..10),
            sizes in prop::collection::vec(1usize..50, 1..10),
        ) {
            let (mut body, mut rest) = (Vec::new(), &data[..]);
            for &chunk in chunks.iter().cycle() {
                let (now, later) = rest.split_at(chunk.min(rest.len()));
                if now.is_empty() {
                    break;
                }
                body.extend(format!("{:X}\r\n", now.len()).bytes());
                body.extend(now);
                body.extend(b"\r\n");
                rest = later;
            }
            body.extend(b"0\r\nChecksum: x\r\n\r\n");
            let length = body.len();
            body.extend(b"GET / HTTP/1.1\r\n");
            prop_assert_eq!(decode(&body, 2000, &sizes), Ok(Some((data, length))));
        }

        #[test]
        fn any_cut_gives_same_verdict(
            body in bodies(), sizes in prop::collection::vec(1usize..9, 1..6),
        ) {
            let outcome = decode(&body, 20, &sizes);
            prop_assert_eq!(outcome, decode(&body, 20, &[1]));
            prop_assert_eq!(decode(&body, 20, &[usize::MAX / 2]), decode(&body, 20, &[1]));
        }

        #[test]
        fn any_input_is_decoded_without_panic(
            body in prop::collection::vec(any::<u8>(), 0..300), limit in any::<u64>(),
        ) {
            let _ = decode(&body, limit, &[7, 1]);
        }
    }
}
