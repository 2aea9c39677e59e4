//! One worker process, and the socket to it.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::PoolOptions;
use super::error::PoolError;
use super::job::{Chunk, Job};
use crate::error::{Error, Result};
use crate::process::frame::{Reply, VERSION, parse_reply, split};
use crate::process::{Exit, Process};

/// How long a worker may take to end once it has no more jobs.
const GRACE: Duration = Duration::from_secs(5);

/// A worker process.
pub(super) struct WorkerProcess {
    pub(super) process: Process,
    pub(super) socket: UnixStream,
    /// Neither hello nor end by then: it is killed.
    pub(super) deadline: Option<Instant>,
    ready: bool,
    /// Why nothing more is read from it.
    disconnected: Option<Disconnect>,
    jobs: VecDeque<Job>,
    /// How many of `jobs` have been sent whole, and how much of the next.
    sent: usize,
    offset: usize,
    incoming: Vec<u8>,
    /// Its side of the socket was told that there will be no more jobs.
    draining: bool,
    /// It was killed because it sent no hello.
    silent: bool,
}

/// Why nothing more is read from a worker.
enum Disconnect {
    /// Its stream has ended.
    EndOfStream,
    /// What it sent is no answer.
    Protocol(String),
}

/// The state that a worker leaves when it has ended.
pub(super) struct Remains {
    /// Jobs that it had not begun.
    pub(super) jobs: Chunk,
    /// Whether it had taken a job.
    pub(super) took_job: bool,
    /// Whether it was to end.
    pub(super) draining: bool,
    /// Whether it sent its hello.
    pub(super) greeted: bool,
    /// Whether it was killed because it sent no hello.
    pub(super) silent: bool,
    /// How it ended, for a message.
    pub(super) reason: String,
}

impl WorkerProcess {
    /// Starts a worker process.
    pub(super) fn start(name: &str, options: &PoolOptions) -> Result<Self> {
        let failed =
            |call| move |error: std::io::Error| Error::io(format!("process {name}"), call, &error);
        let (socket, theirs) = UnixStream::pair().map_err(failed("socketpair"))?;
        socket.set_nonblocking(true).map_err(failed("ioctl"))?;
        let process = options
            .executable
            .launch()
            .args(options.arguments.iter().map(String::as_str))
            .name(name)
            .stdin(OwnedFd::from(theirs))
            .daemon(true)
            .start()?;
        Ok(Self {
            process,
            socket,
            deadline: Instant::now().checked_add(options.start_timeout),
            ready: false,
            disconnected: None,
            jobs: VecDeque::new(),
            sent: 0,
            offset: 0,
            incoming: Vec::new(),
            draining: false,
            silent: false,
        })
    }

    /// Whether it could be given jobs now.
    pub(super) fn is_idle(&self) -> bool {
        self.ready && self.jobs.is_empty() && self.is_connected() && !self.draining
    }

    pub(super) fn has_sent_hello(&self) -> bool {
        self.ready
    }

    pub(super) fn has_jobs(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// Whether it is still read from.
    pub(super) fn is_connected(&self) -> bool {
        self.disconnected.is_none()
    }

    /// Whether a job has not been sent whole.
    pub(super) fn wants_to_write(&self) -> bool {
        self.sent < self.jobs.len()
    }

    pub(super) fn assign(&mut self, chunk: Chunk) {
        self.jobs = chunk;
    }

    /// Tells the worker that there will be no more jobs, and gives it time to end.
    pub(super) fn drain(&mut self, now: Instant) {
        if !self.draining {
            self.draining = true;
            self.deadline = now.checked_add(GRACE);
            let _ = self.socket.shutdown(Shutdown::Write);
        }
    }

    /// Kills the worker if its time is over.
    pub(super) fn check_deadline(&mut self, now: Instant) {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.silent = !self.ready && !self.draining;
            self.disconnect(Disconnect::Protocol("nothing in time".to_owned()));
        }
    }

    /// Sends as much of its jobs as the socket takes.
    pub(super) fn write(&mut self) {
        while self.is_connected()
            && let Some(job) = self.jobs.get(self.sent)
        {
            match self.socket.write(&job.frame[self.offset..]) {
                Ok(n) if self.offset + n == job.frame.len() => {
                    self.sent += 1;
                    self.offset = 0;
                }
                Ok(n) => self.offset += n,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // It has closed its side. What it sent before is read, and its end noticed, by `read`.
                Err(_) => return,
            }
        }
    }

