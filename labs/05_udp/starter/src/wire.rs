//! What is in a datagram. There is nothing to do in this file.
//!
//! ```text
//! ASK 17 ADD 5      a request: a number of the client's own, and what it wants
//! ANS 17 OK 12      the answer to it: the same number, and what came of it
//! ```
//!
//! | request | answer | |
//! |---|---|---|
//! | `ADD n` | `OK m` | the counter goes up by n, to m |
//! | `GET` | `OK m` | the counter stands at m |
//! | `HELLO` | `HERE name` | for who looks for servers |
//! | anything else | `ERR why` | nothing has changed |
//!
//! A client's numbers grow. A datagram has at most [`MAX`] bytes, and a request that has more is answered
//! `ERR too long`.

// Each of the three programs needs a part of it.
#![allow(dead_code)]

/// How many bytes a datagram may have.
pub const MAX: usize = 512;

/// A request as it is sent.
pub fn ask(id: u64, words: &str) -> Vec<u8> {
    format!("ASK {id} {words}").into_bytes()
}

/// An answer as it is sent.
pub fn answer(id: u64, words: &str) -> Vec<u8> {
    format!("ANS {id} {words}").into_bytes()
}

/// The number and the words of a request; nothing if it is none.
pub fn parse_ask(bytes: &[u8]) -> Option<(u64, &str)> {
    parse("ASK ", bytes)
}

/// The number and the words of an answer; nothing if it is none.
pub fn parse_answer(bytes: &[u8]) -> Option<(u64, &str)> {
    parse("ANS ", bytes)
}

fn parse<'a>(kind: &str, bytes: &'a [u8]) -> Option<(u64, &'a str)> {
    // `nc` sends the end of the line as well.
    let text = std::str::from_utf8(bytes).ok()?.trim_end();
    let (id, words) = text.strip_prefix(kind)?.split_once(' ')?;
    Some((id.parse().ok()?, words))
}
