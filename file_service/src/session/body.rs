//! Replies on their way out, with a range of a file or without, and uploads on their way in.

use super::job::FileWork;
use super::{Budget, Phase, Protocol, ResponseOptions, Session, Step};
use crate::http;
use crate::protocol::{self, Code, RelPath};
use crate::store::{Failure, Store, Upload};
use crate::transport::{Interest, Transport};
use std::fs::File;
use std::io::Write;
use std::ops::ControlFlow::{self, Continue};
use std::time::Instant;

/// Up to this size, in bytes, a file is read into the reply and sent with its header in one call; above
/// it goes from the page cache to the socket by sendfile, after its corked header. Both ways take two
/// calls; the one copies, the other passes pages. They cost the same at 8 KiB where this was measured,
/// and sendfile a quarter less at 16 KiB; the crossing depends on the machine.
const INLINE_MAX: u64 = 8 * 1024;

/// How much of an upload is read at a time, in bytes: half of a large transfer's cost is system calls.
const UPLOAD_CHUNK: u64 = 1 << 20;

/// How much of a discarded body is read at a time, in bytes.
const DISCARD_CHUNK: u64 = 64 * 1024;

/// Bytes on their way out, then perhaps a range of a file.
#[derive(Debug)]
pub(super) struct Reply {
    bytes: Vec<u8>,
    sent: usize,
    range: Option<FileRange>,
    then: AfterReply,
}

/// The part of a file that is still to be sent.
#[derive(Debug)]
pub(super) struct FileRange {
    pub(super) file: File,
    pub(super) offset: u64,
    pub(super) remaining: u64,
}

/// What the session does when a reply is sent.
#[derive(Debug)]
pub(super) enum AfterReply {
    NextRequest,
    Receive(Box<RequestBody>),
    Close,
}

/// The body of a request on its way in.
#[derive(Debug)]
pub(super) struct RequestBody {
    remaining: u64,
    sink: Sink,
    /// Allocated by the first read that needs it.
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Sink {
    Store(Upload),
    /// The reply is decided; the body is read to its end so that the connection stays usable.
    Discard(Reply),
}

/// Why an upload does not begin.
pub(super) enum PutRefusal {
    Failure(Failure),
    /// A status and its reason: only HTTP has conditions and origins.
    Http(u16, &'static str),
}

impl From<Code> for PutRefusal {
    fn from(code: Code) -> PutRefusal {
        PutRefusal::Failure(code.into())
    }
}

impl Session {
    // ---- Replies ----

    /// Runs `answer`, and replies with its failure if it fails.
    pub(super) fn try_answer(&mut self, answer: impl FnOnce(&mut Session) -> Result<(), Failure>) {
        if let Err(failure) = answer(self) {
            self.fail(failure);
        }
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        if let Some(detail) = &failure.detail {
            tracing::error!(peer = %self.peer, "request failed: {detail}");
        }
        self.refuse(failure.code, false);
    }

    pub(super) fn refuse(&mut self, code: Code, close: bool) {
        let reply = self.refusal(code, close);
        self.begin_reply(reply);
    }

    /// Returns a refusal in the protocol of the connection.
    pub(super) fn refusal(&self, code: Code, close: bool) -> Reply {
        tracing::debug!(peer = %self.peer, %code, "refused");
        let then = if close { AfterReply::Close } else { self.after_reply() };
        let bytes = match self.protocol {
            Protocol::Http(options) => {
                let keep_alive = matches!(then, AfterReply::NextRequest);
                let options = ResponseOptions { keep_alive, ..options };
                self.http_error(code.http_status(), &format!("{code}: {}", code.message()), options)
            }
            Protocol::Unknown | Protocol::File => protocol::error_line(code).into_bytes(),
        };
        Reply { bytes, sent: 0, range: None, then }
    }

    /// What follows a reply: the next request, unless an HTTP client wanted only this one.
    pub(super) fn after_reply(&self) -> AfterReply {
        match self.protocol {
            Protocol::Http(options) if !options.keep_alive => AfterReply::Close,
            _ => AfterReply::NextRequest,
        }
    }

    pub(super) fn is_read_only(&self) -> bool {
        !self.service.store().is_writable()
    }

    pub(super) fn reply(&mut self, bytes: Vec<u8>, then: AfterReply) {
        self.begin_reply(Reply { bytes, sent: 0, range: None, then });
    }

    fn begin_reply(&mut self, reply: Reply) {
        self.phase = Phase::Reply(reply);
        self.deadline = Instant::now() + self.service.settings().transfer_timeout;
    }

    /// Replies with `OK` and a text of the file protocol.
    pub(super) fn reply_text(&mut self, text: &[u8]) {
        let mut bytes = ok_line(text.len() as u64, text.len());
        bytes.extend_from_slice(text);
        self.reply(bytes, AfterReply::NextRequest);
    }

