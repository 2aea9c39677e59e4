//! Replies on their way out, with a range of a file or without.

use super::{AfterReply, Budget, LOOKS, Phase, Protocol, Reply, ResponseOptions, Session, Step};
use crate::protocol::{self, Code};
use crate::store::{Failure, uninterrupted};
use crate::transport::{Interest, Transport};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow::{self, Continue};
use std::time::Instant;

/// Up to this size, in bytes, a file is read into the reply and sent with its header in one call; above
/// it goes from the page cache to the socket by sendfile, after its corked header. Both ways take two
/// calls; the one copies, the other passes pages. They cost the same at 8 KiB where this was measured,
/// and sendfile a quarter less at 16 KiB; the crossing depends on the machine.
const INLINE_MAX: u64 = 8 * 1024;

/// Room for the header of a reply of HTTP, in bytes.
pub(super) const HEADER_CAPACITY: usize = 512;

/// How much of a longer transfer is held back until the file is measured again, in bytes. What sendfile has
/// handed out cannot be recalled, and a truncation clears it; without its end the reply is at least never whole.
const LAST_PIECE: u64 = 64 * 1024;

/// How much of a file is read at a time where files are copied, in bytes.
const COPIED_PIECE: u64 = 64 * 1024;

/// How many bytes of a share each byte of a listing counts for beyond the first piece, since producing it costs several
/// times as much as sending it.
const LISTING_COST: u64 = 8;

