//! One client's conversation: all of the protocol, no sockets, no waiting.
//!
//! A session is advanced over a [`Transport`] by whoever owns the connection. Each call goes as far as
//! the transport lets it and then says, as a [`Step`], what it needs next. Over a blocking socket the
//! calls wait inside the transport; over a non-blocking one the step names the readiness to wait for. So
//! the same code serves every model, and a model is only the answer to the question of who calls
//! [`Session::advance`] and when.

use crate::http::{self, Decision, Expect, Method, Parsed};
use crate::protocol::{self, BadRequest, Code, MAX_LINE, RelPath, Request, encode_name};
use crate::service::Service;
use crate::store::{self, Entry, Failure, Kind, Opened, Store, Upload};
use crate::trace::{Moment, Traced};
use crate::transport::{Interest, Transport};
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

/// Up to this size, in bytes, a file is read into the reply and sent with its header in one call; above
/// it goes from the page cache to the socket by sendfile, after its corked header. Both ways take two
/// calls; the one copies, the other passes pages. They cost the same at 8 KiB where this was measured,
/// and sendfile a quarter less at 16 KiB; the crossing depends on the machine.
const INLINE_MAX: u64 = 8 * 1024;

/// Up to this size a hash is computed at once; above it is a [`Job`].
const HASH_AT_ONCE: u64 = 64 * 1024;

/// What an idle session keeps for the next request, in bytes.
const INPUT_IDLE: usize = 1024;

/// How much of an upload is read at a time, in bytes: half of a large transfer's cost is system calls.
const UPLOAD_CHUNK: u64 = 1 << 20;

/// How much is read at a time of what is thrown away, in bytes.
const DISCARD_CHUNK: u64 = 64 * 1024;

/// What a closing connection reads at a time, in bytes.
const LINGER_CHUNK: usize = 16 * 1024;

/// Room for the head of a reply in HTTP, in bytes.
const HTTP_HEAD_ROOM: usize = 512;

/// How long a closing connection is drained in all.
const LINGER: Duration = Duration::from_secs(1);

/// How many bytes one call of [`Session::advance`] may move before others get their turn.
const SHARE_BYTES: u64 = 8 << 20;

/// How many requests one call of [`Session::advance`] may answer before others get their turn.
const SHARE_REQUESTS: u32 = 64;

/// What a session needs before it can go on.
#[derive(Debug)]
pub enum Step {
    /// The transport said that it would block: call again when it is ready for this.
    Wait(Interest),
    /// All that came is answered, and nothing more had arrived at the last read: the connection may be
    /// parked until the client speaks again. Calling again at once is right too, and looks whether it
    /// has. Who waits for an *edge* of readiness must do so if the client's end of stream has been seen.
    Idle,
    /// The session has had its share; it has more to do and needs to wait for nothing.
    Yield,
    /// File work that may take long: run it where that hurts nobody, then [`Session::resume`].
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
    /// Orders the session to end after the request under way.
    ///
    /// Gives whether the reading side of the connection may be shut down to wake the session: only if it
    /// waits for a request. After that the kernel answers whatever the client still sends with a reset,
    /// which would destroy a reply under way.
    pub fn request(&self) -> bool {
        self.0.fetch_or(STOPPING, Ordering::SeqCst) & ANSWERING == 0
    }

    /// Whether the order to stop has been given.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed) & STOPPING != 0
    }

    /// Gives whether a request may be answered: not so after the order to stop.
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
    input: Input,
    /// The last read did not fill its buffer, so at that moment nothing more had arrived.
    drained: bool,
    /// The deadline is that of a request line or head that has begun.
    in_head: bool,
    speech: Speech,
    phase: Phase,
    deadline: Instant,
    requests: u64,
    /// Only where a trace is written.
    traced: Option<Box<Traced>>,
}

/// Which protocol the connection speaks; the first line decides.
#[derive(Clone, Copy, Debug)]
enum Speech {
    Unknown,
    File,
    /// With the particulars of the request that is being answered.
    Http(Dress),
}

/// How a reply in HTTP is dressed.
#[derive(Clone, Copy, Debug, Default)]
struct Dress {
    keep_alive: bool,
    /// The client has said that this request is its last.
    is_last: bool,
    head_only: bool,
    json: bool,
}

#[derive(Debug)]
enum Phase {
    /// Between requests, or within a request line or head.
    Head,
    Reply(Reply),
    Receive(Box<Receive>),
    /// A job is to be handed out, or is out.
    Work(Option<Job>),
    /// The transport has taken the last reply over and still has some of it: our side ends after that.
    Finish,
    /// The reply is sent and our side shut; what still arrives is read, so that no reset hits the reply.
    Linger,
    Closed,
}

