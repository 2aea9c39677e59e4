//! The HTTP side of a session: what a request asks for, and the replies that only HTTP has.

use super::body::PutRefusal;
use super::listing::{Form, ListWork};
use super::reply::{FileRange, HEADER_CAPACITY, inline_length};
use super::{AfterReply, Framing, Protocol, ResponseOptions, Session};
use crate::http::{self, Body, Decision, Decoder, Expect, Method, Parsed, begins_with_empty_line};
use crate::protocol::{Code, RelPath};
use crate::store::{CoarseTime, Failure, Opened};
use std::time::Instant;

impl Session {
    /// Drops one empty line before a request: some clients send one after a body, which is not part of that. Returns
    /// whether more has arrived.
    pub(super) fn skip_empty_line(&mut self) -> bool {
        if !self.empty_line_skipped && begins_with_empty_line(self.input.data()) {
            self.input.consume(2);
            self.empty_line_skipped = true;
            if self.input.is_empty() {
                self.in_header = false;
                self.input.shrink();
                self.deadline = Instant::now() + self.service.settings().idle_timeout;
            }
        }
        !self.input.is_empty()
    }

    /// Takes one request off the input, if a whole header is there, and begins the reply.
    pub(super) fn take_http_request(&mut self) -> bool {
        match http::parse(self.input.data()) {
            Parsed::Partial => return false,
            Parsed::Invalid { status, reason } => {
                tracing::debug!(peer = %self.peer, status, reason, "malformed request");
                if let Some(trace) = &mut self.trace {
                    trace.begin_request(self.input.data());
                }
                let bytes = self.http_error(status, reason, self.options_without_request());
                self.reply(bytes, AfterReply::Close);
            }
            Parsed::Complete { request, header_len } => {
                if tracing::enabled!(tracing::Level::DEBUG) {
                    let header = &self.input.data()[..header_len];
                    let line = header.split(|&b| b == b'\r').next().unwrap_or_default();
                    tracing::debug!(peer = %self.peer, request = %line.escape_ascii(), "request");
                }
                if let Some(trace) = &mut self.trace {
                    trace.begin_request(self.input.data());
                }
                self.input.consume(header_len);
                self.answer_http(request);
            }
        }
        true
    }

    fn answer_http(&mut self, request: http::Request) {
        let has_body = !matches!(request.body, Body::None | Body::Length(0));
        let is_put = request.method == Method::Put;
        self.protocol = Protocol::Http(ResponseOptions {
            // Only an upload has a body worth reading; after any other one the framing is not trusted.
            keep_alive: request.keep_alive && (is_put || !has_body),
            is_last: !request.keep_alive && (is_put || !has_body),
            is_head: request.method == Method::Head,
            json: request.wants_json,
        });
        if request.expect == Expect::Other {
            self.close_after_reply();
            return self.refuse_http(417, "unknown expectation");
        }
        if is_put {
            return self.answer_put(request);
        }
        if let Body::Length(length) = request.body
            && length > self.service.settings().max_file_size
        {
            return self.refuse(Code::TooLarge, true);
        }
        match request.method {
            Method::Get | Method::Head => self.try_answer(|session| session.fetch(&request)),
            Method::Options => {
                let mut bytes = Vec::new();
                let keep_alive = self.response_options().keep_alive;
                http::write_options(&mut bytes, keep_alive, self.is_read_only());
                self.reply(bytes, self.after_reply());
            }
            Method::NotAllowed => self.refuse_http(405, "this method is not served here"),
            Method::Unknown | Method::Put => self.refuse_http(501, "unknown method"),
        }
    }

    fn answer_put(&mut self, mut request: http::Request) {
        let settings = self.service.settings();
        let framing = match request.body {
            Body::Length(length) => Framing::Length(length),
            Body::Chunked => Framing::Chunked(Decoder::new(settings.max_file_size)),
            Body::None => {
                self.close_after_reply();
                return self.refuse_http(411, "an upload needs a Content-Length or chunks");
            }
        };
        let expects_continue = request.expect == Expect::Continue;
        let path = if let Some(reason) = request.cross_origin_refusal(settings.host.as_deref()) {
            Err(PutRefusal::Http(403, reason))
        } else if request.has_content_range {
            Err(PutRefusal::Http(400, "a part of a file cannot be stored, send all of it"))
        } else if let Some(reason) = request.malformed_condition() {
            Err(PutRefusal::Http(400, reason))
        } else {
            request.path.clone().and_then(RelPath::file).map_err(PutRefusal::from)
        };
        self.begin_put(framing, path, expects_continue, request.take_precondition());
    }

    /// Answers `GET` and `HEAD`.
    fn fetch(&mut self, request: &http::Request) -> Result<(), Failure> {
        let path = request.path.clone()?;
        let store = self.service.store();
        let before = CoarseTime::now();
        match store.open_any(&path)? {
            Opened::Directory(directory) => {
                let decision = request.decide_listing();
                if decision != Decision::Full {
                    let ResponseOptions { is_head, keep_alive, .. } = self.response_options();
                    let mut bytes = Vec::new();
                    http::write_listing_decision(&mut bytes, &decision, is_head, keep_alive);
                    self.reply(bytes, self.after_reply());
                    return Ok(());
                }
                let form = if request.wants_json {
                    Form::Json
                } else {
                    Form::Page { view: request.view, host: request.host.clone() }
                };
                let work = ListWork::new(path.directory(), directory, form);
                self.offload_listing(work);
                Ok(())
            }
            Opened::File(file, stat) => {
                let path = path.file()?;
                let version = store.version(&file, stat, before);
                let decision = request.decide(&version);
                let (offset, remaining) = match decision {
                    Decision::Full => (0, stat.size),
                    Decision::Partial { offset, length } => (offset, length),
                    _ => (0, 0),
                };
                let remaining = if request.method == Method::Head { 0 } else { remaining };
                let mut bytes = Vec::with_capacity(HEADER_CAPACITY + inline_length(remaining));
                let keep_alive = self.response_options().keep_alive;
                http::write_file_header(
                    &mut bytes, request, &path, &version, &decision, keep_alive,
                );
                self.reply_range(bytes, FileRange::new(file, offset, remaining))
            }
        }
    }

    /// Has the connection close after the reply, whatever the client wants.
    pub(super) fn close_after_reply(&mut self) {
        if let Protocol::Http(options) = &mut self.protocol {
            options.keep_alive = false;
        }
    }

    /// Refuses what only HTTP can ask for; the connection stays open if the client wants that.
    pub(super) fn refuse_http(&mut self, status: u16, reason: &str) {
        let bytes = self.http_error(status, reason, self.response_options());
        self.reply(bytes, self.after_reply());
    }

    pub(super) fn http_error(
        &self,
        status: u16,
        reason: &str,
        ResponseOptions { is_head, keep_alive, .. }: ResponseOptions,
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        http::write_error(&mut bytes, status, reason, is_head, keep_alive, self.is_read_only());
        bytes
    }

    /// Returns the options of a reply where no whole request is there. Whatever has the method `HEAD` gets no body.
    pub(super) fn options_without_request(&self) -> ResponseOptions {
        let is_head = self.input.data().starts_with(b"HEAD ");
        ResponseOptions { is_head, ..ResponseOptions::default() }
    }

    fn response_options(&self) -> ResponseOptions {
        match self.protocol {
            Protocol::Http(options) => options,
            Protocol::Unknown | Protocol::File => ResponseOptions::default(),
        }
    }
}
