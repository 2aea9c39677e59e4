//! One client's conversation: all of the protocol, no sockets, no waiting.
//!
//! The owner of a connection advances its session over a [`Transport`]. Each call goes as far as
//! the transport lets it, and returns a [`Step`] that names what the session needs next. Over a blocking
//! socket the calls wait inside the transport; over a non-blocking one the step names the readiness to
//! wait for. So the same code serves every model, and a model is only the answer to the question of who
//! calls [`Session::advance`] and when.
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | the phases of a conversation, the requests of the file protocol, closing |
//! | `input` | the buffer of bytes that are not parsed yet |
//! | `reply` | replies on their way out, ranges of files |
//! | `body` | uploads on their way in |
//! | `http` | the requests of HTTP |
//! | `listing` | listings on their way out |
//! | `job` | file work that may take long |

mod body;
mod http;
mod input;
mod job;
mod listing;
mod reply;

pub use job::{Job, Outcome};
pub(crate) use listing::lines;

use crate::http::{Decoder, FirstLine, begins_with_empty_line, first_line};
use crate::protocol::{self, BadRequest, Code, MAX_LINE, Request};
use crate::service::Service;
use crate::store::{self, Hashing, Upload};
use crate::trace::{Moment, SessionTrace};
use crate::transport::{Interest, Transport};
use body::PutRefusal;
use input::{IDLE_CAPACITY, InputBuffer};
use job::{FileWork, JobWait};
use listing::{Form, ListWork, Pieces, QueuedListing};
use reply::{FileRange, inline_length, ok_line};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Up to this size, in bytes, a hash is computed within [`Session::advance`]; above it is a [`Job`].
const INLINE_HASH_MAX: u64 = 64 * 1024;

/// How much a closing connection reads at a time, in bytes.
const LINGER_CHUNK: usize = 16 * 1024;

/// How long a closing connection is drained in all.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes one call of [`Session::advance`] may move before it yields.
const BYTES_PER_ADVANCE: u64 = 8 << 20;

/// How many requests one call of [`Session::advance`] may answer before it yields; an upload is the last.
const REQUESTS_PER_ADVANCE: u32 = 64;

/// How often the client's progress with a reply is looked at within the transfer timeout. The look that sees the last
/// progress may be late by this part of the timeout, and a driver that looks at deadlines in ticks is late twice: with
/// this look, and at the end. So a stalled client is cut within 1.2 times the timeout.
const LOOKS: u32 = 100;

/// What a session needs before it can go on.
#[derive(Debug)]
pub enum Step {
    /// The transport would block, or a job is out or must wait: call again when this has come, or at the
    /// [`deadline`](Session::deadline).
    Wait(Interest),
    /// Every request that came is answered, and nothing more had arrived at the last read of this call: the connection
    /// may be parked until the client sends again, or until the [`deadline`](Session::deadline). To call again at once is
    /// right too: it looks whether the client has. A caller that waits for an *edge* of readiness must do so if the
    /// client's end of stream has been seen.
    Idle,
    /// The session has used up its budget; it has more to do and needs to wait for nothing.
    Yield,
    /// A share of file work that may take long: run it where it blocks no other client, then [`Session::resume`].
    Offload(Job),
    /// The conversation is over: drop the connection.
    Closed,
}

/// Whether a session is to end, shared between the session and the server's shutdown.
#[derive(Debug, Default)]
pub struct ShutdownState(AtomicU8);

const ANSWERING: u8 = 1;
const STOPPING: u8 = 2;

impl ShutdownState {
    /// Requests that the session end after the request under way.
    ///
    /// Returns whether the reading side of the connection may be shut down to wake the session: only if it
    /// waits for a request. After that the kernel answers whatever the client still sends with a reset,
    /// which would destroy a reply under way.
    pub fn request(&self) -> bool {
        self.0.fetch_or(STOPPING, Ordering::SeqCst) & ANSWERING == 0
    }

    /// Whether shutdown has been requested.
    fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed) & STOPPING != 0
    }

    /// Returns whether a request may be answered: not so after the shutdown request.
    fn begin_answer(&self) -> bool {
        self.0.fetch_or(ANSWERING, Ordering::SeqCst) & STOPPING == 0
    }

    fn end_answer(&self) {
        self.0.fetch_and(!ANSWERING, Ordering::SeqCst);
    }
}

