//! The framing of a body that comes in chunks (RFC 9112, 7.1).

/// The longest chunk-size line, extensions included, and the longest line of a trailer.
const LONGEST_LINE: u32 = 8 * 1024;

/// The position in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chunk {
    /// In the size of the next chunk: its value, its digits and the length of its line so far.
    Size { so_far: u64, digits: u32, length: u32, extension: bool },
    /// In the data: this many bytes are left.
    Data(u64),
    /// In the end of line after the data.
    End,
    /// In the fields after the last chunk, up to an empty line: the length of this line and of all.
    Trailer { line: u32, length: u32 },
}

impl Chunk {
    pub(super) const FIRST: Chunk =
        Chunk::Size { so_far: 0, digits: 0, length: 0, extension: false };

    /// Whether the whole body has ended: a trailer whose line has the length `u32::MAX`.
    pub(super) fn is_end(self) -> bool {
        matches!(self, Chunk::Trailer { line: u32::MAX, .. })
    }

    /// The state after one byte outside the data; `None` if the byte is not allowed there.
    pub(super) fn byte(self, byte: u8) -> Option<Chunk> {
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