/// Bytes on their way out, then perhaps a piece of a file.
#[derive(Debug)]
struct Reply {
    bytes: Vec<u8>,
    sent: usize,
    body: Option<Piece>,
    then: Then,
}

#[derive(Debug)]
struct Piece {
    file: File,
    offset: u64,
    left: u64,
}

#[derive(Debug)]
enum Then {
    Next,
    Receive(Box<Receive>),
    Close,
}

/// A body on its way in.
#[derive(Debug)]
struct Receive {
    left: u64,
    sink: Sink,
    /// Allocated by the first read that needs it.
    buffer: Vec<u8>,
}

#[derive(Debug)]
enum Sink {
    Store(Upload),
    /// The reply is settled; the body is read to its end so that the connection stays usable.
    Discard(Reply),
}

/// Why an upload does not begin.
enum PutRefusal {
    Failure(Failure),
    /// Only HTTP knows conditions and origins: a status and its reason.
    Http(u16, &'static str),
}

impl PutRefusal {
    fn of(code: Code) -> PutRefusal {
        PutRefusal::Failure(code.into())
    }
}

/// What became of one phase.
enum Flow {
    Go,
    Stop(Step),
}

impl Session {
    /// A session at its beginning. `peer` is for the log; `shutdown` is shared with whoever stops the
    /// server.
    pub fn new(service: &Service, peer: SocketAddr, shutdown: Arc<ShutdownState>) -> Session {
        Session {
            service: service.clone(),
            peer,
            shutdown,
            input: Input::default(),
            drained: false,
            in_head: false,
            speech: Speech::Unknown,
            phase: Phase::Head,
            deadline: Instant::now() + service.settings().idle_timeout,
            requests: 0,
            traced: None,
        }
    }

    /// Returns the session with its connection's number in the trace, as [`Trace::accepted`](crate::Trace::accepted)
    /// has assigned it. Without a trace nothing changes.
    pub fn numbered(mut self, number: u32) -> Session {
        self.traced = Traced::new(&self.service, number);
        self
    }

    /// Tells the trace that this session waits for a worker since `moment`; for models in which that is
    /// not the moment at which the session was made.
    pub fn dispatched(&mut self, moment: Moment) {
        if let Some(traced) = &mut self.traced {
            traced.dispatched(moment);
        }
    }

    /// Records in the trace that the calling thread serves only this session from now on.
    ///
    /// For models in which a connection has a worker of its own; [`end_exclusive_worker`](Session::end_exclusive_worker)
    /// must follow on the same thread.
    pub fn begin_exclusive_worker(&mut self) {
        if let Some(traced) = &mut self.traced {
            traced.exclusive_worker("B");
        }
    }

    /// Records in the trace that the calling thread no longer serves only this session.
    pub fn end_exclusive_worker(&mut self) {
        if let Some(traced) = &mut self.traced {
            traced.exclusive_worker("E");
        }
    }

    /// When the session must be told to [`expire`](Session::expire) if it is still waiting then.
    ///
    /// Worth asking for after each [`Step::Wait`] and [`Step::Idle`].
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// How many requests the client has made. Each has its reply, though it may be under way still; one that was
    /// refused counts, and one that never came to its end does not.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Goes as far as the transport allows.
    ///
    /// Must not be called while a [`Job`] is out; then it does nothing but ask for the wait again.
    pub fn advance(&mut self, transport: &mut impl Transport) -> Step {
        if let Some(traced) = &mut self.traced {
            traced.turn_begins();
        }
        let mut share = Share { bytes: SHARE_BYTES, requests: SHARE_REQUESTS };
        let step = loop {
            let flow = match &mut self.phase {
                Phase::Head => self.head(transport, &mut share),
                Phase::Reply(_) => self.send(transport, &mut share),
                Phase::Receive(_) => self.receive(transport, &mut share),
                Phase::Work(job) => Flow::Stop(match job.take() {
                    Some(job) => Step::Offload(job),
                    None => Step::Wait(Interest::Read),
                }),
                Phase::Finish => self.finish(transport),
                Phase::Linger => self.linger(transport, &mut share),
                Phase::Closed => Flow::Stop(Step::Closed),
            };
            match flow {
                Flow::Stop(step) => break step,
                Flow::Go if share.is_spent() => break Step::Yield,
                Flow::Go => {}
            }
        };
        if let Some(traced) = &mut self.traced {
            traced.turn_ends(matches!(step, Step::Closed));
        }
        step
    }

