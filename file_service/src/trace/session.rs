//! What a traced session records: its connection, and the slices of its requests.

use super::{Moment, Trace};
use std::net::SocketAddr;

/// How much of a request line is the name of its slices, in bytes.
const NAME_LENGTH: usize = 40;

/// The state of a session's events. It exists only where a trace is written.
#[derive(Debug)]
pub(crate) struct SessionTrace {
    trace: Trace,
    number: u32,
    peer: SocketAddr,
    /// Since when the connection or a request of it waits for a worker; 0 while it does not.
    dispatched: Moment,
    /// When the worker that it waited for began; 0 once that is recorded.
    started: Moment,
    /// How long the request waited for its slice, in nanoseconds.
    waited: Option<u64>,
    /// The connection's own async slice has begun.
    begun: bool,
    ended: bool,
    /// When the first and the current slice of the request under way began; 0 between requests.
    request: Moment,
    slice: Moment,
    /// Of the reply; 0 before it and after it was recorded.
    first_byte: Moment,
    /// The first byte was sent together with the last.
    at_once: bool,
    name: [u8; NAME_LENGTH],
    name_len: u8,
}

impl SessionTrace {
    /// For a connection of `peer` that has this number and is about to be handed to a worker.
    #[inline(never)]
    pub(crate) fn new(trace: &Trace, number: u32, peer: SocketAddr) -> Box<SessionTrace> {
        Box::new(SessionTrace {
            trace: trace.clone(),
            number,
            peer,
            dispatched: trace.now(),
            started: Moment(0),
            waited: None,
            begun: false,
            ended: false,
            request: Moment(0),
            slice: Moment(0),
            first_byte: Moment(0),
            at_once: false,
            name: [0; NAME_LENGTH],
            name_len: 0,
        })
    }

    /// The connection waits for a worker since `at`.
    pub(crate) fn dispatched(&mut self, at: Moment) {
        self.dispatched = at;
    }

    /// A worker has begun to advance the session.
    #[inline(never)]
    pub(crate) fn begin_slice(&mut self) {
        if self.dispatched.0 == 0 && self.request.0 == 0 {
            return;
        }
        let now = self.trace.now();
        if self.request.0 != 0 {
            self.slice = now;
        }
        if self.dispatched.0 == 0 {
            return;
        }
        self.started = now;
        if !std::mem::replace(&mut self.begun, true) {
            let (number, peer, dispatched) = (self.number, self.peer, self.dispatched);
            self.trace.record(now, |lines| {
                lines.asynchronous("b", &client_at(number, peer), dispatched, number);
            });
        }
        if self.request.0 != 0 {
            self.waited = self.take_wait();
        }
    }

    /// Returns how long the session waited for its current worker, unless that is recorded already.
    fn take_wait(&mut self) -> Option<u64> {
        let started = std::mem::take(&mut self.started);
        let dispatched = std::mem::take(&mut self.dispatched);
        (started.0 != 0).then(|| started.0.saturating_sub(dispatched.0))
    }

    /// From now on the worker belongs to this connection.
    pub(crate) fn begin_exclusive_worker(&mut self) {
        self.exclusive_worker("B");
    }

    /// The worker no longer belongs to this connection.
    pub(crate) fn end_exclusive_worker(&mut self) {
        self.exclusive_worker("E");
    }

    #[inline(never)]
    fn exclusive_worker(&mut self, phase: &str) {
        // Such a worker may begin long before the first request comes, which then has not waited for it.
        self.begin_slice();
        self.record_unused_dispatch();
        let (now, number) = (self.trace.now(), self.number);
        self.trace.record(now, |lines| {
            lines.open(phase, &client(number), now);
            lines.connection(number);
        });
    }

    /// A request has been read.
    #[inline(never)]
    pub(crate) fn begin_request(&mut self, line: &[u8]) {
        // The slice of a worker that was dispatched for this request begins with the worker.
        self.request = if self.started.0 == 0 { self.trace.now() } else { self.started };
        self.slice = self.request;
        self.waited = self.take_wait();
        self.first_byte = Moment(0);
        let line = line.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let line = line.strip_suffix(b" HTTP/1.1").unwrap_or(line);
        let len = line.len().min(NAME_LENGTH);
        for (to, from) in self.name.iter_mut().zip(line) {
            // It is a label: what JSON would have to escape is not worth the escape.
            *to = if matches!(from, b' '..=b'~') && !b"\"\\".contains(from) { *from } else { b'?' };
        }
        self.name_len = len as u8;
    }

    /// The client has been sent something of the reply, or `at_once` all of it. Only the first call counts.
    #[inline(never)]
    pub(crate) fn first_byte(&mut self, at_once: bool) {
        if self.request.0 != 0 && self.first_byte.0 == 0 {
            self.first_byte = self.trace.now();
            self.at_once = at_once;
        }
    }

    /// The reply is sent.
    #[inline(never)]
    pub(crate) fn end_request(&mut self) {
        self.record_request("");
    }

    fn record_request(&mut self, how: &str) {
        let request = std::mem::take(&mut self.request);
        if request.0 == 0 {
            return; // a reply without a request, such as to a deadline
        }
        let first_byte = std::mem::take(&mut self.first_byte);
        // Reading the clock is a good part of what tracing costs.
        let at_once = std::mem::take(&mut self.at_once);
        let now = if at_once && first_byte.0 != 0 { first_byte } else { self.trace.now() };
        let (number, slice, waited) = (self.number, self.slice, self.waited.take());
        let name = &self.name[..usize::from(self.name_len)];
        self.trace.record(now, |lines| {
            lines.slice(name, waited, (slice, now), first_byte, Some(how), number);
            if slice != request {
                lines.asynchronous("b", name, request, number);
                lines.asynchronous("e", name, now, number);
            }
        });
    }

    /// The worker lets go of the session, which has more to wait for, or is over.
    #[inline(never)]
    pub(crate) fn end_slice(&mut self, is_over: bool) {
        self.record_unused_dispatch();
        if is_over {
            return self.end();
        }
        if self.request.0 == 0 {
            return;
        }
        let now = self.trace.now();
        let first_byte = std::mem::take(&mut self.first_byte);
        let (number, slice, waited) = (self.number, self.slice, self.waited.take());
        let name = &self.name[..usize::from(self.name_len)];
        self.trace.record(now, |lines| {
            lines.slice(name, waited, (slice, now), first_byte, None, number);
        });
    }

    /// Records the wait for a worker that found no request.
    fn record_unused_dispatch(&mut self) {
        let (started, dispatched, number) = (self.started, self.dispatched, self.number);
        if self.take_wait().is_some() {
            self.trace.record(started, |lines| {
                lines.asynchronous("b", b"dispatch", dispatched, number);
                lines.asynchronous("e", b"dispatch", started, number);
            });
        }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.record_request(",\"cut\":true");
        if self.begun {
            let (now, number, peer) = (self.trace.now(), self.number, self.peer);
            self.trace.record(now, |lines| {
                lines.asynchronous("e", &client_at(number, peer), now, number)
            });
        }
    }
}

/// A session may be dropped before it is over, for example by a panic.
impl Drop for SessionTrace {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns the name of a connection's slice in the lane of its worker.
fn client(number: u32) -> Vec<u8> {
    format!("client {number}").into_bytes()
}

/// Returns the name of a connection's lane.
fn client_at(number: u32, peer: SocketAddr) -> Vec<u8> {
    format!("client {number} {peer}").into_bytes()
}
