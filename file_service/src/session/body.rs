//! Uploads on their way in.

use super::job::{FileWork, LockWait};
use super::{AfterReply, Budget, Framing, Phase, Protocol, RequestBody, Session, Sink, Step};
use crate::http::{self, Part, Violation};
use crate::protocol::{Code, RelPath};
use crate::store::{Failure, Landing, Precondition, Upload};
use crate::transport::{Interest, Transport};
use std::ops::ControlFlow::{self, Continue};
use std::time::{Duration, Instant};

/// After which silence in an upload no buffer is kept for what follows.
const PARKED: Duration = Duration::from_millis(500);

/// How many bytes of the budget a byte of an upload costs: it is copied and stored, which takes several times as long as to
/// send one from the page cache.
const UPLOAD_WEIGHT: u64 = 8;

/// How much of a chunked body is read at a time where its end may be near, in bytes: so much may be read of the
/// requests behind it.
const CHUNKED_READ: u64 = 64 * 1024;

/// From this size on, in bytes, the content of a chunk is written from where it was read. Smaller pieces are first moved
/// together, since a write for each of them would cost more.
const SEPARATE_WRITE: usize = 4 * 1024;

/// Why an upload does not begin.
pub(super) enum PutRefusal {
    Failure(Failure),
    /// A status and its reason: only HTTP has conditions and origins.
    Http(u16, &'static str),
}

/// Why a body is not taken any further.
enum BodyError {
    /// It cannot be stored. What follows is still part of it.
    Store(Failure),
    Framing(Violation),
}

impl From<Failure> for BodyError {
    fn from(failure: Failure) -> BodyError {
        BodyError::Store(failure)
    }
}

impl From<Code> for PutRefusal {
    fn from(code: Code) -> PutRefusal {
        PutRefusal::Failure(code.into())
    }
}

impl Session {
    /// Begins an upload, in either protocol, or refuses it. The checks have the order of `PROTOCOL.md`.
    pub(super) fn begin_put(
        &mut self,
        framing: Framing,
        path: Result<RelPath, PutRefusal>,
        expects_continue: bool,
        precondition: Option<Box<dyn Precondition>>,
    ) {
        if let Framing::Length(length) = framing
            && length > self.service.settings().max_file_size
        {
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
                    self.discard_body(framing);
                }
                return;
            }
        };
        let body = RequestBody::new(framing, Sink::Store(upload));
        self.renew_body_deadline();
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
            return Err(PutRefusal::Http(412, http::CONDITION_FAILED));
        }
        Ok(upload)
    }

    /// Reads the body of a refused upload to its end, and sends the refusal, which is the current reply, after it.
    fn discard_body(&mut self, framing: Framing) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Request) {
            Phase::Reply(reply) => Phase::Receive(RequestBody::new(framing, Sink::Discard(reply))),
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
        if matches!(body.framing, Framing::Complete | Framing::Length(0)) {
            budget.requests = 0; // a file that is created and takes its name costs as much as many that are sent
            self.end_body();
            return Continue(());
        }
        let outcome = if self.input.is_empty() {
            let mut buffer = self.service.buffers().take(body.read_size());
            let wanted = body.read_size().min(buffer.len() as u64) as usize;
            // No wait within this call, in which the buffer would be held.
            let read = transport.read_before(&mut buffer[..wanted], Instant::now());
            let outcome = match &read {
                Ok(n) => {
                    let (taken, outcome) = body.take(&mut buffer[..*n]);
                    if taken < *n {
                        self.input.push(&buffer[taken..*n]);
                    }
                    outcome
                }
                Err(_) => Ok(()),
            };
            self.service.buffers().put(buffer);
            match read {
                Ok(0) => {
                    // Cut short. The upload is removed before the client sees the close.
                    self.abandon(Phase::Closed);
                    return Continue(());
                }
                Ok(n) => {
                    self.socket_drained = n < wanted;
                    budget.bytes = budget.bytes.saturating_sub(n as u64 * UPLOAD_WEIGHT);
                }
                Err(error) => {
                    self.give_back_buffers();
                    return self.transport_failed(error, transport, Interest::Read);
                }
            }
            outcome
        } else {
            let (taken, outcome) = body.take(self.input.data_mut());
            self.input.consume(taken);
            outcome
        };
        self.renew_body_deadline();
        if let Err(error) = outcome {
            self.end_refused_body(error);
        }
        Continue(())
    }

    fn renew_body_deadline(&mut self) {
        let now = Instant::now();
        self.deadline = now + self.service.settings().transfer_timeout;
        self.next_look = now + PARKED;
    }

    /// Frees the buffers that are kept for later if the client has stopped: in some models it is the only one of its
    /// process.
    fn give_back_buffers(&mut self) {
        if Instant::now() >= self.next_look {
            self.next_look = self.deadline;
            self.service.buffers().clear();
        }
    }

    /// Goes on to `next`; an upload under way is dropped before.
    pub(super) fn abandon(&mut self, next: Phase) {
        let before = std::mem::replace(&mut self.phase, next);
        self.drop_upload_of(before);
    }

    /// Drops the upload that `before` was about, before the session goes on to its phase.
    pub(super) fn drop_upload_of(&mut self, before: Phase) {
        if let Phase::Receive(body) = before {
            self.drop_upload(body.sink);
        }
    }

    /// Drops what was stored of a body before the session goes on to its phase.
    fn drop_upload(&mut self, sink: Sink) {
        if let Sink::Store(upload) = sink
            && upload.is_large()
        {
            let next = Box::new(std::mem::replace(&mut self.phase, Phase::Closed));
            let left = self.deadline.saturating_duration_since(Instant::now());
            self.offload(FileWork::Drop { upload, next, left });
        }
    }

    /// Begins to refuse a body, and drops what was stored of it.
    fn end_refused_body(&mut self, error: BodyError) {
        let Phase::Receive(body) = std::mem::replace(&mut self.phase, Phase::Request) else {
            return;
        };
        let RequestBody { framing, sink, .. } = *body;
        match error {
            BodyError::Store(failure) => {
                // The rest is read and discarded, so that the client can read the refusal and send its next request.
                self.fail(failure);
                self.discard_body(framing);
            }
            BodyError::Framing(Violation::TooLarge) => self.refuse(Code::TooLarge, true),
            BodyError::Framing(Violation::Malformed(reason)) => {
                self.close_after_reply();
                self.refuse_http(400, reason);
            }
        }
        self.drop_upload(sink);
    }

    /// Stores a body that is complete, or sends the reply that was decided before it came.
    fn end_body(&mut self) {
        let Phase::Receive(body) = std::mem::replace(&mut self.phase, Phase::Request) else {
            return;
        };
        match body.sink {
            Sink::Discard(reply) => self.begin_reply(reply),
            Sink::Store(upload) if self.service.store().is_synchronous() || upload.is_large() => {
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
                let version = landed.version();
                http::write_stored(
                    &mut bytes,
                    landed.created,
                    version.as_ref(),
                    options.keep_alive,
                );
                self.reply(bytes, self.after_reply());
            }
            Landing::ConditionFailed => self.refuse_http(412, http::CONDITION_FAILED),
            Landing::Locked(upload) => {
                let timeout = self.service.settings().transfer_timeout;
                let wait = wait.map_or_else(|| LockWait::begin(timeout), LockWait::next);
                self.offload_later(FileWork::Land { upload, wait: Some(wait) });
            }
        }
    }
}