    /// Ends what the client has let pass its deadline: with a reply where one can still be understood.
    pub fn expire(&mut self) {
        tracing::debug!(peer = %self.peer, "deadline passed");
        match &self.phase {
            Phase::Head | Phase::Receive(_) => {
                let reply = self.refusal(Code::Timeout, true);
                self.phase = Phase::Reply(reply);
                self.deadline = Instant::now() + LINGER;
            }
            Phase::Reply(_) | Phase::Finish | Phase::Linger => self.phase = Phase::Closed,
            Phase::Work(_) | Phase::Closed => {}
        }
    }

    // ---- Requests ----

    fn head(&mut self, transport: &mut impl Transport, share: &mut Share) -> Flow {
        if self.shutdown.is_requested() {
            self.close(transport);
            return Flow::Go;
        }
        if !self.input.is_empty() {
            if !self.shutdown.begin_answer() {
                self.close(transport);
                return Flow::Go;
            }
            if self.take_request() {
                self.in_head = false;
                self.requests += 1;
                share.requests -= 1;
                return Flow::Go;
            }
            self.shutdown.end_answer();
        }
        if self.input.is_empty() && self.drained {
            self.drained = false;
            return Flow::Stop(Step::Idle);
        }
        let begun = !self.input.is_empty();
        if begun && !self.in_head {
            self.in_head = true;
            self.deadline = Instant::now() + self.service.settings().header_timeout;
        } else if begun && Instant::now() >= self.deadline {
            self.expire();
            return Flow::Go;
        }
        let room = self.input.room(INPUT_IDLE);
        let wanted = room.len();
        let outcome =
            if begun { transport.read_before(room, self.deadline) } else { transport.read(room) };
        match outcome {
            // What came before the end has been answered; the beginning of a request is no request.
            Ok(0) => self.phase = Phase::Closed,
            Ok(n) => {
                self.input.filled(n);
                self.drained = n < wanted;
            }
            Err(error) => return self.interrupted(error, Interest::Read),
        }
        Flow::Go
    }

    /// Takes one request off the input, if a whole one is there, and settles what to do about it.
    fn take_request(&mut self) -> bool {
        let data = self.input.data();
        if !matches!(self.speech, Speech::Http(_)) {
            let line = match memchr::memchr(b'\n', &data[..data.len().min(MAX_LINE)]) {
                Some(end) => &data[..end],
                None if data.len() < MAX_LINE => return false,
                None => {
                    if let Some(traced) = &mut self.traced {
                        traced.begin(data);
                    }
                    self.refuse(Code::LineTooLong, true);
                    return true;
                }
            };
            if matches!(self.speech, Speech::Unknown) && http::is_request_line(line) {
                self.speech = Speech::Http(Dress::default());
            } else {
                self.speech = Speech::File;
                tracing::debug!(peer = %self.peer, request = %line.escape_ascii(), "request");
                if let Some(traced) = &mut self.traced {
                    traced.begin(line);
                }
                let request = Request::parse(line);
                let taken = line.len() + 1;
                self.input.consume(taken);
                self.answer(request);
                return true;
            }
        }
        match http::parse(self.input.data()) {
            Parsed::Partial => return false,
            Parsed::Invalid { status, reason } => {
                tracing::debug!(peer = %self.peer, status, reason, "malformed request");
                if let Some(traced) = &mut self.traced {
                    traced.begin(self.input.data());
                }
                let mut bytes = Vec::new();
                http::error(&mut bytes, status, reason, false, false, self.is_read_only());
                self.reply(bytes, Then::Close);
            }
            Parsed::Complete { request, head_len } => {
                if tracing::enabled!(tracing::Level::DEBUG) {
                    let head = &self.input.data()[..head_len];
                    let line = head.split(|&b| b == b'\r').next().unwrap_or_default();
                    tracing::debug!(peer = %self.peer, request = %line.escape_ascii(), "request");
                }
                if let Some(traced) = &mut self.traced {
                    traced.begin(self.input.data());
                }
                self.input.consume(head_len);
                self.answer_http(&request);
            }
        }
        true
    }

    /// Settles a request of the file protocol.
    fn answer(&mut self, request: Result<Request, BadRequest>) {
        match request {
            Err(BadRequest { code, close }) => self.refuse(code, close),
            Ok(Request::Quit) => self.reply(b"OK 0\n".to_vec(), Then::Close),
            Ok(Request::List(path)) => self.attempt(|session| {
                let path = path?;
                let folder = session.service.store().open_directory(&path)?;
                session.work(Task::List { path, folder, format: Format::Lines });
                Ok(())
            }),
            Ok(Request::Hash(path)) => self.attempt(|session| {
                let (file, stat) = session.service.store().open_file(&path?)?;
                if stat.size > HASH_AT_ONCE {
                    session.work(Task::Hash(file));
                } else {
                    session.reply_text(&store::hash(&file)?);
                }
                Ok(())
            }),
            Ok(Request::Get { path, offset, length }) => self.attempt(|session| {
                let (file, stat) = session.service.store().open_file(&path?)?;
                let rest = stat.size.checked_sub(offset).ok_or(Code::BadRange)?;
                let length = length.map_or(rest, |length| length.min(rest));
                let bytes = ok_line(length, inline_len(length));
                let piece = Piece { file, offset, left: length };
                session.reply_piece(bytes, piece)
            }),
            Ok(Request::Put { path, length }) => {
                self.begin_put(length, path.map_err(PutRefusal::of), false, |_, _| true);
            }
        }
    }

