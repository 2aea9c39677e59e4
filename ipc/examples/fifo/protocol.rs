//! What reader and writer have agreed on.

use std::path::PathBuf;

use crate::story;

/// A request: who asks, and a number to be added. Of fixed length, so that no request needs an end mark, and
/// far below PIPE_BUF, so that requests of several clients do not mix.
pub const LENGTH: usize = 8;

/// The request to end.
pub const STOP: [u8; LENGTH] = [0xff; LENGTH];

/// Where the requests go. In real life both sides know a fixed path, such as one below `/run`.
pub fn path() -> PathBuf {
    std::env::temp_dir().join(story::unique_name("fifo"))
}

pub fn encode(pid: u32, number: u32) -> [u8; LENGTH] {
    let mut request = [0; LENGTH];
    request[..4].copy_from_slice(&pid.to_ne_bytes());
    request[4..].copy_from_slice(&number.to_ne_bytes());
    request
}

pub fn decode(request: [u8; LENGTH]) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = request;
    (u32::from_ne_bytes([a, b, c, d]), u32::from_ne_bytes([e, f, g, h]))
}
