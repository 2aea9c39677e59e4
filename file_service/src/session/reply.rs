//! Replies on their way out, with a range of a file or without.

use super::{AfterReply, Budget, Phase, Protocol, Reply, ResponseOptions, Session, Step};
use crate::protocol::{self, Code};
use crate::store::Failure;
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

/// The part of a file that is still to be sent.
#[derive(Debug)]
pub(super) struct FileRange {
    pub(super) file: File,
    pub(super) offset: u64,
    pub(super) remaining: u64,
}

impl Session {
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

    pub(super) fn begin_reply(&mut self, reply: Reply) {
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