    /// Settles a request in HTTP.
    fn answer_http(&mut self, request: &http::Request) {
        let length = request.length.unwrap_or(0);
        let is_put = request.method == Method::Put;
        self.speech = Speech::Http(Dress {
            // Only an upload has a body worth reading; after any other one the framing is not trusted.
            keep_alive: request.keep_alive && (is_put || length == 0),
            is_last: !request.keep_alive && (is_put || length == 0),
            head_only: request.method == Method::Head,
            json: request.wants_json,
        });
        if request.expect == Expect::Other {
            return self.refuse_http(417, "unknown expectation");
        }
        if is_put {
            if request.length.is_none() {
                return self.refuse_http(411, "an upload needs a Content-Length");
            }
            let expects = request.expect == Expect::Continue;
            let path = match request.objection(self.service.settings().host.as_deref()) {
                Some(reason) => Err(PutRefusal::Http(403, reason)),
                None => request.path.clone().and_then(RelPath::file).map_err(PutRefusal::of),
            };
            return self.begin_put(length, path, expects, |store, path| {
                http::decide_put(request, store.stat(path).as_ref())
            });
        }
        if length > self.service.settings().max_file_size {
            return self.refuse(Code::TooLarge, true);
        }
        match request.method {
            Method::Get | Method::Head => self.attempt(|session| session.fetch(request)),
            Method::Options => {
                let mut bytes = Vec::new();
                http::options(&mut bytes, self.dress().keep_alive, self.is_read_only());
                self.reply(bytes, self.next());
            }
            Method::NotAllowed => self.refuse_kept(405, "this method is not served here"),
            Method::Unknown | Method::Put => self.refuse_kept(501, "unknown method"),
        }
    }

    /// `GET` and `HEAD`.
    fn fetch(&mut self, request: &http::Request) -> Result<(), Failure> {
        let path = request.path.clone()?;
        match self.service.store().open_any(&path)? {
            Opened::Directory(folder) => {
                let format =
                    if request.wants_json { Format::Json } else { Format::Page(request.view) };
                self.work(Task::List { path: path.folder(), folder, format });
                Ok(())
            }
            Opened::File(file, stat) => {
                let path = path.file()?;
                let decision = http::decide(request, &stat);
                let (offset, left) = match decision {
                    Decision::Full => (0, stat.size),
                    Decision::Partial { offset, length } => (offset, length),
                    _ => (0, 0),
                };
                let left = if request.method == Method::Head { 0 } else { left };
                let mut bytes = Vec::with_capacity(HTTP_HEAD_ROOM + inline_len(left));
                let keep_alive = self.dress().keep_alive;
                http::file_head(&mut bytes, request, &path, &stat, &decision, keep_alive);
                self.reply_piece(bytes, Piece { file, offset, left })
            }
        }
    }

    /// Settles an upload, in either protocol, in the order in which the protocol checks.
    fn begin_put(
        &mut self,
        length: u64,
        path: Result<RelPath, PutRefusal>,
        expects_continue: bool,
        precondition: impl FnOnce(&Store, &RelPath) -> bool,
    ) {
        if length > self.service.settings().max_file_size {
            return self.refuse(Code::TooLarge, true);
        }
        let upload = match self.admit_upload(path, precondition) {
            Ok(upload) => upload,
            Err(refusal) => {
                // Who asked whether to send the body may or may not send it now: only a close is clear.
                if let (Speech::Http(dress), true) = (&mut self.speech, expects_continue) {
                    dress.keep_alive = false;
                }
                match refusal {
                    PutRefusal::Http(status, reason) => self.refuse_kept(status, reason),
                    PutRefusal::Failure(failure) => self.fail(failure),
                }
                if !expects_continue {
                    self.discard(length);
                }
                return;
            }
        };
        let receive =
            Box::new(Receive { left: length, sink: Sink::Store(upload), buffer: Vec::new() });
        self.deadline = Instant::now() + self.service.settings().transfer_timeout;
        if expects_continue && self.input.is_empty() {
            self.reply(http::CONTINUE.to_vec(), Then::Receive(receive));
        } else {
            self.phase = Phase::Receive(receive);
        }
    }

