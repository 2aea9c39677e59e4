//! Two ways to mark where a message ends.

use std::fmt;

/// How messages are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Four bytes before a message say how many bytes it has, high byte first.
    Length,
    /// A message ends with a line feed, and has none inside.
    Line,
}

/// The largest message with a length before it, in bytes.
pub const LENGTH_MAX: usize = 1 << 20;

/// The largest message that is a line, in bytes, its end not counted.
pub const LINE_MAX: usize = 4096;

/// Why a message cannot be sent, or was not received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    TooLong,
    /// It has a line feed inside.
    NotALine,
}

/// Appends a message to what is to be sent.
pub fn encode(framing: Framing, message: &[u8], wire: &mut Vec<u8>) -> Result<(), Error> {
    match framing {
        Framing::Length => {
            // hole: encode-length
            // What goes before the message, in how many bytes and which order?
            todo!("a message with its length before it")
        }
        Framing::Line => {
            // hole: encode-line
            // Which messages can never be sent like this?
            todo!("a message as a line")
        }
    }
}

/// Takes messages out of a stream that arrives in pieces of any size.
#[derive(Debug)]
pub struct Decoder {
    framing: Framing,
    /// What has arrived and is not taken yet.
    buffer: Vec<u8>,
}

impl Decoder {
    pub fn new(framing: Framing) -> Decoder {
        Decoder { framing, buffer: Vec::new() }
    }

    /// Adds what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend(bytes);
    }

    /// Whether nothing is left of a message that has begun.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The next message, if all of it has arrived.
    pub fn message(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match self.framing {
            Framing::Length => {
                // hole: decode-length
                // What if half of the four bytes have arrived? If two messages have? If the number is 4 billion?
                todo!("the next message")
            }
            Framing::Line => {
                // hole: decode-line
                // What if the line feed comes with the next piece? If it never comes?
                todo!("the next line")
            }
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Error::TooLong => "too-long",
            Error::NotALine => "not-a-line",
        })
    }
}

impl std::error::Error for Error {}