/// The part of a file that is still to be sent.
#[derive(Debug)]
pub(super) struct FileRange {
    file: File,
    offset: u64,
    remaining: u64,
    /// What went with the header has been sent, and more than that is under way.
    has_begun: bool,
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
        self.refuse(failure.code, failure.code == Code::Timeout);
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
        Reply { bytes, sent: 0, range: None, pieces: None, then }
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
        self.begin_reply(Reply { bytes, sent: 0, range: None, pieces: None, then });
    }

    pub(super) fn begin_reply(&mut self, reply: Reply) {
        self.phase = Phase::Reply(reply);
        let (now, timeout) = (Instant::now(), self.service.settings().transfer_timeout);
        self.deadline = now + timeout;
        self.next_look = now + timeout / LOOKS;
    }

    /// Replies with `OK` and a text of the file protocol.
    pub(super) fn reply_text(&mut self, text: &[u8]) {
        let mut bytes = ok_line(text.len() as u64, text.len());
        bytes.extend_from_slice(text);
        self.reply(bytes, AfterReply::NextRequest);
    }

    /// Replies with the header in `bytes` and a range of a file: in one piece if that is small.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has shrunk since it was measured.
    pub(super) fn reply_range(
        &mut self,
        mut bytes: Vec<u8>,
        mut range: FileRange,
    ) -> Result<(), Failure> {
        let is_whole = if self.service.settings().copy {
            range.copy_piece(&mut bytes)?
        } else {
            range.remaining > INLINE_MAX || range.read_piece(&mut bytes, INLINE_MAX)?
        };
        if !is_whole {
            // Nothing is sent yet, so the client can still be told.
            let detail = Some(io::Error::other("the file has shrunk while it was read"));
            return Err(Failure { code: Code::Internal, detail });
        }
        let range = (range.remaining > 0).then_some(range);
        let then = self.after_reply();
        self.begin_reply(Reply { bytes, sent: 0, range, pieces: None, then });
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
            let more = reply.has_more();
            let outcome = transport.write(&reply.bytes[reply.sent..], more);
            if let Some(trace) = &mut self.trace
                && reply.sent == 0
                && !reply.range.as_ref().is_some_and(|range| range.has_begun)
                && let Ok(n) = outcome
                && !matches!(reply.then, AfterReply::Receive(_))
            {
                trace.first_byte(!more && n == reply.bytes.len());
            }
            reply.sent += *outcome.as_ref().unwrap_or(&0);
            outcome
        } else if let Some(range) = reply.range.as_mut().filter(|range| range.remaining > 0) {
            if self.service.settings().copy {
                reply.bytes.clear();
                reply.sent = 0;
                range.has_begun = true;
                match range.copy_piece(&mut reply.bytes) {
                    Ok(true) => return Continue(()),
                    Ok(false) => Ok(0),
                    Err(errno) => Err(errno.into()),
                }
            } else {
                range.send_piece(transport)
            }
        } else if let Some(pieces) = &mut reply.pieces {
            reply.bytes.clear();
            reply.sent = 0;
            if !pieces.fill(&self.service, &mut reply.bytes) {
                reply.pieces = None;
            }
            let cost = LISTING_COST * reply.bytes.len() as u64;
            budget.bytes = budget.bytes.saturating_sub(cost);
            return Continue(());
        } else {
            return self.end_reply(transport);
        };
        match outcome {
            Ok(0) => {
                // An orderly end would need a body of the promised length.
                tracing::info!(peer = %self.peer, "reset: the file has shrunk while it was sent");
                transport.reset();
                self.phase = Phase::Closed;
                Continue(())
            }
            Ok(n) => {
                budget.bytes = budget.bytes.saturating_sub(n as u64);
                self.written += n as u64;
                if let Phase::Reply(Reply { bytes, sent, range, pieces, .. }) = &self.phase
                    && (range.is_some() || pieces.is_some() || *sent < bytes.len())
                    && !self.look_at_progress(transport)
                {
                    // A blocking call took some bytes and waited for room for the others.
                    return self.wait_to_write(transport);
                }
                Continue(())
            }
            Err(error) => self.transport_failed(error, transport, Interest::Write),
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

impl Reply {
    /// Whether something follows the bytes.
    fn has_more(&self) -> bool {
        self.pieces.is_some() || self.range.as_ref().is_some_and(|range| range.remaining > 0)
    }
}

impl FileRange {
    pub(super) fn new(file: File, offset: u64, length: u64) -> FileRange {
        FileRange { file, offset, remaining: length, has_begun: false }
    }

    /// Appends the next bytes of the range to `bytes`, at most `most`. Returns false if the file ends before.
    fn read_piece(&mut self, bytes: &mut Vec<u8>, most: u64) -> Result<bool, Errno> {
        let start = bytes.len();
        let length = self.remaining.min(most);
        bytes.reserve_exact(length as usize);
        while ((bytes.len() - start) as u64) < length {
            let offset = self.offset + (bytes.len() - start) as u64;
            // The plain read is for the commonest request of all: a small file from its beginning.
            let n = match offset {
                0 => uninterrupted(|| rustix::io::read(&self.file, spare_capacity(bytes)))?,
                offset => {
                    uninterrupted(|| rustix::io::pread(&self.file, spare_capacity(bytes), offset))?
                }
            };
            if n == 0 {
                return Ok(false);
            }
        }
        bytes.truncate(start + length as usize); // there may have been room for more
        self.offset += length;
        self.remaining -= length;
        Ok(true)
    }

    /// Appends the next bytes of the range to `bytes`, in which no truncation can clear them. Returns false if
    /// the file has shrunk: then a truncation may have cleared them before they were read.
    fn copy_piece(&mut self, bytes: &mut Vec<u8>) -> Result<bool, Errno> {
        Ok(self.read_piece(bytes, COPIED_PIECE)? && !self.has_shrunk()?)
    }

    /// Hands the next pages of the file to `transport`. Returns the number of bytes; 0 means that the file has
    /// shrunk.
    fn send_piece(&mut self, transport: &mut impl Transport) -> io::Result<usize> {
        let mut length = self.remaining;
        if length > LAST_PIECE {
            length -= LAST_PIECE;
        } else if self.has_begun {
            transport.ensure_room()?;
            if self.has_shrunk()? {
                return Ok(0);
            }
        }
        let n = uninterrupted(|| transport.send_file(&self.file, &mut self.offset, length))?;
        self.remaining -= n as u64;
        self.has_begun = true;
        Ok(n)
    }

    /// Whether the file ends before the range does.
    fn has_shrunk(&self) -> Result<bool, Errno> {
        let size = uninterrupted(|| rustix::fs::fstat(&self.file))?.st_size;
        Ok(u64::try_from(size).unwrap_or(0) < self.offset + self.remaining)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_file_is_no_piece() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"12345").unwrap();
        let range = |offset, length| FileRange::new(file.try_clone().unwrap(), offset, length);
        for (offset, length, is_whole) in [(1, 4, true), (5, 0, true), (1, 5, false), (9, 1, false)]
        {
            let mut bytes = b"header".to_vec();
            assert_eq!(range(offset, length).read_piece(&mut bytes, 100), Ok(is_whole));
            assert_eq!(range(offset, length).copy_piece(&mut bytes), Ok(is_whole));
        }
        let mut bytes = b"header ".to_vec();
        assert_eq!(range(1, 4).read_piece(&mut bytes, 3), Ok(true));
        assert_eq!(bytes, b"header 234");
    }

    #[test]
    fn copy_of_cleared_bytes_is_rejected() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"12345").unwrap();
        // The piece can be read, and the end of the range is gone by then.
        let mut range = FileRange::new(file.try_clone().unwrap(), 0, 100_000);
        file.set_len(70_000).unwrap();
        assert_eq!(range.copy_piece(&mut Vec::new()), Ok(false));
        file.set_len(100_000).unwrap();
        assert_eq!(range.copy_piece(&mut Vec::new()), Ok(true));
    }
}