    fn admit_upload(
        &self,
        path: Result<RelPath, PutRefusal>,
        precondition: impl FnOnce(&Store, &RelPath) -> bool,
    ) -> Result<Upload, PutRefusal> {
        if self.is_read_only() {
            return Err(PutRefusal::of(Code::ReadOnly));
        }
        let path = path?;
        let store = self.service.store();
        if !precondition(store, &path) {
            return Err(PutRefusal::Http(412, "the precondition does not hold"));
        }
        store.begin_upload(&path).map_err(PutRefusal::Failure)
    }

    // ---- Slow work ----

    fn work(&mut self, task: Task) {
        self.phase = Phase::Work(Some(Job { service: self.service.clone(), task }));
    }

    /// Takes back what a [`Job`] has come to.
    pub fn resume(&mut self, outcome: Outcome) {
        match outcome.0 {
            Ok(Done::Text(text)) => self.reply_text(&text),
            Ok(Done::Document(document)) => self.reply_document(document),
            Ok(Done::Landed { created }) => self.landed(created),
            Err(failure) => self.fail(failure),
        }
    }

    // ---- Replies ----

    /// Runs what may fail, and tells the client if it does.
    fn attempt(&mut self, answer: impl FnOnce(&mut Session) -> Result<(), Failure>) {
        if let Err(failure) = answer(self) {
            self.fail(failure);
        }
    }

    fn fail(&mut self, failure: Failure) {
        if let Some(detail) = &failure.detail {
            tracing::error!(peer = %self.peer, "request failed: {detail}");
        }
        self.refuse(failure.code, false);
    }

    fn refuse(&mut self, code: Code, close: bool) {
        let reply = self.refusal(code, close);
        self.begin_reply(reply);
    }

    /// A refusal in the language of the connection.
    fn refusal(&self, code: Code, close: bool) -> Reply {
        tracing::debug!(peer = %self.peer, %code, "refused");
        let then = if close { Then::Close } else { self.next() };
        let bytes = match self.speech {
            Speech::Http(dress) => {
                let dress = Dress { keep_alive: matches!(then, Then::Next), ..dress };
                self.http_error(code.http_status(), &format!("{code}: {}", code.message()), dress)
            }
            Speech::Unknown | Speech::File => protocol::error_line(code).into_bytes(),
        };
        Reply { bytes, sent: 0, body: None, then }
    }

    /// Refuses what only HTTP can ask for, and closes.
    fn refuse_http(&mut self, status: u16, reason: &str) {
        let dress = Dress { keep_alive: false, ..self.dress() };
        let bytes = self.http_error(status, reason, dress);
        self.reply(bytes, Then::Close);
    }

    /// Refuses what only HTTP can ask for; the connection stays if the client wants it.
    fn refuse_kept(&mut self, status: u16, reason: &str) {
        let bytes = self.http_error(status, reason, self.dress());
        self.reply(bytes, self.next());
    }

    fn http_error(&self, status: u16, reason: &str, dress: Dress) -> Vec<u8> {
        let mut bytes = Vec::new();
        http::error(
            &mut bytes,
            status,
            reason,
            dress.head_only,
            dress.keep_alive,
            self.is_read_only(),
        );
        bytes
    }

    /// What follows a reply: the next request, unless an HTTP client wanted just this one.
    fn next(&self) -> Then {
        match self.speech {
            Speech::Http(dress) if !dress.keep_alive => Then::Close,
            _ => Then::Next,
        }
    }

    fn is_read_only(&self) -> bool {
        !self.service.store().is_writable()
    }

    fn dress(&self) -> Dress {
        match self.speech {
            Speech::Http(dress) => dress,
            Speech::Unknown | Speech::File => Dress::default(),
        }
    }

    fn reply(&mut self, bytes: Vec<u8>, then: Then) {
        self.begin_reply(Reply { bytes, sent: 0, body: None, then });
    }

    fn begin_reply(&mut self, reply: Reply) {
        self.phase = Phase::Reply(reply);
        self.deadline = Instant::now() + self.service.settings().transfer_timeout;
    }

    /// `OK`, and a text of the file protocol.
    fn reply_text(&mut self, text: &[u8]) {
        let mut bytes = ok_line(text.len() as u64, text.len());
        bytes.extend_from_slice(text);
        self.reply(bytes, Then::Next);
    }