    /// Reads what it has sent; returns whether a job was answered.
    pub(super) fn read(&mut self) -> bool {
        let mut answered = false;
        let mut buffer = vec![0; 64 << 10];
        while self.is_connected() {
            match self.socket.read(&mut buffer) {
                Ok(0) => self.disconnect(Disconnect::EndOfStream),
                Ok(n) => {
                    self.incoming.extend_from_slice(&buffer[..n]);
                    match self.take_frames() {
                        Ok(some) => answered |= some,
                        Err(text) => self.disconnect(Disconnect::Protocol(text)),
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // A reset: it ended with jobs unread.
                Err(_) => self.disconnect(Disconnect::EndOfStream),
            }
        }
        answered
    }

    /// Takes the whole frames off what has come; returns whether a job was answered.
    fn take_frames(&mut self) -> std::result::Result<bool, String> {
        let incoming = std::mem::take(&mut self.incoming);
        let mut rest = &incoming[..];
        let mut answered = false;
        while let Some((frame, taken)) = split(rest)? {
            rest = &rest[taken..];
            let reply = parse_reply(frame)?;
            let (id, outcome) = match reply {
                Reply::Hello(VERSION) if !self.ready => {
                    self.ready = true;
                    if !self.draining {
                        self.deadline = None;
                    }
                    continue;
                }
                Reply::Hello(version) => {
                    return Err(format!("a second hello, or one of version {version}"));
                }
                Reply::Done(id, output) => (id, Ok(output.to_vec())),
                Reply::Error(id, text) => {
                    (id, Err(Some(String::from_utf8_lossy(text).into_owned())))
                }
                Reply::Unknown(id) => (id, Err(None)),
            };
            if self.sent == 0 || self.jobs.front().is_none_or(|job| job.id != id) {
                return Err(format!("an answer to job number {id}, which is not its turn"));
            }
            let Some(done) = self.jobs.pop_front() else { continue };
            self.sent -= 1;
            answered = true;
            let job = done.name.clone();
            let (worker, pid) = self.names();
            done.complete(outcome.map_err(|text| match text {
                Some(text) => PoolError::Failed { job, worker, pid, text },
                None => PoolError::Unknown { job, worker, pid },
            }));
        }
        self.incoming = rest.to_vec();
        Ok(answered)
    }

    /// Reads no more from the worker, and sees that it ends. Its end is noticed like any other.
    fn disconnect(&mut self, reason: Disconnect) {
        match reason {
            // It may be about to end by itself, and its exit code is of interest.
            Disconnect::EndOfStream => self.deadline = Instant::now().checked_add(GRACE),
            Disconnect::Protocol(_) => {
                self.deadline = None;
                let _ = self.process.kill();
            }
        }
        self.disconnected.get_or_insert(reason);
    }

    /// Reports the job that a worker had begun when it ended. The worker has ended, so this does not wait.
    pub(super) fn reap(mut self) -> Remains {
        let (worker, pid) = self.names();
        let exit = self.process.join();
        let violation = match self.disconnected.take() {
            Some(Disconnect::Protocol(text)) => Some(text),
            Some(Disconnect::EndOfStream) | None => None,
        };
        let reason = match (&violation, &exit) {
            (Some(text), _) => format!("it sent {text}"),
            (None, Ok(exit)) => exit.to_string(),
            (None, Err(error)) => error.to_string(),
        };
        let took_job = self.sent > 0;
        if took_job && let Some(lost) = self.jobs.pop_front() {
            let job = lost.name.clone();
            lost.complete(Err(failure(violation, exit, job, worker, pid)));
        }
        Remains {
            jobs: self.jobs,
            took_job,
            draining: self.draining,
            greeted: self.ready,
            silent: self.silent,
            reason,
        }
    }

    fn names(&self) -> (String, i32) {
        (self.process.name().to_owned(), self.process.pid())
    }
}

fn failure(
    violation: Option<String>,
    exit: Result<Exit>,
    job: String,
    worker: String,
    pid: i32,
) -> PoolError {
    match (violation, exit) {
        (Some(text), _) => PoolError::Protocol { job, worker, pid, text },
        (None, Ok(exit)) => PoolError::Died { job, worker, pid, exit },
        (None, Err(error)) => PoolError::Failed { job, worker, pid, text: error.to_string() },
    }
}
