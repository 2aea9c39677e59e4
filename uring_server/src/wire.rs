//! One client's bytes between the session and the ring.
//!
//! A session asks its transport to move bytes now; a ring moves them later, and into memory that must stay
//! where it is until then. So the transport of this model owns its buffers. A read hands out what a
//! completed receive has brought. A write takes bytes into a buffer, up to a bound, and they count as
//! written. A piece of a file counts as sent when it is: the session is told what completions have told.
//! Whatever cannot be done at once is *noted*, and submitted when the session has said that it waits.

use crate::ring::{Ring, Span};
use file_service::{Peer, Transport};
use rustix::io::{Errno, ReadWriteFlags, preadv2};
use server_core::Socket;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, RawFd};

/// How many bytes of replies are taken over before the session must wait.
const REPLIES_MAX: usize = 64 << 10;

/// How many bytes of a file are under way at a time, and of an upload. They stay in the cache of a core
/// while they are copied in and out.
const CHUNK: usize = 128 << 10;

/// How much of a file is sent at a time if it is in memory; then it is asked for anew whether it is.
const PIECE: u64 = 1 << 20;

/// From this size on what the session reads into is worth a buffer of its own.
const BULK: usize = 16 << 10;

/// How many bytes are kept for a session that does not read them, before the kernel is told to take no more.
const REST_MAX: usize = 64 << 10;

/// How often an interrupted read is made again.
const INTERRUPTIONS_MAX: u32 = 100;

/// How many large buffers are kept for the next who needs one.
const KEPT: usize = 32;

/// Large buffers that nobody has at the moment.
#[derive(Default)]
pub(crate) struct Pool(Vec<Vec<u8>>);

impl Pool {
    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_else(|| vec![0; CHUNK])
    }

    fn put(&mut self, buffer: Vec<u8>) {
        if buffer.len() == CHUNK && self.0.len() < KEPT {
            self.0.push(buffer);
        }
    }
}

/// One client's bytes on their way, and what is to be submitted for them.
pub(crate) struct Wire {
    socket: RawFd,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// What has come and the session has not read.
#[derive(Default)]
struct Incoming {
    rest: VecDeque<u8>,
    /// A large buffer with what a receive has brought, `start..end` of it.
    bulk: Vec<u8>,
    start: usize,
    end: usize,
    /// The end of the stream, or an error: for good.
    end_of_stream: Option<io::Result<()>>,
    /// What the kernel has.
    under_way: Option<Receive>,
    /// What it is to have.
    wanted: Option<Receive>,
    /// It has been told to end the stream or the large receive that is under way, and has not done so yet.
    cancelled: bool,
    /// The large receive under way has brought nothing since the last look at it.
    bulk_is_idle: bool,
    /// The client has sent something before. Who does so again is worth a stream; for who does not, it would have
    /// to be cancelled.
    stays: bool,
}

/// One operation: nothing, wanted, or with the kernel.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State<T> {
    #[default]
    Rest,
    Pending(T),
    UnderWay(T),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Receive {
    /// Into a shared buffer.
    Once,
    /// Likewise, again and again, until it is cancelled or the end has come.
    Stream,
    IntoBulk(usize),
}

/// What the session has written and the kernel has not taken.
#[derive(Default)]
struct Outgoing {
    /// Replies, or a large buffer; `sent..filled` of it is to be sent.
    bytes: Vec<u8>,
    filled: usize,
    sent: usize,
    /// So many of the bytes count as sent with the session.
    reported: usize,
    /// So many are being read from a file, behind those that are there.
    reading: usize,
    state: State<Send>,
    file_ended: bool,
    /// How often the read under way was interrupted (EINTR), which NFS and FUSE do.
    interruptions: u32,
    failed: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Send {
    Bytes,
    /// Nothing: room is waited for.
    Room,
    /// The descriptor is the session's. It is open when the submission is made, since between the note and
    /// that moment the session is not called.
    FromFile {
        file: RawFd,
        offset: u64,
    },
}

/// The tags of a client's operations.
#[derive(Clone, Copy)]
pub(crate) struct Tags {
    pub(crate) receive: u64,
    pub(crate) send: u64,
    pub(crate) read: u64,
    pub(crate) cancel: u64,
}

impl Wire {
    pub(crate) fn new(socket: RawFd) -> Wire {
        Wire { socket, incoming: Incoming::default(), outgoing: Outgoing::default() }
    }