    /// A document of HTTP: a folder as a page or as JSON.
    fn reply_document(&mut self, mut document: Vec<u8>) {
        let dress = self.dress();
        let mut bytes = Vec::with_capacity(HTTP_HEAD_ROOM);
        http::document_head(&mut bytes, document.len() as u64, dress.json, dress.keep_alive);
        if !dress.head_only {
            // In front of the document, since a large folder is better moved than held twice.
            document.splice(..0, bytes);
            bytes = document;
        }
        self.reply(bytes, self.next());
    }

    /// A head that is ready in `bytes`, and a piece of a file: in one if it is small.
    fn reply_piece(&mut self, mut bytes: Vec<u8>, mut piece: Piece) -> Result<(), Failure> {
        let mut then = self.next();
        if piece.left <= INLINE_MAX {
            let whole = bytes.len() as u64 + piece.left;
            while (bytes.len() as u64) < whole {
                if piece.read_to(&mut bytes)? == 0 {
                    // The file shrank after it was measured: a short body, then the end.
                    then = Then::Close;
                    break;
                }
            }
            // The buffer may have had room for more than was asked for.
            bytes.truncate(usize::try_from(whole).unwrap_or(usize::MAX));
            self.reply(bytes, then);
        } else {
            self.begin_reply(Reply { bytes, sent: 0, body: Some(piece), then });
        }
        Ok(())
    }

    fn send(&mut self, transport: &mut impl Transport, share: &mut Share) -> Flow {
        let Phase::Reply(reply) = &mut self.phase else {
            return Flow::Go;
        };
        let outcome = if reply.sent < reply.bytes.len() {
            let more = reply.body.is_some();
            let outcome = transport.write(&reply.bytes[reply.sent..], more);
            if let Some(traced) = &mut self.traced
                && reply.sent == 0
                && let Ok(n) = outcome
                && !matches!(reply.then, Then::Receive(_))
            {
                traced.first_byte(!more && n == reply.bytes.len());
            }
            reply.sent += *outcome.as_ref().unwrap_or(&0);
            outcome
        } else if let Some(piece) = reply.body.as_mut().filter(|piece| piece.left > 0) {
            // A large reply needs its header no more.
            let outcome = transport.send_file(&piece.file, &mut piece.offset, piece.left);
            piece.left -= *outcome.as_ref().unwrap_or(&0) as u64;
            outcome
        } else {
            return self.sent(transport);
        };
        match outcome {
            Ok(0) => {
                // The file shrank under way. The client sees a short body.
                self.close(transport);
                Flow::Go
            }
            Ok(n) => {
                share.bytes = share.bytes.saturating_sub(n as u64);
                if let Phase::Reply(Reply { bytes, sent, body, .. }) = &self.phase
                    && (body.is_some() || *sent < bytes.len())
                {
                    self.deadline = Instant::now() + self.service.settings().transfer_timeout;
                }
                Flow::Go
            }
            Err(error) => self.interrupted(error, Interest::Write),
        }
    }

    /// The reply is out.
    fn sent(&mut self, transport: &mut impl Transport) -> Flow {
        if let Some(traced) = &mut self.traced
            && !matches!(&self.phase, Phase::Reply(Reply { then: Then::Receive(_), .. }))
        {
            traced.finish();
        }
        match std::mem::replace(&mut self.phase, Phase::Head) {
            Phase::Reply(Reply { then: Then::Close, .. }) => self.close(transport),
            Phase::Reply(Reply { then: Then::Receive(receive), .. }) => {
                self.phase = Phase::Receive(receive);
            }
            _ => {
                // From here on the client is idle, unless it has sent more already.
                self.shutdown.end_answer();
                self.input.shrink();
                self.deadline = Instant::now() + self.service.settings().idle_timeout;
            }
        }
        Flow::Go
    }

    // ---- Bodies ----

    /// Reads the body of a refused upload to its end; the refusal, which is settled, comes after it.
    fn discard(&mut self, length: u64) {
        self.phase = match std::mem::replace(&mut self.phase, Phase::Head) {
            Phase::Reply(reply) => Phase::Receive(Receive::discarding(length, reply)),
            other => other,
        };
    }

