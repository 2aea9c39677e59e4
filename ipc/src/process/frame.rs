//! The frames between a pool and its workers.
//!
//! A worker is any program that finds a connected stream socket as its standard input and speaks frames
//! over it, in both directions (so its standard output stays free for people). Numbers are little-endian.
//!
//! ```text
//! frame    length u32   the bytes that follow, kind and body: at most 16 MiB and 1 KiB
//!          kind   u8    a letter
//!          body
//!
//! worker   'H'   version u32                            hello, the first frame: ready; version is 1
//!          'D'   id u64, output                         job id is done
//!          'E'   id u64, text in UTF-8                  job id failed, and why (a panic, bad input)
//!          'U'   id u64                                 there is no job of that name
//! pool     'J'   id u64, n u16, name (n bytes), input   do job `name` with `input`
//! ```
//!
//! A worker does jobs in the order in which they come and answers each before it begins the next. Several may
//! be on their way to it. At the end of the stream it ends. Input and output are JSON where the typed calls of
//! [`Pool`](super::Pool) are used, and any bytes otherwise. A whole worker in Python:
//!
//! ```python
//! import json, socket, struct
//! stream = socket.socket(fileno=0).makefile("rwb")
//! def send(kind, body):
//!     stream.write(struct.pack("<I", 1 + len(body)) + kind + body); stream.flush()
//! send(b"H", struct.pack("<I", 1))
//! while head := stream.read(4):
//!     frame = stream.read(struct.unpack("<I", head)[0])
//!     id, n = struct.unpack_from("<QH", frame, 1)
//!     name, value = frame[11:11 + n], json.loads(frame[11 + n:])
//!     if name == b"square":
//!         send(b"D", struct.pack("<Q", id) + json.dumps(value * value).encode())
//!     else:
//!         send(b"U", struct.pack("<Q", id))
//! ```

/// The most bytes that the input or the output of a job may have: 16 MiB.
pub const MESSAGE_LIMIT: usize = 16 << 20;

/// The longest name of a job, in bytes.
pub(super) const NAME_LIMIT: usize = 255;

/// The most that a frame's length may say: a message, and room for what stands before it.
pub(super) const FRAME_LIMIT: usize = MESSAGE_LIMIT + 1024;

/// The version that a hello carries.
pub(super) const VERSION: u32 = 1;

/// The length of a frame's header: the bytes before its kind.
pub(super) const HEADER: usize = 4;

/// A frame from a worker, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    Hello(u32),
    Done(u64, &'a [u8]),
    Error(u64, &'a [u8]),
    Unknown(u64),
}

/// A job as a frame.
///
/// The caller has checked both limits.
pub(super) fn job_frame(id: u64, name: &str, input: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEADER + 11 + name.len() + input.len());
    body.extend_from_slice(&[0; HEADER]);
    body.push(b'J');
    body.extend_from_slice(&id.to_le_bytes());
    body.extend_from_slice(&(name.len() as u16).to_le_bytes());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(input);
    with_length(body)
}

/// The first frame of a worker.
pub(super) fn hello_frame() -> Vec<u8> {
    let mut frame = vec![0; HEADER];
    frame.push(b'H');
    frame.extend_from_slice(&VERSION.to_le_bytes());
    with_length(frame)
}

pub(super) fn reply_frame(kind: u8, id: u64, output: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEADER + 9 + output.len());
    body.extend_from_slice(&[0; HEADER]);
    body.push(kind);
    body.extend_from_slice(&id.to_le_bytes());
    body.extend_from_slice(output);
    with_length(body)
}

/// Writes the length into the room kept for it.
fn with_length(mut frame: Vec<u8>) -> Vec<u8> {
    let length = (frame.len() - HEADER) as u32;
    frame[..HEADER].copy_from_slice(&length.to_le_bytes());
    frame
}

/// Splits the first whole frame off `bytes`; returns its kind and body, and how many bytes it took.
///
/// `Ok(None)` means that more must come; an error, that no frame begins like this.
pub(super) fn split(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, String> {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*header) as usize;
    if !(1..=FRAME_LIMIT).contains(&length) {
        return Err(format!("a frame of {length} bytes, allowed are 1 to {FRAME_LIMIT}"));
    }
    Ok(bytes.get(HEADER..HEADER + length).map(|frame| (frame, HEADER + length)))
}

/// Reads kind and body of a worker's frame.
pub(super) fn parse_reply(frame: &[u8]) -> Result<Reply<'_>, String> {
    let malformed =
        || format!("a frame that is none: {:?}", frame[..frame.len().min(16)].escape_ascii());
    let (&kind, body) = frame.split_first().ok_or_else(malformed)?;
    if kind == b'H' {
        let version = body.try_into().map_err(|_| malformed())?;
        return Ok(Reply::Hello(u32::from_le_bytes(version)));
    }
    let (id, rest) = body.split_first_chunk().ok_or_else(malformed)?;
    let id = u64::from_le_bytes(*id);
    match (kind, rest) {
        (b'D', output) => Ok(Reply::Done(id, output)),
        (b'E', text) => Ok(Reply::Error(id, text)),
        (b'U', []) => Ok(Reply::Unknown(id)),
        _ => Err(malformed()),
    }
}

/// Reads a job's frame: id, name, input.
pub(super) fn parse_job(frame: &[u8]) -> Option<(u64, &str, &[u8])> {
    let (id, rest) = frame.strip_prefix(b"J")?.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (name, input) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    Some((u64::from_le_bytes(*id), std::str::from_utf8(name).ok()?, input))
}

#[cfg(test)]
mod tests;
