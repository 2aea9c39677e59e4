//! Uploads on their way in.

use super::job::{FileWork, LockWait};
use super::{AfterReply, Budget, Phase, Protocol, Reply, RequestBody, Session, Sink, Step};
use crate::http;
use crate::protocol::{Code, RelPath};
use crate::store::{Failure, Landing, Precondition, Upload};
use crate::transport::{Interest, Transport};
use std::ops::ControlFlow::{self, Continue};
use std::time::Instant;

/// How much of an upload is read at a time, in bytes: half of a large transfer's cost is system calls.
const UPLOAD_CHUNK: u64 = 1 << 20;

/// How much of a discarded body is read at a time, in bytes.
const DISCARD_CHUNK: u64 = 64 * 1024;

/// Why an upload does not begin.
pub(super) enum PutRefusal {
    Failure(Failure),
    /// A status and its reason: only HTTP has conditions and origins.
    Http(u16, &'static str),
}

const CONDITION_FAILED: (u16, &str) = (412, "the precondition does not hold");

impl From<Code> for PutRefusal {
    fn from(code: Code) -> PutRefusal {
        PutRefusal::Failure(code.into())
    }
}

impl Session {
    /// Begins an upload, in either protocol, or refuses it. The checks have the order of `PROTOCOL.md`.
    pub(super) fn begin_put(
        &mut self,
        length: u64,
        path: Result<RelPath, PutRefusal>,
        expects_continue: bool,
        precondition: Option<Box<dyn Precondition>>,
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
        precondition: Option<Box<dyn Precondition>>,
    ) -> Result<Box<Upload>, PutRefusal> {
        if self.is_read_only() {
            return Err(Code::ReadOnly.into());
        }
        let store = self.service.store();
        let mut upload = store.begin_upload(&path?).map_err(PutRefusal::Failure)?;
        if let Some(condition) = precondition
            && !upload.require(condition).map_err(PutRefusal::Failure)?
        {
            let (status, reason) = CONDITION_FAILED;
            return Err(PutRefusal::Http(status, reason));
        }
        Ok(upload)
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
                self.offload(FileWork::Land { upload, wait: None });
            }
            Sink::Store(upload) => match upload.land() {
                Ok(landing) => self.end_landing(landing, None),
                Err(failure) => self.fail(failure),
            },
        }
    }

    /// Acknowledges or refuses an upload, or has it try again; `wait` is how long it has waited for a lock so far.
    pub(super) fn end_landing(&mut self, landing: Landing, wait: Option<LockWait>) {
        match landing {
            Landing::Landed(landed) => {
                let Protocol::Http(options) = self.protocol else {
                    return self.reply(b"OK 0\n".to_vec(), AfterReply::NextRequest);
                };
                let mut bytes = Vec::new();
                let stat = landed.stat();
                http::write_stored(&mut bytes, landed.created, stat.as_ref(), options.keep_alive);
                self.reply(bytes, self.after_reply());
            }
            Landing::ConditionFailed => {
                let (status, reason) = CONDITION_FAILED;
                self.refuse_http(status, reason);
            }
            Landing::Locked(upload) => {
                let timeout = self.service.settings().transfer_timeout;
                let wait = wait.map_or_else(|| LockWait::begin(timeout), LockWait::next);
                self.offload_later(FileWork::Land { upload, wait: Some(wait) });
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