    fn receive(&mut self, transport: &mut impl Transport, share: &mut Share) -> Flow {
        let Phase::Receive(receive) = &mut self.phase else {
            return Flow::Go;
        };
        if receive.left == 0 {
            return self.received();
        }
        let stored = if self.input.is_empty() {
            let room = receive.room();
            let wanted = room.len();
            match transport.read(room) {
                Ok(0) => {
                    // Cut short. Dropping the upload removes it before the client sees the close.
                    self.phase = Phase::Closed;
                    return Flow::Go;
                }
                Ok(n) => {
                    self.drained = n < wanted;
                    share.bytes = share.bytes.saturating_sub(n as u64);
                    receive.store_read(n)
                }
                Err(error) => return self.interrupted(error, Interest::Read),
            }
        } else {
            let data = self.input.data();
            let taken = data.len().min(usize::try_from(receive.left).unwrap_or(usize::MAX));
            let stored = receive.store(&data[..taken]);
            self.input.consume(taken);
            stored
        };
        self.deadline = Instant::now() + self.service.settings().transfer_timeout;
        if let Err(failure) = stored {
            // The rest is read and thrown away, so that the refusal can be read and the next request found.
            self.settle_body(|session| session.fail(failure));
        }
        Flow::Go
    }

    /// Turns an upload into a body to throw away, with the reply that `settle` makes at its end.
    fn settle_body(&mut self, settle: impl FnOnce(&mut Session)) {
        let Phase::Receive(receive) = std::mem::replace(&mut self.phase, Phase::Head) else {
            return;
        };
        let left = receive.left;
        drop(receive);
        settle(self);
        self.discard(left);
    }

    /// The body is complete.
    fn received(&mut self) -> Flow {
        match std::mem::replace(&mut self.phase, Phase::Head) {
            Phase::Receive(receive) => match receive.sink {
                Sink::Discard(reply) => self.begin_reply(reply),
                Sink::Store(upload) if self.service.store().is_synchronous() => {
                    self.work(Task::Land(upload));
                }
                Sink::Store(upload) => match upload.land() {
                    Ok(created) => self.landed(created),
                    Err(failure) => self.fail(failure),
                },
            },
            other => self.phase = other,
        }
        Flow::Go
    }

    fn landed(&mut self, created: bool) {
        match self.speech {
            Speech::Http(dress) => {
                let mut bytes = Vec::new();
                http::stored(&mut bytes, created, dress.keep_alive);
                self.reply(bytes, self.next());
            }
            Speech::Unknown | Speech::File => self.reply(b"OK 0\n".to_vec(), Then::Next),
        }
    }

    // ---- The end ----

    /// Ends our side and goes on reading for a while: a socket closed over unread input sends a reset,
    /// which can destroy the reply that is still under way.
    fn close(&mut self, transport: &mut impl Transport) {
        let is_last = matches!(self.speech, Speech::Http(Dress { is_last: true, .. }));
        self.phase = match transport.finish() {
            // All that the client wanted to send has been read, so closing resets nothing.
            Ok(()) if is_last && self.drained && self.input.is_empty() => Phase::Closed,
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

    /// Ends our side if everything is out by now.
    fn finish(&mut self, transport: &mut impl Transport) -> Flow {
        self.close(transport);
        match self.phase {
            Phase::Finish => Flow::Stop(Step::Wait(Interest::Write)),
            _ => Flow::Go,
        }
    }

    fn linger(&mut self, transport: &mut impl Transport, share: &mut Share) -> Flow {
        self.input.clear();
        // Mostly the end of stream comes next. Who sends on gets a larger buffer, which saves calls.
        let room = self.input.room(if self.drained { INPUT_IDLE } else { LINGER_CHUNK });
        let wanted = room.len();
        match transport.read_before(room, self.deadline) {
            Ok(n) if n > 0 && Instant::now() < self.deadline => {
                self.drained = n < wanted;
                share.bytes = share.bytes.saturating_sub(n as u64);
            }
            Ok(_) => self.phase = Phase::Closed,
            Err(error) => return self.interrupted(error, Interest::Read),
        }
        Flow::Go
    }

    /// What a failed call of the transport means.
    fn interrupted(&mut self, error: io::Error, interest: Interest) -> Flow {
        match error.kind() {
            // Sockets with a time-out of their own say TimedOut on some transports.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                // Whatever arrives during the wait ends it too, and will not be announced again.
                self.drained = false;
                return Flow::Stop(Step::Wait(interest));
            }
            io::ErrorKind::Interrupted => {}
            _ => {
                tracing::debug!(peer = %self.peer, "connection lost: {error}");
                self.phase = Phase::Closed;
            }
        }
        Flow::Go
    }
}

impl Receive {
    fn discarding(left: u64, reply: Reply) -> Box<Receive> {
        Box::new(Receive { left, sink: Sink::Discard(reply), buffer: Vec::new() })
    }

    /// Where to read into, no more than the body still has.
    fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            let chunk = match self.sink {
                Sink::Store(_) => UPLOAD_CHUNK,
                Sink::Discard(_) => DISCARD_CHUNK,
            };
            self.buffer = vec![0; self.left.min(chunk) as usize];
        }
        let wanted = self.left.min(self.buffer.len() as u64) as usize;
        &mut self.buffer[..wanted]
    }