    /// Whether the kernel has no operation of this client: only then may its buffers go.
    pub(crate) fn is_done(&self) -> bool {
        self.incoming.under_way.is_none() && !matches!(self.outgoing.state, State::UnderWay(_))
    }

    /// Whether something is to be submitted.
    pub(crate) fn has_pending(&self) -> bool {
        self.incoming.wanted.is_some() || matches!(self.outgoing.state, State::Pending(_))
    }

    /// Notes that bytes are wanted though the session has not asked: it is idle.
    ///
    /// Gives whether there are some already.
    pub(crate) fn receive_while_idle(&mut self) -> bool {
        if self.is_readable() {
            return true;
        }
        let incoming = &mut self.incoming;
        incoming.rest = VecDeque::new(); // an idle client holds no buffer
        incoming.want_any();
        false
    }

    /// Submits what is noted.
    pub(crate) fn submit(
        &mut self,
        ring: &mut Ring,
        tags: Tags,
        pool: &mut Pool,
    ) -> io::Result<()> {
        let socket = self.socket;
        let outgoing = &mut self.outgoing;
        if let State::Pending(send) = outgoing.state {
            outgoing.state = State::UnderWay(send);
            let reading = match send {
                Send::Bytes | Send::Room => 0,
                Send::FromFile { .. } => outgoing.reading,
            };
            let (sent, filled) = (outgoing.sent, outgoing.filled);
            let whole = &mut outgoing.bytes[..filled + reading];
            let (start, end) = (whole.as_mut_ptr(), whole.len());
            // SAFETY: both spans lie in `outgoing.bytes`, as `sent <= filled <= end`. Nobody touches it while
            // `outgoing.state` is UnderWay: `write`, `send_file` and `submit` look at that first. The
            // completions `sent` and `file_fell_short` end it, and a wire that is not done is not dropped.
            unsafe {
                let span = Span(start.add(sent), end - sent);
                let room = Span(start.add(filled), reading);
                match send {
                    Send::Bytes => ring.send(socket, span, tags.send)?,
                    Send::Room => ring.wait_for_room(socket, tags.send)?,
                    Send::FromFile { file, offset } => {
                        ring.read_and_send(
                            (file, offset),
                            room,
                            tags.read,
                            socket,
                            span,
                            tags.send,
                        )?;
                    }
                }
            }
        }
        let incoming = &mut self.incoming;
        if incoming.under_way == Some(Receive::Stream) {
            // It brings more than the session takes, or the session wants it elsewhere.
            let unfit = incoming.rest.len() > REST_MAX
                || matches!(incoming.wanted, Some(Receive::IntoBulk(_)));
            if unfit && !std::mem::replace(&mut incoming.cancelled, true) {
                ring.cancel(tags.receive, tags.cancel)?;
            }
            if !incoming.cancelled {
                incoming.wanted = None; // as it is
            }
        }
        if incoming.under_way.is_none()
            && let Some(receive) = incoming.wanted.take()
        {
            incoming.under_way = Some(receive);
            match receive {
                Receive::Once => ring.receive_into_any(socket, false, tags.receive)?,
                Receive::Stream => ring.receive_into_any(socket, true, tags.receive)?,
                Receive::IntoBulk(wanted) => {
                    incoming.bulk_is_idle = false;
                    incoming.bulk = pool.take();
                    let span = Span(incoming.bulk.as_mut_ptr(), wanted.min(CHUNK));
                    // SAFETY: `incoming.bulk` is as long as the span and untouched while it is under way, since
                    // nothing is in `start..end`. The completion `received` ends that, and a wire that is not
                    // quiet is not dropped.
                    unsafe { ring.receive(socket, span, tags.receive)? };
                }
            }
        }
        Ok(())
    }

    /// Ends a large receive that had brought nothing at the last look either: a client that stops in the middle of an
    /// upload keeps no buffer. What it sends next comes into a shared one.
    pub(crate) fn take_idle_bulk(&mut self, ring: &mut Ring, tags: Tags) -> io::Result<()> {
        let incoming = &mut self.incoming;
        if matches!(incoming.under_way, Some(Receive::IntoBulk(_)))
            && std::mem::replace(&mut incoming.bulk_is_idle, true)
            && !std::mem::replace(&mut incoming.cancelled, true)
        {
            ring.cancel(tags.receive, tags.cancel)?;
        }
        Ok(())
    }

