//! One client of a run: a connection after another, what is sent over it and what is read from it.

use crate::load::codec::{Codec, ReplyReader, Request};
use crate::load::content::{Content, LINE, Upload};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{self, RecvFlags, SendFlags};
use std::collections::VecDeque;
use std::mem;
use std::os::fd::OwnedFd;

/// The most that one `recv` takes.
pub(super) const BUFFER: usize = 256 * 1024;

/// Uploads up to this size are sent together with their header.
const SMALL_UPLOAD: u64 = 64 * 1024;

/// A request that has been sent or is about to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) request: Request,
    pub(super) planned: u64,
    pub(super) sent: u64,
    /// The number of the phase that it is measured in; none in a warm-up.
    pub(super) phase: Option<u32>,
}

/// The stage of a client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Closed,
    Connecting,
    Open,
    /// Its connection was refused, and it waits to try again.
    Refused,
}

/// A client: one connection after another.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stage: Stage,
    pub(super) socket: Option<OwnedFd>,
    /// Distinguishes the events of this connection from those of an earlier one.
    pub(super) generation: u32,
    pub(super) pending: VecDeque<Exchange>,
    /// What was sent behind the reply after which the server closed: to be sent again.
    pub(super) again: VecDeque<Exchange>,
    pub(super) reader: ReplyReader,
    pub(super) output: Output,
    /// The last request of this connection is on its way.
    pub(super) closing: bool,
    /// Sending has failed. What the server sent before that may still be read.
    pub(super) broken: bool,
    /// Stands in the queue of clients that can take a request.
    pub(super) queued: bool,
    /// Stands in the queue of clients that try again to connect.
    pub(super) retries: bool,
    /// It takes no request before this moment, after an error.
    pub(super) paused_until: Option<u64>,
    /// When it began to try to connect.
    pub(super) connect_began: u64,
    /// When it last tried.
    pub(super) connect_tried: u64,
    /// Of a client that reads slowly.
    pub(super) slow: Option<SlowReader>,
    /// It had a connection.
    pub(super) made: bool,
    /// The requests of the current phase that it has finished.
    pub(super) finished: u64,
}

/// How much a slow client may read.
#[derive(Debug, Default)]
pub(super) struct SlowReader {
    /// There may be something to read.
    pub(super) readable: bool,
    /// The bytes that it may read by now.
    pub(super) budget: f64,
}

/// What a client has to send: bytes, then the rest of an upload.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// How many of the bytes are sent.
    sent: usize,
    upload: Option<Upload>,
}

/// How far sending has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Everything is sent; whether it ended with an upload.
    Complete {
        upload: bool,
    },
    /// The rest follows when the socket has room.
    Blocked,
    Failed(Errno),
}

impl Client {
    pub(super) fn new(slow: bool) -> Client {
        Client {
            stage: Stage::Closed,
            socket: None,
            generation: 0,
            pending: VecDeque::new(),
            again: VecDeque::new(),
            reader: ReplyReader::default(),
            output: Output::default(),
            closing: false,
            broken: false,
            queued: false,
            retries: false,
            paused_until: None,
            connect_began: 0,
            connect_tried: 0,
            slow: slow.then(SlowReader::default),
            made: false,
            finished: 0,
        }
    }

    /// Whether it can take a new request, with a pipelining depth of `depth`.
    pub(super) fn can_take(&self, depth: usize) -> bool {
        let depth = if self.slow.is_some() { 1 } else { depth };
        self.can_send() && self.pending.len() + self.again.len() < depth
    }

    /// Whether a request can be added to what it sends.
    pub(super) fn can_send(&self) -> bool {
        self.paused_until.is_none() && !self.closing && !self.broken && self.output.upload.is_none()
    }

    /// Whether it is connected and has nothing under way.
    pub(super) fn is_idle(&self) -> bool {
        self.stage == Stage::Open && !self.has_work() && self.output.upload.is_none()
    }

    /// Whether it has requests without a reply.
    pub(super) fn has_work(&self) -> bool {
        !self.pending.is_empty() || !self.again.is_empty()
    }