impl RequestBody {
    fn new(framing: Framing, sink: Sink) -> Box<RequestBody> {
        Box::new(RequestBody { framing, sink })
    }

    /// Returns how much may be read at once, in bytes.
    fn read_size(&self) -> u64 {
        match &self.framing {
            Framing::Length(remaining) => *remaining,
            Framing::Chunked(decoder) => decoder.least_rest().max(CHUNKED_READ),
            Framing::Complete => 0,
        }
    }

    /// Takes what `bytes` hold of the body. Returns how many of them it took: all unless the body ends or is refused.
    /// They may have been moved.
    fn take(&mut self, bytes: &mut [u8]) -> (usize, Result<(), BodyError>) {
        match &mut self.framing {
            Framing::Length(remaining) => {
                let taken = bytes.len().min(usize::try_from(*remaining).unwrap_or(usize::MAX));
                *remaining -= taken as u64;
                (taken, self.sink.write(&bytes[..taken]).map_err(BodyError::from))
            }
            Framing::Chunked(_) => {
                let mut taken = 0;
                let outcome = self.take_chunks(bytes, &mut taken);
                (taken, outcome)
            }
            Framing::Complete => (0, Ok(())),
        }
    }

    /// Takes chunks and counts the bytes in `taken`, also where they are refused.
    fn take_chunks(&mut self, bytes: &mut [u8], taken: &mut usize) -> Result<(), BodyError> {
        // The content that is not written yet.
        let mut pending = 0..0;
        while let Framing::Chunked(decoder) = &mut self.framing
            && *taken < bytes.len()
        {
            let part = decoder.next(&bytes[*taken..]).map_err(BodyError::Framing)?;
            let start = *taken;
            match part {
                Part::Framing(n) => *taken += n,
                Part::End(n) => {
                    *taken += n;
                    self.framing = Framing::Complete;
                }
                Part::Content(n) => {
                    *taken += n;
                    if pending.is_empty() || n >= SEPARATE_WRITE {
                        self.sink.write(&bytes[pending])?;
                        pending = start..*taken;
                    } else {
                        bytes.copy_within(start..*taken, pending.end);
                        pending.end += n;
                    }
                }
            }
        }
        Ok(self.sink.write(&bytes[pending])?)
    }
}

impl Sink {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Sink::Store(upload) if !bytes.is_empty() => upload.write(bytes),
            Sink::Store(_) | Sink::Discard(_) => Ok(()),
        }
    }
}