    /// A receive has completed, for the last time unless there is `more` to come. What came into a shared buffer
    /// the caller has.
    pub(crate) fn received(&mut self, result: i32, more: bool, pool: &mut Pool) {
        let incoming = &mut self.incoming;
        let into_bulk = matches!(incoming.under_way, Some(Receive::IntoBulk(_)));
        incoming.stays = true;
        if !more {
            incoming.under_way = None;
            incoming.cancelled = false;
        }
        match result {
            0 => incoming.end_of_stream = Some(Ok(())),
            count if count > 0 => {
                if into_bulk {
                    (incoming.start, incoming.end) = (0, count as usize);
                }
            }
            error if -error == libc::ECANCELED && into_bulk => {
                incoming.wanted = Some(Receive::Once)
            }
            error if -error == libc::ECANCELED => {} // a stream, by us
            error if into_bulk || -error != libc::ENOBUFS => {
                incoming.end_of_stream = Some(Err(io::Error::from_raw_os_error(-error)));
            }
            // All shared buffers were taken at that moment. They are given back in every turn.
            _ => incoming.want_any(),
        }
        if into_bulk && result <= 0 {
            pool.put(std::mem::take(&mut incoming.bulk));
        }
    }

    /// Whether there is something for the session to read.
    pub(crate) fn is_readable(&self) -> bool {
        let incoming = &self.incoming;
        !incoming.rest.is_empty() || incoming.start < incoming.end || self.end_is_due()
    }

    /// Whether more may come.
    pub(crate) fn is_open(&self) -> bool {
        self.incoming.end_of_stream.is_none()
    }

    /// Whether the session is to be told that nothing more will come. It closes then, so what it has written must
    /// have gone before.
    fn end_is_due(&self) -> bool {
        self.incoming.end_of_stream.is_some() && !self.is_ending()
    }

    /// Whether nothing more will come, but what the session has written has not gone yet.
    pub(crate) fn is_ending(&self) -> bool {
        let outgoing = &self.outgoing;
        let busy = outgoing.state != State::Rest && outgoing.failed.is_none();
        matches!(self.incoming.end_of_stream, Some(Ok(()))) && busy
    }

    /// Keeps what the session has not read, so that the shared buffer can be given back.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.incoming.rest.extend(bytes);
    }

    /// The send has completed, or there is room for one.
    pub(crate) fn sent(&mut self, result: i32, pool: &mut Pool) {
        let outgoing = &mut self.outgoing;
        let was = std::mem::take(&mut outgoing.state);
        outgoing.filled += std::mem::take(&mut outgoing.reading);
        match usize::try_from(result) {
            Ok(_) if was == State::UnderWay(Send::Room) => {} // a mask of events
            Ok(count) => {
                outgoing.sent += count;
                outgoing.interruptions = 0;
            }
            Err(_) => {
                outgoing.failed = Some(-result);
                return;
            }
        }
        if outgoing.sent < outgoing.filled {
            outgoing.state = State::Pending(Send::Bytes);
        }
        outgoing.clear_if_done(pool);
    }

    /// The file had fewer bytes than were to be read, so nothing was sent. Gives whether the session should
    /// know.
    pub(crate) fn file_fell_short(&mut self, result: i32) -> bool {
        let outgoing = &mut self.outgoing;
        outgoing.state = State::Rest;
        outgoing.reading = 0;
        match usize::try_from(result) {
            Ok(count) => {
                outgoing.filled += count;
                outgoing.file_ended = count == 0;
                outgoing.interruptions = 0;
            }
            // The session asks for the same bytes again.
            Err(_) if -result == libc::EINTR && outgoing.interruptions < INTERRUPTIONS_MAX => {
                outgoing.interruptions += 1;
            }
            Err(_) => {
                outgoing.failed = Some(-result);
                return true;
            }
        }
        if outgoing.sent < outgoing.filled {
            outgoing.state = State::Pending(Send::Bytes);
            return false;
        }
        true
    }