/// One client's conversation.
#[derive(Debug)]
pub struct Session {
    service: Service,
    peer: SocketAddr,
    shutdown: Arc<ShutdownState>,
    input: InputBuffer,
    /// The last read of this call of [`Session::advance`] did not fill its buffer, so at that moment nothing more had
    /// arrived.
    socket_drained: bool,
    /// The deadline is that of a request line or header that has begun.
    in_header: bool,
    /// The empty line that may come before a request of HTTP has come.
    empty_line_skipped: bool,
    protocol: Protocol,
    phase: Phase,
    /// When the session gives up what it waits for. While a reply is sent it is renewed by what the client
    /// acknowledges.
    deadline: Instant,
    /// When to look next at what the client has acknowledged, while a reply is sent; whether there is room, while a
    /// listing waits for it; whether buffers are of use, while an upload is received.
    next_look: Instant,
    /// How many bytes have been written, and how many of these the client had acknowledged at the last look.
    written: u64,
    acknowledged: u64,
    requests: u64,
    /// Only where a trace is written.
    trace: Option<Box<SessionTrace>>,
}

/// Which protocol the connection speaks; the first line decides.
#[derive(Clone, Copy, Debug)]
enum Protocol {
    Unknown,
    File,
    /// With the options of the request that is being answered.
    Http(ResponseOptions),
}

/// How an HTTP request wants its response.
#[derive(Clone, Copy, Debug, Default)]
struct ResponseOptions {
    keep_alive: bool,
    /// The client has announced that this request is its last.
    is_last: bool,
    /// The response to a `HEAD` has no body.
    is_head: bool,
    json: bool,
}

#[derive(Debug)]
enum Phase {
    /// Between requests, or within a request line or header.
    Request,
    Reply(Reply),
    Receive(Box<RequestBody>),
    /// A job is to be handed out, or is out.
    Offloaded {
        job: Option<Job>,
        wait: JobWait,
    },
    /// A job is to be handed out again, after others have had their turn.
    Retry(Job),
    /// A listing that waits for room.
    Queued(Box<QueuedListing>),
    /// The transport still holds some of the last reply: our side ends after that.
    Finish,
    /// The reply is sent and our side shut; what still arrives is read, so that no reset hits the reply.
    Linger,
    Closed,
}

/// Bytes on their way out, then perhaps a range of a file or the rest of a listing.
#[derive(Debug)]
struct Reply {
    bytes: Vec<u8>,
    sent: usize,
    range: Option<FileRange>,
    /// The rest of a listing; there is no range then.
    pieces: Option<Box<Pieces>>,
    then: AfterReply,
}

/// What the session does when a reply is sent.
#[derive(Debug)]
enum AfterReply {
    NextRequest,
    Receive(Box<RequestBody>),
    Close,
}

/// The body of a request on its way in.
#[derive(Debug)]
struct RequestBody {
    framing: Framing,
    sink: Sink,
}

/// What of a body is still to come.
#[derive(Debug)]
enum Framing {
    /// So many bytes.
    Length(u64),
    Chunked(Decoder),
    /// Nothing.
    Complete,
}

#[derive(Debug)]
enum Sink {
    Store(Box<Upload>),
    /// The reply is decided; the body is read to its end so that the connection stays usable.
    Discard(Reply),
}

/// What one call of [`Session::advance`] may still do.
struct Budget {
    bytes: u64,
    requests: u32,
}

impl Session {
    /// A session at its beginning. `peer` is for the log; `shutdown` is shared with the code that stops the
    /// server.
    pub fn new(service: &Service, peer: SocketAddr, shutdown: Arc<ShutdownState>) -> Session {
        let now = Instant::now();
        Session {
            service: service.clone(),
            peer,
            shutdown,
            input: InputBuffer::default(),
            socket_drained: false,
            in_header: false,
            empty_line_skipped: false,
            protocol: Protocol::Unknown,
            phase: Phase::Request,
            deadline: now + service.settings().idle_timeout,
            next_look: now,
            written: 0,
            acknowledged: 0,
            requests: 0,
            trace: None,
        }
    }

    /// Returns the session with its connection's number in the trace, as [`Trace::accepted`](crate::Trace::accepted)
    /// has assigned it. Without a trace nothing changes.
    pub fn numbered(mut self, number: u32) -> Session {
        self.trace = self.service.trace().map(|trace| SessionTrace::new(trace, number, self.peer));
        self
    }

    /// Records in the trace that this session waits for a worker since `moment`; for models in which that is
    /// not the moment at which the session was made.
    pub fn dispatched(&mut self, moment: Moment) {
        if let Some(trace) = &mut self.trace {
            trace.dispatched(moment);
        }
    }

