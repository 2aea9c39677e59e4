//! The frames between a pool and its workers, and the worker's side of them.
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

use std::any::Any;
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::fcntl::{FcntlArg, fcntl};
use nix::sys::socket::{SockType, getsockopt, sockopt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// The most bytes that the input or the output of a job may have: 16 MiB.
pub const MESSAGE_LIMIT: usize = 16 << 20;

/// The longest name of a job, in bytes.
pub(super) const NAME_LIMIT: usize = 255;

/// The most that a frame's length may say: a message, and room for what stands before it.
pub(super) const FRAME_LIMIT: usize = MESSAGE_LIMIT + 1024;

/// The version that a hello carries.
pub(super) const VERSION: u32 = 1;

/// The bytes of a frame before its kind.
pub(super) const HEAD: usize = 4;

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
    let mut body = Vec::with_capacity(HEAD + 11 + name.len() + input.len());
    body.extend_from_slice(&[0; HEAD]);
    body.push(b'J');
    body.extend_from_slice(&id.to_le_bytes());
    body.extend_from_slice(&(name.len() as u16).to_le_bytes());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(input);
    finish(body)
}

fn reply_frame(kind: u8, id: u64, output: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(HEAD + 9 + output.len());
    body.extend_from_slice(&[0; HEAD]);
    body.push(kind);
    body.extend_from_slice(&id.to_le_bytes());
    body.extend_from_slice(output);
    finish(body)
}

/// Writes the length into the room kept for it.
fn finish(mut frame: Vec<u8>) -> Vec<u8> {
    let length = (frame.len() - HEAD) as u32;
    frame[..HEAD].copy_from_slice(&length.to_le_bytes());
    frame
}

/// Splits the first whole frame off `bytes`; gives its kind and body, and what it took.
///
/// `Ok(None)` means that more must come; an error, that no frame begins like this.
pub(super) fn split(bytes: &[u8]) -> std::result::Result<Option<(&[u8], usize)>, String> {
    let Some(head) = bytes.first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*head) as usize;
    if !(1..=FRAME_LIMIT).contains(&length) {
        return Err(format!("a frame of {length} bytes, allowed are 1 to {FRAME_LIMIT}"));
    }
    Ok(bytes.get(HEAD..HEAD + length).map(|frame| (frame, HEAD + length)))
}

/// Reads kind and body of a worker's frame.
pub(super) fn parse_reply(frame: &[u8]) -> std::result::Result<Reply<'_>, String> {
    let strange =
        || format!("a frame that is none: {:?}", frame[..frame.len().min(16)].escape_ascii());
    let (&kind, body) = frame.split_first().ok_or_else(strange)?;
    if kind == b'H' {
        let version = body.try_into().map_err(|_| strange())?;
        return Ok(Reply::Hello(u32::from_le_bytes(version)));
    }
    let (id, rest) = body.split_first_chunk().ok_or_else(strange)?;
    let id = u64::from_le_bytes(*id);
    match (kind, rest) {
        (b'D', output) => Ok(Reply::Done(id, output)),
        (b'E', text) => Ok(Reply::Error(id, text)),
        (b'U', []) => Ok(Reply::Unknown(id)),
        _ => Err(strange()),
    }
}

/// Reads a job's frame: id, name, input.
fn parse_job(frame: &[u8]) -> Option<(u64, &str, &[u8])> {
    let (id, rest) = frame.strip_prefix(b"J")?.split_first_chunk()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (name, input) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
    Some((u64::from_le_bytes(*id), std::str::from_utf8(name).ok()?, input))
}

/// What a job makes of its bytes, or what went wrong.
type Outcome = std::result::Result<Vec<u8>, String>;

type Job = Box<dyn Fn(&[u8]) -> Outcome>;

/// The worker's side of a [`Pool`](super::Pool): the jobs that this process can do.
///
/// It is made in the worker process, so a job may use what was set up there: a closure that owns a
/// database connection is a job like any other.
///
/// ```no_run
/// use ipc::process::Worker;
///
/// fn worker(_: &[String]) -> Result<(), Box<dyn std::error::Error>> {
///     let greeting = String::from("hello");
///     Worker::new()
///         .job("square", |n: u64| n * n)
///         .job("greet", move |name: String| format!("{greeting}, {name}"))
///         .serve()?;
///     Ok(())
/// }
/// ```
#[derive(Default)]
pub struct Worker {
    jobs: HashMap<String, Job>,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("jobs", &self.jobs.keys()).finish()
    }
}

