//! Two ways to mark where a message ends.

// lab:canary heron-03-codec
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
            // lab:hole encode-length
            if message.len() > LENGTH_MAX {
                return Err(Error::TooLong);
            }
            wire.extend((message.len() as u32).to_be_bytes());
            wire.extend(message);
            Ok(())
            // lab:stub // What goes before the message, in how many bytes and which order?
            // lab:stub todo!("a message with its length before it")
            // lab:end
        }
        Framing::Line => {
            // lab:hole encode-line
            if message.len() > LINE_MAX {
                return Err(Error::TooLong);
            }
            if message.contains(&b'\n') {
                return Err(Error::NotALine);
            }
            wire.extend(message);
            wire.push(b'\n');
            Ok(())
            // lab:stub // Which messages can never be sent like this?
            // lab:stub todo!("a message as a line")
            // lab:end
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
                // lab:hole decode-length
                let Some((head, rest)) = self.buffer.split_first_chunk::<4>() else {
                    return Ok(None);
                };
                let length = u32::from_be_bytes(*head) as usize;
                // Whoever wrote this number may have written any number: it is checked before it is used.
                if length > LENGTH_MAX {
                    return Err(Error::TooLong);
                }
                if rest.len() < length {
                    return Ok(None);
                }
                let message = rest[..length].to_vec();
                self.buffer.drain(..4 + length);
                Ok(Some(message))
                // lab:stub // What if half of the four bytes have arrived? If two messages have? If the number is 4 billion?
                // lab:stub todo!("the next message")
                // lab:end
            }
            Framing::Line => {
                // lab:hole decode-line
                match self.buffer.iter().position(|byte| *byte == b'\n') {
                    Some(end) if end > LINE_MAX => Err(Error::TooLong),
                    Some(end) => {
                        let mut message: Vec<u8> = self.buffer.drain(..=end).collect();
                        message.pop();
                        Ok(Some(message))
                    }
                    None if self.buffer.len() > LINE_MAX => Err(Error::TooLong),
                    None => Ok(None),
                }
                // lab:stub // What if the line feed comes with the next piece? If it never comes?
                // lab:stub todo!("the next line")
                // lab:end
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