    /// Stores the first `n` bytes of the room.
    fn store_read(&mut self, n: usize) -> Result<(), Failure> {
        self.left -= n as u64;
        match &mut self.sink {
            Sink::Store(upload) => upload.write(&self.buffer[..n]),
            Sink::Discard(_) => Ok(()),
        }
    }

    fn store(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.left -= bytes.len() as u64;
        match &mut self.sink {
            Sink::Store(upload) => upload.write(bytes),
            Sink::Discard(_) => Ok(()),
        }
    }
}

impl Piece {
    /// Appends what is there, at most what `bytes` has room for; gives how many bytes that were.
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

/// What one call of [`Session::advance`] may still do.
struct Share {
    bytes: u64,
    requests: u32,
}

impl Share {
    fn is_spent(&self) -> bool {
        self.bytes == 0 || self.requests == 0
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
}

/// Bytes that have arrived and are not yet understood.
#[derive(Debug, Default)]
struct Input {
    /// All of it is initialised; `start..end` is what has arrived.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Input {
    fn data(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
        if self.is_empty() {
            self.clear();
        }
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Room for more, never none: `least` to begin with, then doubled whenever it is full. The parsers
    /// bound what can be in here.
    fn room(&mut self, least: usize) -> &mut [u8] {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.bytes.len() < least {
            self.bytes.resize(least, 0);
        } else if self.end == self.bytes.len() {
            self.bytes.resize(2 * self.bytes.len(), 0);
        }
        &mut self.bytes[self.end..]
    }

    fn filled(&mut self, n: usize) {
        self.end += n;
    }

    /// Gives back what an idle session does not need.
    fn shrink(&mut self) {
        if self.is_empty() && self.bytes.len() > INPUT_IDLE {
            *self = Input::default();
        }
    }
}

/// File work that may take long. It knows nothing of the connection, so it may run on any thread.
#[derive(Debug)]
pub struct Job {
    service: Service,
    task: Task,
}

#[derive(Debug)]
enum Task {
    Hash(File),
    List { path: RelPath, folder: OwnedFd, format: Format },
    Land(Upload),
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Lines,
    Page(http::View),
    Json,
}

/// What a [`Job`] has come to; [`Session::resume`] takes it.
#[derive(Debug)]
pub struct Outcome(Result<Done, Failure>);

#[derive(Debug)]
enum Done {
    Text(Vec<u8>),
    Document(Vec<u8>),
    Landed { created: bool },
}

impl Job {
    /// Does the work likewise, for a thread that works for many clients: a panic costs the client whose job it
    /// was, who gets no outcome, and not the thread.
    pub fn attempt(self) -> Option<Outcome> {
        catch_unwind(AssertUnwindSafe(|| self.run())).ok()
    }

    /// Does the work; blocks for as long as that takes.
    pub fn run(self) -> Outcome {
        let begun = self.service.moment();
        let name = match self.task {
            Task::Hash(_) => "job hash",
            Task::List { .. } => "job list",
            Task::Land(_) => "job land",
        };
        let outcome = Outcome(match self.task {
            Task::Hash(file) => store::hash(&file).map(Done::Text),
            Task::Land(upload) => upload.land().map(|created| Done::Landed { created }),
            Task::List { path, folder, format } => {
                self.service.store().list(&path, folder).map(|entries| match format {
                    Format::Lines => Done::Text(lines(&entries)),
                    Format::Page(view) => {
                        let server = http::Server::of(&self.service);
                        Done::Document(http::page(&path, entries, view, server))
                    }
                    Format::Json => Done::Document(http::json(&entries)),
                })
            }
        });
        if let Some(trace) = self.service.trace() {
            trace.job(name, begun);
        }
        outcome
    }
}

/// A listing in the file protocol.
pub(crate) fn lines(entries: &[Entry]) -> Vec<u8> {
    let mut text = Vec::with_capacity(entries.len() * 48);
    for Entry { kind, size, mtime, name } in entries {
        let kind = match kind {
            Kind::File => 'f',
            Kind::Directory => 'd',
        };
        // Writing to a Vec cannot fail.
        let _ = write!(text, "{kind} {size} {mtime} ");
        encode_name(name, &mut text);
        text.push(b'\n');
    }
    text
}

/// `OK <n>`, with room for so many bytes more.
fn ok_line(n: u64, room: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(32 + room);
    // Writing to a Vec cannot fail.
    let _ = writeln!(bytes, "OK {n}");
    bytes
}

/// How much of a body goes into the reply's own buffer.
fn inline_len(length: u64) -> usize {
    if length <= INLINE_MAX { length as usize } else { 0 }
}