    /// Replies with the header in `bytes` and a range of a file: in one piece if that is small.
    pub(super) fn reply_range(
        &mut self,
        mut bytes: Vec<u8>,
        mut range: FileRange,
    ) -> Result<(), Failure> {
        let mut then = self.after_reply();
        if range.remaining <= INLINE_MAX {
            let whole = bytes.len() as u64 + range.remaining;
            while (bytes.len() as u64) < whole {
                if range.read_to(&mut bytes)? == 0 {
                    // The file shrank after it was measured: a short body, then the end.
                    then = AfterReply::Close;
                    break;
                }
            }
            // The buffer may have had room for more than was asked for.
            bytes.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
            self.reply(bytes, then);
        } else {
            self.begin_reply(Reply { bytes, sent: 0, range: Some(range), then });
        }
        Ok(())
    }

    /// Sends the next part of the reply.
    pub(super) fn send(
        &mut self,
        transport: &mut impl Transport,
        budget: &mut Budget,
    ) -> ControlFlow<Step> {
        let Phase::Reply(reply) = &mut self.phase else {
            return Continue(());
        };
        let outcome = if reply.sent < reply.bytes.len() {
            let more = reply.range.is_some();
            let outcome = transport.write(&reply.bytes[reply.sent..], more);
            if let Some(trace) = &mut self.trace
                && reply.sent == 0
                && let Ok(n) = outcome
                && !matches!(reply.then, AfterReply::Receive(_))
            {
                trace.first_byte(!more && n == reply.bytes.len());
            }
            reply.sent += *outcome.as_ref().unwrap_or(&0);
            outcome
        } else if let Some(range) = reply.range.as_mut().filter(|range| range.remaining > 0) {
            let outcome = transport.send_file(&range.file, &mut range.offset, range.remaining);
            range.remaining -= *outcome.as_ref().unwrap_or(&0) as u64;
            outcome
        } else {
            return self.end_reply(transport);
        };
        match outcome {
            Ok(0) => {
                // The file shrank under way. The client sees a short body.
                self.close(transport);
                Continue(())
            }
            Ok(n) => {
                budget.bytes = budget.bytes.saturating_sub(n as u64);
                if let Phase::Reply(Reply { bytes, sent, range, .. }) = &self.phase
                    && (range.is_some() || *sent < bytes.len())
                {
                    self.deadline = Instant::now() + self.service.settings().transfer_timeout;
                }
                Continue(())
            }
            Err(error) => self.transport_failed(error, Interest::Write),
        }
    }

    /// Goes on to what follows a reply that is sent.
    fn end_reply(&mut self, transport: &mut impl Transport) -> ControlFlow<Step> {
        let Phase::Reply(reply) = std::mem::replace(&mut self.phase, Phase::Request) else {
            return Continue(());
        };
        if let Some(trace) = &mut self.trace
            && !matches!(reply.then, AfterReply::Receive(_))
        {
            trace.end_request();
        }
        match reply.then {
            AfterReply::Close => self.close(transport),
            AfterReply::Receive(body) => self.phase = Phase::Receive(body),
            AfterReply::NextRequest => {
                // From here on the client is idle, unless it has sent more already.
                self.shutdown.end_answer();
                self.input.shrink();
                self.deadline = Instant::now() + self.service.settings().idle_timeout;
            }
        }
        Continue(())
    }

    // ---- Uploads ----

    /// Begins an upload, in either protocol, or refuses it. The checks have the order of `PROTOCOL.md`.
    pub(super) fn begin_put(
        &mut self,
        length: u64,
        path: Result<RelPath, PutRefusal>,
        expects_continue: bool,
        precondition: impl FnOnce(&Store, &RelPath) -> bool,
    ) {
        if length > self.service.settings().max_file_size {
            return self.refuse(Code::TooLarge, true);
        }
        let upload = match self.open_upload(path, precondition) {
            Ok(upload) => upload,
            Err(refusal) => {
                // A client that asked whether to send the body may or may not send it now: only a close is clear.
                if expects_continue {
                    self.close_after_reply();
                }
                match refusal {
                    PutRefusal::Http(status, reason) => self.refuse_http(status, reason),
                    PutRefusal::Failure(failure) => self.fail(failure),
                }
                if !expects_continue {
                    self.discard_body(length);
                }
                return;
            }
        };
        let body = Box::new(RequestBody {
            remaining: length,
            sink: Sink::Store(upload),
            buffer: Vec::new(),
        });
        self.deadline = Instant::now() + self.service.settings().transfer_timeout;
        if expects_continue && self.input.is_empty() {
            self.reply(http::CONTINUE.to_vec(), AfterReply::Receive(body));
        } else {
            self.phase = Phase::Receive(body);
        }
    }

    fn open_upload(
        &self,
        path: Result<RelPath, PutRefusal>,
        precondition: impl FnOnce(&Store, &RelPath) -> bool,
    ) -> Result<Upload, PutRefusal> {
        if self.is_read_only() {
            return Err(Code::ReadOnly.into());
        }
        let path = path?;
        let store = self.service.store();
        if !precondition(store, &path) {
            return Err(PutRefusal::Http(412, "the precondition does not hold"));
        }
        store.begin_upload(&path).map_err(PutRefusal::Failure)
    }