    /// Gives back the buffers of a client that is gone.
    pub(crate) fn release(mut self, pool: &mut Pool) {
        debug_assert!(self.is_done());
        pool.put(std::mem::take(&mut self.incoming.bulk));
        pool.put(std::mem::take(&mut self.outgoing.bytes));
    }
}

impl Incoming {
    fn want_any(&mut self) {
        if self.end_of_stream.is_some() {
            return;
        }
        self.wanted = Some(if self.stays { Receive::Stream } else { Receive::Once });
    }
}

impl Outgoing {
    fn check(&self) -> io::Result<()> {
        match self.failed {
            Some(errno) => Err(io::Error::from_raw_os_error(errno)),
            None => Ok(()),
        }
    }

    fn is_under_way(&self) -> bool {
        matches!(self.state, State::UnderWay(_))
    }

    fn clear_if_done(&mut self, pool: &mut Pool) {
        if self.sent == self.filled && self.reported >= self.sent {
            pool.put(std::mem::take(&mut self.bytes));
            (self.filled, self.sent, self.reported) = (0, 0, 0);
        }
    }
}

impl Exchange<'_, '_> {
    /// Notes that a piece of a file is to be read and then sent, behind what there is to send.
    fn read_aside(&mut self, file: &File, offset: u64, length: u64) -> io::Error {
        let outgoing = &mut self.wire.outgoing;
        if outgoing.bytes.len() != CHUNK {
            let mut large = self.pool.take();
            large[..outgoing.filled].copy_from_slice(&outgoing.bytes[..outgoing.filled]);
            outgoing.bytes = large;
        }
        outgoing.reading = length.min((CHUNK - outgoing.filled) as u64) as usize;
        outgoing.state = State::Pending(Send::FromFile { file: file.as_raw_fd(), offset });
        WOULD_BLOCK.into()
    }
}

/// Whether the bytes at `offset` must be waited for, because they are on a disk and not in memory. Where the
/// file system does not say, they count as there.
fn is_cold(file: &File, offset: u64) -> bool {
    let mut byte = [0];
    let mut room = [io::IoSliceMut::new(&mut byte)];
    let outcome = preadv2(file, &mut room, offset, ReadWriteFlags::NOWAIT);
    // An interrupted look has shown nothing: the ring reads then, and no loop waits.
    matches!(outcome, Err(Errno::AGAIN | Errno::INTR))
}

/// Has `act` use the socket without waiting. Nobody else sees it in that state: an operation of the ring
/// would come back undone.
fn without_waiting<T>(
    socket: &TcpStream,
    act: impl FnOnce(&mut Socket<'_>) -> io::Result<T>,
) -> io::Result<T> {
    socket.set_nonblocking(true)?;
    let outcome = act(&mut Socket(socket));
    socket.set_nonblocking(false)?;
    outcome
}

/// The transport of one call of [`file_service::Session::advance`].
pub(crate) struct Exchange<'w, 'a> {
    pub(crate) wire: &'w mut Wire,
    pub(crate) socket: &'w TcpStream,
    /// What has just come, in a buffer that is to be given back.
    pub(crate) arrived: &'a [u8],
    pub(crate) pool: &'w mut Pool,
}

const WOULD_BLOCK: io::ErrorKind = io::ErrorKind::WouldBlock;

impl Transport for Exchange<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let incoming = &mut self.wire.incoming;
        if !incoming.rest.is_empty() {
            return io::Read::read(&mut incoming.rest, buffer);
        }
        if !self.arrived.is_empty() {
            return io::Read::read(&mut self.arrived, buffer);
        }
        if incoming.start < incoming.end {
            let count = (incoming.end - incoming.start).min(buffer.len());
            buffer[..count].copy_from_slice(&incoming.bulk[incoming.start..][..count]);
            incoming.start += count;
            if incoming.start == incoming.end {
                self.pool.put(std::mem::take(&mut incoming.bulk));
            }
            return Ok(count);
        }
        if let Some(end) = &self.wire.incoming.end_of_stream {
            return match end {
                Ok(()) if self.wire.end_is_due() => Ok(0),
                Ok(()) => Err(WOULD_BLOCK.into()),
                Err(error) => Err(error
                    .raw_os_error()
                    .map_or(WOULD_BLOCK.into(), io::Error::from_raw_os_error)),
            };
        }
        let incoming = &mut self.wire.incoming;
        match (incoming.under_way, buffer.len()) {
            (Some(Receive::Once | Receive::IntoBulk(_)), _) => {}
            (_, wanted) if wanted >= BULK => incoming.wanted = Some(Receive::IntoBulk(wanted)),
            _ => incoming.want_any(),
        }
        Err(WOULD_BLOCK.into())
    }

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        let outgoing = &mut self.wire.outgoing;
        outgoing.check()?;
        let count = bytes.len().min(REPLIES_MAX.saturating_sub(outgoing.filled));
        if outgoing.is_under_way() || count == 0 {
            return Err(WOULD_BLOCK.into());
        }
        // Behind what is there; `more` needs no heed, since it all goes in one send.
        outgoing.bytes.truncate(outgoing.filled);
        outgoing.bytes.extend_from_slice(&bytes[..count]);
        outgoing.filled += count;
        outgoing.reported = outgoing.filled;
        outgoing.state = State::Pending(Send::Bytes);
        Ok(count)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        let outgoing = &mut self.wire.outgoing;
        outgoing.check()?;
        if outgoing.is_under_way() {
            return Err(WOULD_BLOCK.into());
        }
        if outgoing.sent > outgoing.reported {
            let count = outgoing.sent - outgoing.reported;
            outgoing.reported = outgoing.sent;
            *offset += count as u64;
            outgoing.clear_if_done(self.pool);
            return Ok(count);
        }
        if outgoing.filled > outgoing.reported {
            return Err(WOULD_BLOCK.into()); // bytes of the file that are noted to be sent
        }
        if std::mem::take(&mut outgoing.file_ended) {
            return Ok(0);
        }
        let length = length.min(PIECE);
        if is_cold(file, *offset) || length > 1 && is_cold(file, *offset + length - 1) {
            return Err(self.read_aside(file, *offset, length));
        }
        let outcome = without_waiting(self.socket, |socket| {
            if outgoing.sent < outgoing.filled {
                let head = &outgoing.bytes[outgoing.sent..outgoing.filled];
                outgoing.sent += socket.write(head, true)?;
                if outgoing.sent < outgoing.filled {
                    return Err(WOULD_BLOCK.into());
                }
            }
            outgoing.state = State::Rest;
            outgoing.clear_if_done(self.pool);
            socket.send_file(file, offset, length)
        });
        if let Err(error) = &outcome
            && error.kind() == WOULD_BLOCK
        {
            outgoing.state = State::Pending(Send::Room);
        }
        outcome
    }

    fn unacknowledged(&mut self) -> Option<u64> {
        let Outgoing { reported, sent, .. } = self.wire.outgoing;
        // Some of what counts as written may not be in the socket yet, and the other way round.
        let unacknowledged = Socket(self.socket).unacknowledged()? + reported as u64;
        Some(unacknowledged.saturating_sub(sent as u64))
    }

    fn peer(&mut self) -> Peer {
        Socket(self.socket).peer()
    }

    fn finish(&mut self) -> io::Result<()> {
        let outgoing = &self.wire.outgoing;
        outgoing.check()?;
        if outgoing.sent < outgoing.filled || outgoing.is_under_way() {
            return Err(WOULD_BLOCK.into()); // what was written comes first
        }
        // Not through the ring: this never waits, and a ring would give it to a thread.
        self.socket.shutdown(Shutdown::Write)
    }

    fn reset(&mut self) {
        Socket(self.socket).reset(); // ends what is under way, too
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wire with a read under way behind `filled` bytes, which completes with EINTR.
    fn interrupted(wire: &mut Wire) -> bool {
        wire.outgoing.state = State::UnderWay(Send::FromFile { file: 0, offset: 0 });
        wire.outgoing.reading = 1000;
        wire.file_fell_short(-libc::EINTR)
    }

    #[test]
    fn interrupted_read_is_made_again() {
        let mut wire = Wire::new(0);
        for _ in 0..INTERRUPTIONS_MAX {
            assert!(interrupted(&mut wire), "the session asks again");
            assert!(wire.outgoing.failed.is_none() && !wire.outgoing.file_ended);
        }
        assert!(interrupted(&mut wire));
        assert!(wire.outgoing.failed.is_some(), "the interruptions do not end");
    }

    #[test]
    fn interrupted_read_leaves_the_header() {
        let mut wire = Wire::new(0);
        (wire.outgoing.bytes, wire.outgoing.filled) = (vec![0; 100], 40);
        assert!(!interrupted(&mut wire), "the header is sent first");
        assert!(wire.outgoing.state == State::Pending(Send::Bytes) && wire.outgoing.reading == 0);
    }
}