    /// Since when it waits for the server, and whether for a connection. A slow client does not wait for
    /// replies.
    pub(super) fn waits_since(&self) -> Option<(u64, bool)> {
        let connecting = matches!(self.stage, Stage::Connecting | Stage::Refused);
        match self.pending.front() {
            Some(exchange) if self.slow.is_none() || connecting => {
                Some((exchange.sent, connecting))
            }
            None if connecting => Some((self.connect_began, connecting)),
            _ => None,
        }
    }

    /// Sets whether a slow client may find something to read.
    pub(super) fn set_readable(&mut self, readable: bool) {
        if let Some(slow) = &mut self.slow {
            slow.readable = readable;
        }
    }

    /// Sends as much as the socket takes; returns how many bytes that was.
    pub(super) fn send(&mut self, content: &Content) -> (u64, Progress) {
        match &self.socket {
            Some(socket) => self.output.send(socket, content),
            None => (0, Progress::Blocked),
        }
    }

    /// Receives up to `most` bytes into `buffer`; none if there is no connection.
    pub(super) fn receive(
        &self,
        buffer: &mut Vec<u8>,
        most: usize,
    ) -> Option<rustix::io::Result<usize>> {
        let socket = self.socket.as_ref()?;
        buffer.clear();
        // Allocates only where reading has led to sending, and sending to reading.
        buffer.reserve_exact(BUFFER);
        let received = if most >= BUFFER {
            net::recv(socket, spare_capacity(buffer), RecvFlags::empty())
        } else {
            buffer.resize(most, 0);
            net::recv(socket, &mut buffer[..], RecvFlags::empty())
        };
        Some(received.map(|(count, _)| count))
    }

    /// Its connection was refused: it keeps what it has to send.
    pub(super) fn refuse(&mut self) {
        self.socket = None;
        self.generation = self.generation.wrapping_add(1);
        self.stage = Stage::Refused;
    }

    /// Drops the connection; returns what was pending on it.
    pub(super) fn disconnect(&mut self) -> VecDeque<Exchange> {
        self.socket = None;
        self.generation = self.generation.wrapping_add(1);
        self.reader.reset();
        self.output.clear();
        self.closing = false;
        self.broken = false;
        self.set_readable(false);
        mem::take(&mut self.pending)
    }
}

impl Output {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.upload.is_none()
    }

    /// Adds a request.
    pub(super) fn push(&mut self, codec: &Codec, request: &Request) {
        codec.encode(request, &mut self.bytes);
    }

    /// Adds the body of an upload.
    pub(super) fn push_upload(&mut self, content: &Content, mut upload: Upload) {
        // As much as goes well into one segment with the header; the rest is sent from where it is.
        let small = upload.left() <= SMALL_UPLOAD;
        let joined = if small { SMALL_UPLOAD } else { LINE as u64 };
        let mut at = 0;
        while at < joined && upload.left() > 0 {
            let piece = upload.next(content);
            let length = piece.len();
            self.bytes.extend_from_slice(piece);
            upload.advance(length);
            at += length as u64;
        }
        self.upload = (upload.left() > 0).then_some(upload);
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
        self.upload = None;
    }

    fn send(&mut self, socket: &OwnedFd, content: &Content) -> (u64, Progress) {
        let mut total = 0;
        loop {
            let from_bytes = self.sent < self.bytes.len();
            let mut flags = SendFlags::NOSIGNAL;
            let piece = match &self.upload {
                upload if from_bytes => {
                    flags.set(SendFlags::MORE, upload.is_some());
                    &self.bytes[self.sent..]
                }
                Some(upload) if upload.left() > 0 => upload.next(content),
                _ => {
                    let upload = self.upload.is_some();
                    self.clear();
                    return (total, Progress::Complete { upload });
                }
            };
            let whole = piece.len();
            let sent = match net::send(socket, piece, flags) {
                Ok(sent) => sent,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN | Errno::NOTCONN | Errno::INPROGRESS) => {
                    return (total, Progress::Blocked);
                }
                Err(errno) => return (total, Progress::Failed(errno)),
            };
            total += sent as u64;
            if from_bytes {
                self.sent += sent;
            } else if let Some(upload) = &mut self.upload {
                upload.advance(sent);
            }
            if sent < whole {
                return (total, Progress::Blocked);
            }
        }
    }
}