impl Worker {
    /// A worker that knows no job yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a job whose input and output travel as JSON. Of two jobs with one name the later counts.
    #[must_use]
    pub fn job<In, Out>(self, name: &str, run: impl Fn(In) -> Out + 'static) -> Self
    where
        In: DeserializeOwned,
        Out: Serialize,
    {
        self.add(name, move |input| {
            let input = serde_json::from_slice(input)
                .map_err(|error| format!("the input does not fit: {error}"))?;
            serde_json::to_vec(&run(input))
                .map_err(|error| format!("the output is no JSON: {error}"))
        })
    }

    /// Adds a job of bytes.
    #[must_use]
    pub fn bytes(self, name: &str, run: impl Fn(&[u8]) -> Vec<u8> + 'static) -> Self {
        self.add(name, move |input| Ok(run(input)))
    }

    fn add(mut self, name: &str, run: impl Fn(&[u8]) -> Outcome + 'static) -> Self {
        self.jobs.insert(name.to_owned(), Box::new(run));
        self
    }

    /// Does jobs until the pool has no more.
    ///
    /// A job that panics costs itself: the panic is reported to who asked for it, and the worker goes on.
    /// While jobs are done, standard input is `/dev/null`: the pool's socket is out of their reach.
    ///
    /// # Errors
    ///
    /// [`Error::Foreign`]: standard input is no socket (this process was not started by a pool), or what
    /// comes from it are no frames. [`Error::Closed`]: the pool is gone, with an answer on its way.
    /// [`Error::System`]: the kernel refuses.
    pub fn serve(self) -> Result<()> {
        let mut stream = take_stdin()?;
        let mut hello = vec![0; HEAD];
        hello.push(b'H');
        hello.extend_from_slice(&VERSION.to_le_bytes());
        send(&mut stream, &finish(hello))?;
        let mut frame = Vec::new();
        while receive(&mut stream, &mut frame)? {
            let (id, name, input) =
                parse_job(&frame).ok_or_else(|| foreign("a frame is no job"))?;
            let answer = match self.jobs.get(name) {
                Some(run) => match attempt(run, input) {
                    Ok(output) => reply_frame(b'D', id, &output),
                    Err(text) => reply_frame(b'E', id, text.as_bytes()),
                },
                None => reply_frame(b'U', id, &[]),
            };
            send(&mut stream, &answer)?;
        }
        Ok(())
    }
}

/// Runs a job; what it does wrong becomes a text.
fn attempt(run: &dyn Fn(&[u8]) -> Outcome, input: &[u8]) -> Outcome {
    // What the job shares with the next one is its own closure; if a panic left that half-changed, a
    // RefCell or a Mutex in it will say so.
    let output = catch_unwind(AssertUnwindSafe(|| run(input)))
        .unwrap_or_else(|panic| Err(format!("it panicked: {}", panic_text(&*panic))))?;
    if output.len() > MESSAGE_LIMIT {
        return Err(format!("its output has {} bytes, allowed are {MESSAGE_LIMIT}", output.len()));
    }
    Ok(output)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let mut text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    // It must fit into a frame.
    text.truncate(text.floor_char_boundary(64 << 10));
    text
}

const POOL: &str = "pool at standard input";

fn foreign(reason: &str) -> Error {
    Error::Foreign { object: POOL.to_owned(), reason: reason.to_owned() }
}

/// Moves the pool's socket away from standard input.
fn take_stdin() -> Result<UnixStream> {
    let stdin = std::io::stdin();
    if getsockopt(&stdin, sockopt::SockType).ok() != Some(SockType::Stream) {
        return Err(foreign("it is no stream socket; a worker is started by a pool"));
    }
    let refused = |call| move |errno| Error::system(POOL, call, errno);
    let number = fcntl(&stdin, FcntlArg::F_DUPFD_CLOEXEC(3)).map_err(refused("fcntl"))?;
    // SAFETY: fcntl just made this descriptor, and it has no other owner.
    let socket = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) };
    let null = std::fs::File::open("/dev/null").map_err(|error| foreign(&error.to_string()))?;
    nix::unistd::dup2_stdin(&null).map_err(refused("dup2"))?;
    Ok(UnixStream::from(socket))
}

fn send(stream: &mut UnixStream, frame: &[u8]) -> Result<()> {
    stream.write_all(frame).map_err(lost)
}

/// Reads the next frame, kind and body; `false` at the end of the stream.
fn receive(stream: &mut UnixStream, frame: &mut Vec<u8>) -> Result<bool> {
    let mut head = [0; HEAD];
    let mut got = 0;
    while got < HEAD {
        match stream.read(&mut head[got..]) {
            Ok(0) if got == 0 => return Ok(false),
            Ok(0) => return Err(Error::Closed { object: POOL.to_owned() }),
            Ok(n) => got += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(lost(error)),
        }
    }
    let length = u32::from_le_bytes(head) as usize;
    if length > FRAME_LIMIT {
        return Err(foreign("a frame is longer than frames may be"));
    }
    frame.clear();
    // Not all the room at once: the length is only a claim.
    stream.take(length as u64).read_to_end(frame).map_err(lost)?;
    if frame.len() < length {
        return Err(Error::Closed { object: POOL.to_owned() });
    }
    Ok(true)
}

fn lost(error: std::io::Error) -> Error {
    match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::EPIPE | nix::errno::Errno::ECONNRESET) | None => {
            Error::Closed { object: POOL.to_owned() }
        }
        Some(errno) => Error::system(POOL, "read or write", errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_framed_is_parsed() {
        let frame = job_frame(7, "square", b"12");
        let (body, taken) = split(&frame).unwrap().unwrap();
        assert_eq!((parse_job(body), taken), (Some((7, "square", &b"12"[..])), frame.len()));
        for end in 0..frame.len() {
            assert_eq!(split(&frame[..end]).unwrap(), None, "a part of a frame is none");
        }
        let frame = reply_frame(b'D', 7, b"144");
        let (body, _) = split(&frame).unwrap().unwrap();
        assert_eq!(parse_reply(body), Ok(Reply::Done(7, b"144")));
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert!(split(&[0; 4]).is_err(), "a frame has a kind at least");
        assert!(split(&((FRAME_LIMIT + 1) as u32).to_le_bytes()).is_err());
        for frame in [&b"H"[..], b"H12345", b"D123", b"U12345678x", b"Z12345678", b"GET / HTTP/1.1"]
        {
            assert!(parse_reply(frame).is_err(), "{}", frame.escape_ascii());
        }
        for frame in [&b"J"[..], b"J12345678\xff\xffab", b"K12345678\0\0", b"J12345678\x01\0\xff"] {
            assert!(parse_job(frame).is_none(), "{}", frame.escape_ascii());
        }
    }
}