    /// Records in the trace that the calling thread serves only this session from now on.
    ///
    /// For models in which a connection has a worker of its own; [`end_exclusive_worker`](Session::end_exclusive_worker)
    /// must follow on the same thread.
    pub fn begin_exclusive_worker(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.begin_exclusive_worker();
        }
    }

    /// Records in the trace that the calling thread no longer serves only this session.
    pub fn end_exclusive_worker(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.end_exclusive_worker();
        }
    }

    /// When the caller must call [`advance`](Session::advance) again if the session still waits then, for whatever
    /// it waits. The transport must not wait in that call.
    ///
    /// The session then reads what has arrived, and ends what is not complete even so: with a reply where the client
    /// can still understand one. While a reply is sent the deadline comes more often, for a look at what the client
    /// has acknowledged.
    pub fn deadline(&self) -> Instant {
        match &self.phase {
            Phase::Reply(_) | Phase::Receive(_) | Phase::Queued(_) | Phase::Finish => {
                self.deadline.min(self.next_look)
            }
            Phase::Offloaded { wait, .. } => {
                wait.deadline(self.service.settings().transfer_timeout)
            }
            _ => self.deadline,
        }
    }

    /// How many requests the client has made. Each has its reply, though it may be under way still; one that was
    /// refused counts, and one that is not complete does not.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Goes as far as the transport allows.
    ///
    /// While a [`Job`] is out it only asks for the wait again, unless the job has made no progress for the transfer
    /// timeout; then the session goes on without the job.
    pub fn advance(&mut self, transport: &mut impl Transport) -> Step {
        if let Some(trace) = &mut self.trace {
            trace.begin_slice();
        }
        let mut budget = Budget { bytes: BYTES_PER_ADVANCE, requests: REQUESTS_PER_ADVANCE };
        let step = loop {
            let flow = match &mut self.phase {
                Phase::Request => self.read_request(transport, &mut budget),
                Phase::Reply(_) => self.send(transport, &mut budget),
                Phase::Receive(_) => self.receive(transport, &mut budget),
                Phase::Offloaded { job, .. } => match job.take() {
                    Some(job) => Break(Step::Offload(job)),
                    None => self.wait_for_job(),
                },
                Phase::Retry(_) => self.retry(transport.peer()),
                Phase::Queued(_) => self.wait_for_room(transport.peer()),
                Phase::Finish => self.finish(transport),
                Phase::Linger => self.linger(transport, &mut budget),
                Phase::Closed => Break(Step::Closed),
            };
            match flow {
                Break(step) => break step,
                Continue(()) if budget.bytes == 0 => break Step::Yield,
                Continue(()) => {}
            }
        };
        // A driver may miss the edge of bytes that arrive before the next call.
        self.socket_drained = false;
        if let Some(trace) = &mut self.trace {
            trace.end_slice(matches!(step, Step::Closed));
        }
        step
    }

    // ---- Requests ----

    fn read_request(
        &mut self,
        transport: &mut impl Transport,
        budget: &mut Budget,
    ) -> ControlFlow<Step> {
        if self.shutdown.is_requested() {
            self.close(transport);
            return Continue(());
        }
        if !self.input.is_empty() {
            if budget.requests == 0 {
                return Break(Step::Yield);
            }
            if !self.shutdown.begin_answer() {
                self.close(transport);
                return Continue(());
            }
            if self.take_request() {
                self.in_header = false;
                self.empty_line_skipped = false;
                self.requests += 1;
                budget.requests -= 1;
                return Continue(());
            }
            self.shutdown.end_answer();
            if self.shutdown.is_requested() {
                // Requested just now, as if a request were under way, so nothing wakes the session.
                self.close(transport);
                return Continue(());
            }
        }
        if self.input.is_empty() && self.socket_drained {
            return Break(Step::Idle);
        }
        let begun = !self.input.is_empty();
        if begun && !self.in_header {
            self.in_header = true;
            self.deadline = Instant::now() + self.service.settings().header_timeout;
        }
        let buffer = self.input.free_space(IDLE_CAPACITY);
        let wanted = buffer.len();
        let outcome = if begun {
            transport.read_before(buffer, self.deadline)
        } else {
            transport.read(buffer)
        };
        match outcome {
            // No HTTP follows any more, so the empty line is a request of the file protocol.
            Ok(0) if self.holds_empty_line() => {
                self.protocol = Protocol::File;
                self.socket_drained = false;
            }
            // What came before the end has been answered; the beginning of a request is not a request.
            Ok(0) => self.phase = Phase::Closed,
            Ok(n) => {
                self.input.fill(n);
                self.socket_drained = n < wanted;
            }
            Err(error) => return self.transport_failed(error, transport, Interest::Read),
        }
        Continue(())
    }

    /// Takes one request off the input, if it is complete, and begins the reply. Returns whether it was.
    fn take_request(&mut self) -> bool {
        if matches!(self.protocol, Protocol::Unknown) {
            self.protocol = match first_line(self.input.data()) {
                FirstLine::Undecided => return false,
                FirstLine::File => Protocol::File,
                FirstLine::Http => Protocol::Http(ResponseOptions::default()),
            };
        }
        if matches!(self.protocol, Protocol::Http(_)) {
            return self.skip_empty_line() && self.take_http_request();
        }
        let data = self.input.data();
        let line = match memchr::memchr(b'\n', &data[..data.len().min(MAX_LINE)]) {
            Some(end) => &data[..end],
            None if data.len() < MAX_LINE => return false,
            None => {
                if let Some(trace) = &mut self.trace {
                    trace.begin_request(data);
                }
                self.refuse(Code::LineTooLong, true);
                return true;
            }
        };
        tracing::debug!(peer = %self.peer, request = %line.escape_ascii(), "request");
        if let Some(trace) = &mut self.trace {
            trace.begin_request(line);
        }
        let request = Request::parse(line);
        let length = line.len() + 1;
        self.input.consume(length);
        self.answer(request);
        true
    }

    /// Whether an empty line has come first, and what follows it does not yet show whether it is a request.
    fn holds_empty_line(&self) -> bool {
        matches!((&self.phase, self.protocol), (Phase::Request, Protocol::Unknown))
            && begins_with_empty_line(self.input.data())
    }

    /// Begins the reply to a request of the file protocol.
    fn answer(&mut self, request: Result<Request, BadRequest>) {
        match request {
            Err(BadRequest { code, close }) => self.refuse(code, close),
            Ok(Request::Quit) => self.reply(b"OK 0\n".to_vec(), AfterReply::Close),
            Ok(Request::List(path)) => self.try_answer(|session| {
                let path = path?;
                let directory = session.service.store().open_directory(&path)?;
                let work = ListWork::new(path, directory, Form::Lines);
                session.offload_listing(work);
                Ok(())
            }),
            Ok(Request::Hash(path)) => self.try_answer(|session| {
                let (file, stat) = session.service.store().open_file(&path?)?;
                if stat.size > INLINE_HASH_MAX {
                    session.offload(FileWork::Hash(Box::new(Hashing::new(file))));
                } else {
                    session.reply_text(&store::hash(file)?);
                }
                Ok(())
            }),
            Ok(Request::Get { path, offset, length }) => self.try_answer(|session| {
                let (file, stat) = session.service.store().open_file(&path?)?;
                let rest = stat.size.checked_sub(offset).ok_or(Code::BadRange)?;
                let length = length.map_or(rest, |length| length.min(rest));
                let bytes = ok_line(length, inline_length(length));
                session.reply_range(bytes, FileRange::new(file, offset, length))
            }),
            Ok(Request::Put { path, length }) => {
                let path = path.map_err(PutRefusal::from);
                self.begin_put(Framing::Length(length), path, false, None);
            }
        }
    }

    // ---- Closing ----

    /// Ends our side and goes on reading for a while: a socket closed over unread input sends a reset,
    /// which can destroy the reply that is still under way.
    fn close(&mut self, transport: &mut impl Transport) {
        let is_last =
            matches!(self.protocol, Protocol::Http(ResponseOptions { is_last: true, .. }));
        self.phase = match transport.finish() {
            // All that the client wanted to send has been read, so closing resets nothing.
            Ok(()) if is_last && self.socket_drained && self.input.is_empty() => Phase::Closed,
            Ok(()) => Phase::Linger,
            // The deadline stays: it is that of the reply which is under way.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.phase = Phase::Finish;
                return;
            }
            Err(_) => Phase::Closed,
        };
        self.deadline = Instant::now() + LINGER;
    }

    /// Ends our side if everything is sent by now.
    fn finish(&mut self, transport: &mut impl Transport) -> ControlFlow<Step> {
        self.close(transport);
        match self.phase {
            Phase::Finish => self.wait_to_write(transport),
            _ => Continue(()),
        }
    }

    fn linger(&mut self, transport: &mut impl Transport, budget: &mut Budget) -> ControlFlow<Step> {
        self.input.clear();
        // Mostly the end of stream comes next. A client that sends on gets a larger buffer, which saves calls.
        let least = if self.socket_drained { IDLE_CAPACITY } else { LINGER_CHUNK };
        let buffer = self.input.free_space(least);
        let wanted = buffer.len();
        match transport.read_before(buffer, self.deadline) {
            Ok(n) if n > 0 && Instant::now() < self.deadline => {
                self.socket_drained = n < wanted;
                budget.bytes = budget.bytes.saturating_sub(n as u64);
            }
            Ok(_) => self.phase = Phase::Closed,
            Err(error) => return self.transport_failed(error, transport, Interest::Read),
        }
        Continue(())
    }

    /// Waits, tries again or closes, depending on how a call of the transport failed.
    fn transport_failed(
        &mut self,
        error: io::Error,
        transport: &mut impl Transport,
        interest: Interest,
    ) -> ControlFlow<Step> {
        match error.kind() {
            // Sockets with a timeout of their own return TimedOut on some transports.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                return match interest {
                    Interest::Write => self.wait_to_write(transport),
                    _ => self.wait_to_read(),
                };
            }
            io::ErrorKind::Interrupted => {}
            _ => {
                tracing::debug!(peer = %self.peer, "connection lost: {error}");
                self.abandon(Phase::Closed);
            }
        }
        Continue(())
    }

    // ---- Deadlines ----

    /// Waits for bytes, of which none are there. So past the deadline the client has not sent in time.
    fn wait_to_read(&mut self) -> ControlFlow<Step> {
        if Instant::now() < self.deadline {
            return Break(Step::Wait(Interest::Read));
        }
        tracing::debug!(peer = %self.peer, "deadline passed");
        match &self.phase {
            Phase::Request | Phase::Receive(_) => self.refuse_late_client(),
            _ => self.phase = Phase::Closed,
        }
        Continue(())
    }

    fn refuse_late_client(&mut self) {
        if let (Phase::Request, Protocol::Http(_)) = (&self.phase, self.protocol) {
            // Those of the last request do not concern this reply.
            self.protocol = Protocol::Http(self.options_without_request());
        }
        let mut reply = self.refusal(Code::Timeout, true);
        if self.holds_empty_line() {
            self.requests += 1;
            reply.bytes.splice(..0, protocol::error_line(Code::BadCommand).into_bytes());
        }
        let before = std::mem::replace(&mut self.phase, Phase::Closed);
        self.begin_reply(reply);
        self.drop_upload_of(before);
    }

    /// Waits for room to write, while the client acknowledges bytes now and then.
    fn wait_to_write(&mut self, transport: &mut impl Transport) -> ControlFlow<Step> {
        if self.look_at_progress(transport) {
            return Break(Step::Wait(Interest::Write));
        }
        tracing::debug!(peer = %self.peer, "the client takes nothing of its reply");
        self.phase = Phase::Closed;
        Continue(())
    }

    /// Renews the deadline of a reply if the client has acknowledged more of it than at the last look. Returns
    /// whether there is time left.
    ///
    /// That bytes could be written is no progress of the client: the kernel takes them while there is room.
    fn look_at_progress(&mut self, transport: &mut impl Transport) -> bool {
        let now = Instant::now();
        if now >= self.next_look {
            let timeout = self.service.settings().transfer_timeout;
            self.next_look = now + timeout / LOOKS;
            let unacknowledged = transport.unacknowledged().unwrap_or(0);
            let acknowledged = self.written.saturating_sub(unacknowledged);
            if acknowledged > self.acknowledged {
                self.acknowledged = acknowledged;
                self.deadline = now + timeout;
            }
        }
        now < self.deadline
    }
}

/// Serves a few scripted requests, so that everything that is initialised at its first use is initialised.
///
/// A parent that forks calls this once, and its children inherit the result. The choice of the fastest string search
/// alone asks the processor for its features, which is slow on a virtual machine; otherwise each child would do so.
pub fn warm_up(service: &Service) {
    let peer = SocketAddr::from(([0, 0, 0, 0], 0));
    for request in [&b"HASH no%20such\nQUIT\n"[..], b"GET /no/such HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let mut session = Session::new(service, peer, Arc::default());
        let mut transport = ScriptedTransport { request };
        while !matches!(session.advance(&mut transport), Step::Closed) {}
    }
}

/// A transport whose peer sends a script; what the session writes is dropped.
struct ScriptedTransport<'a> {
    request: &'a [u8],
}

impl Transport for ScriptedTransport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.request, buffer)
    }

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn send_file(&mut self, _: &File, _: &mut u64, _: u64) -> io::Result<usize> {
        Ok(0)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset(&mut self) {}
}
