//! The worker's side of a pool.

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

use super::frame::{FRAME_LIMIT, HEADER, MESSAGE_LIMIT, hello_frame, parse_job, reply_frame};
use crate::error::{Error, Result};

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
    /// [`Error::Unusable`]: standard input is no socket (this process was not started by a pool), or what
    /// comes from it are no frames. [`Error::Closed`]: the pool is gone, with an answer on its way.
    /// [`Error::System`]: the kernel refuses.
    pub fn serve(self) -> Result<()> {
        let mut stream = take_stdin()?;
        send(&mut stream, &hello_frame())?;
        let mut frame = Vec::new();
        while receive(&mut stream, &mut frame)? {
            let (id, name, input) =
                parse_job(&frame).ok_or_else(|| unusable("a frame is no job"))?;
            let reply = match self.jobs.get(name) {
                Some(run) => match run_job(run, input) {
                    Ok(output) => reply_frame(b'D', id, &output),
                    Err(text) => reply_frame(b'E', id, text.as_bytes()),
                },
                None => reply_frame(b'U', id, &[]),
            };
            send(&mut stream, &reply)?;
        }
        Ok(())
    }
}

/// Runs a job; what it does wrong becomes a text.
fn run_job(job: &dyn Fn(&[u8]) -> Outcome, input: &[u8]) -> Outcome {
    // What the job shares with the next one is its own closure; if a panic left that half-changed, a
    // RefCell or a Mutex in it will say so.
    let output = catch_unwind(AssertUnwindSafe(|| job(input)))
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

fn unusable(reason: &str) -> Error {
    Error::unusable(POOL, reason)
}

/// Moves the pool's socket away from standard input.
fn take_stdin() -> Result<UnixStream> {
    let stdin = std::io::stdin();
    if getsockopt(&stdin, sockopt::SockType).ok() != Some(SockType::Stream) {
        return Err(unusable("it is no stream socket; a worker is started by a pool"));
    }
    let refused = |call| move |errno| Error::system(POOL, call, errno);
    let number = fcntl(&stdin, FcntlArg::F_DUPFD_CLOEXEC(3)).map_err(refused("fcntl"))?;
    // SAFETY: fcntl just made this descriptor, and it has no other owner.
    let socket = unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(number) };
    let null = std::fs::File::open("/dev/null").map_err(|error| unusable(&error.to_string()))?;
    nix::unistd::dup2_stdin(&null).map_err(refused("dup2"))?;
    Ok(UnixStream::from(socket))
}

fn send(stream: &mut UnixStream, frame: &[u8]) -> Result<()> {
    stream.write_all(frame).map_err(stream_error)
}

/// Reads the next frame, kind and body; `false` at the end of the stream.
fn receive(stream: &mut UnixStream, frame: &mut Vec<u8>) -> Result<bool> {
    let mut header = [0; HEADER];
    let mut got = 0;
    while got < HEADER {
        match stream.read(&mut header[got..]) {
            Ok(0) if got == 0 => return Ok(false),
            Ok(0) => return Err(Error::Closed { object: POOL.to_owned() }),
            Ok(n) => got += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(stream_error(error)),
        }
    }
    let length = u32::from_le_bytes(header) as usize;
    if length > FRAME_LIMIT {
        return Err(unusable("a frame is longer than frames may be"));
    }
    frame.clear();
    // Not all the room at once: the length is only a claim.
    stream.take(length as u64).read_to_end(frame).map_err(stream_error)?;
    if frame.len() < length {
        return Err(Error::Closed { object: POOL.to_owned() });
    }
    Ok(true)
}

fn stream_error(error: std::io::Error) -> Error {
    match error.raw_os_error().map(nix::errno::Errno::from_raw) {
        Some(nix::errno::Errno::EPIPE | nix::errno::Errno::ECONNRESET) | None => {
            Error::Closed { object: POOL.to_owned() }
        }
        Some(errno) => Error::system(POOL, "read or write", errno),
    }
}