    /// Reads the body of a refused upload to its end, and sends the refusal, which is the current reply, after it.
    fn discard_body(&mut self, length: u64) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Request) {
            Phase::Reply(reply) => Phase::Receive(RequestBody::discarded(length, reply)),
            other => other,
        };
    }

    /// Reads the next part of a body.
    pub(super) fn receive(
        &mut self,
        transport: &mut impl Transport,
        budget: &mut Budget,
    ) -> ControlFlow<Step> {
        let Phase::Receive(body) = &mut self.phase else {
            return Continue(());
        };
        if body.remaining == 0 {
            self.end_body();
            return Continue(());
        }
        let stored = if self.input.is_empty() {
            let buffer = body.buffer();
            let wanted = buffer.len();
            match transport.read(buffer) {
                Ok(0) => {
                    // Cut short. Dropping the upload removes it before the client sees the close.
                    self.phase = Phase::Closed;
                    return Continue(());
                }
                Ok(n) => {
                    self.socket_drained = n < wanted;
                    budget.bytes = budget.bytes.saturating_sub(n as u64);
                    body.store_buffer(n)
                }
                Err(error) => return self.transport_failed(error, Interest::Read),
            }
        } else {
            let data = self.input.data();
            let taken = data.len().min(usize::try_from(body.remaining).unwrap_or(usize::MAX));
            let stored = body.store(&data[..taken]);
            self.input.consume(taken);
            stored
        };
        self.deadline = Instant::now() + self.service.settings().transfer_timeout;
        if let Err(failure) = stored {
            // The rest is read and discarded, so that the client can read the refusal and send its next request.
            let remaining = body.remaining;
            self.phase = Phase::Request; // drops the upload
            self.fail(failure);
            self.discard_body(remaining);
        }
        Continue(())
    }

    /// Stores a body that is complete, or sends the reply that was decided before it came.
    fn end_body(&mut self) {
        let Phase::Receive(body) = std::mem::replace(&mut self.phase, Phase::Request) else {
            return;
        };
        match body.sink {
            Sink::Discard(reply) => self.begin_reply(reply),
            Sink::Store(upload) if self.service.store().is_synchronous() => {
                self.offload(FileWork::Commit(upload));
            }
            Sink::Store(upload) => match upload.commit() {
                Ok(created) => self.reply_committed(created),
                Err(failure) => self.fail(failure),
            },
        }
    }

    /// Acknowledges an upload.
    pub(super) fn reply_committed(&mut self, created: bool) {
        match self.protocol {
            Protocol::Http(options) => {
                let mut bytes = Vec::new();
                http::write_stored(&mut bytes, created, options.keep_alive);
                self.reply(bytes, self.after_reply());
            }
            Protocol::Unknown | Protocol::File => {
                self.reply(b"OK 0\n".to_vec(), AfterReply::NextRequest);
            }
        }
    }
}

impl RequestBody {
    fn discarded(remaining: u64, reply: Reply) -> Box<RequestBody> {
        Box::new(RequestBody { remaining, sink: Sink::Discard(reply), buffer: Vec::new() })
    }

    /// Returns a buffer to read into, no longer than the rest of the body.
    fn buffer(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            let chunk = match self.sink {
                Sink::Store(_) => UPLOAD_CHUNK,
                Sink::Discard(_) => DISCARD_CHUNK,
            };
            self.buffer = vec![0; self.remaining.min(chunk) as usize];
        }
        let wanted = self.remaining.min(self.buffer.len() as u64) as usize;
        &mut self.buffer[..wanted]
    }

    /// Stores the first `n` bytes of the buffer.
    fn store_buffer(&mut self, n: usize) -> Result<(), Failure> {
        self.remaining -= n as u64;
        match &mut self.sink {
            Sink::Store(upload) => upload.write(&self.buffer[..n]),
            Sink::Discard(_) => Ok(()),
        }
    }

    fn store(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.remaining -= bytes.len() as u64;
        match &mut self.sink {
            Sink::Store(upload) => upload.write(bytes),
            Sink::Discard(_) => Ok(()),
        }
    }
}

impl FileRange {
    /// Appends as much of the range as `bytes` has room for. Returns the number of bytes read; 0 means that the file
    /// ends.
    fn read_to(&mut self, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
        let room = rustix::buffer::spare_capacity(bytes);
        // The plain read is for the commonest request of all: a small file from its beginning.
        let n = match self.offset {
            0 => rustix::io::read(&self.file, room)?,
            offset => rustix::io::pread(&self.file, room, offset)?,
        };
        self.offset += n as u64;
        Ok(n)
    }
}

/// Returns `OK <n>` and its LF, with capacity for `more` bytes behind it.
pub(super) fn ok_line(n: u64, more: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 + more);
    // Writing to a Vec cannot fail.
    let _ = writeln!(bytes, "OK {n}");
    bytes
}

/// Returns how much of a body goes into the reply's own buffer.
pub(super) fn inline_length(length: u64) -> usize {
    if length <= INLINE_MAX { length as usize } else { 0 }
}
