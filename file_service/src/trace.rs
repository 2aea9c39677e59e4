//! A record of who did what when, for `--trace FILE`.
//!
//! The file has the trace event format of Chrome, so that it opens in Perfetto and `chrome://tracing`: an
//! array with one event a line, without the closing bracket, which the format leaves to choice. So a
//! server that is killed leaves a file that can be read. The lines of a file:
//!
//! | name | kind | where | when |
//! |---|---|---|---|
//! | `clock` | metadata | | the start of the server by `CLOCK_MONOTONIC`; all times count from it |
//! | `accept`, `busy` | instant | acceptor | a connection was accepted, or refused |
//! | `connection N` | slice | worker | the connection has this worker for itself, in the models where that is so |
//! | `connection N` | async | connection | from the first worker to the end |
//! | `dispatch` | async | connection | from the hand-over until the worker has begun: a start, or time in a queue. If the worker went on to a request at once, it is in the slice of that: `waited`, in microseconds, ends where the slice begins |
//! | the request line | slice | worker | a worker is busy with the request, which may include reading it; if it had to let go, there are several |
//! | the request line | async | connection | the whole of a request that had several |
//! | `first byte`, `finish` | instant | worker | of the reply; `cut` tells that the connection was lost before its end. A small reply is sent in one piece: its slice says `at_once`, and both are its end |
//! | `job ...` | slice | helper | file work on the side |
//!
//! # What it costs
//!
//! A session of a server that does not trace has a null pointer to look at. Otherwise events are
//! formatted into one buffer for the process, which is written out when it is full or its oldest line
//! has waited for a while. The lock is only held to format: a full buffer is replaced by an empty one before it is
//! written. Every write is of whole lines and appends, so processes share the file without
//! tearing each other's lines.

use crate::service::Service;
use rustix::process::getpid;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};
use std::cell::Cell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{fmt, thread};

/// How many bytes are written at once, but for the last line: the page cache takes few large pieces for
/// half the price of many small ones.
const FULL: usize = 63 * 1024;

/// Room for the lines that one call adds to a buffer that is not full.
const ROOM: usize = 1024;

/// How long the oldest line waits, if other events come meanwhile, in nanoseconds.
const STALE: u64 = 200_000_000;

/// How much of a request line is its name.
const NAME: usize = 40;

/// A moment by the clock of a trace; without a trace there is only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment(u64);

impl Moment {
    /// The moment as a number, for an atomic.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// The moment of this number.
    pub fn from_bits(bits: u64) -> Moment {
        Moment(bits)
    }
}

/// A trace file that is being written.
#[derive(Debug)]
pub struct Trace {
    file: File,
    /// By the system's monotonic clock, in nanoseconds.
    start: u64,
    model: String,
    connections: AtomicU32,
    /// Counts connections where that is not this process's business alone.
    counter: OnceLock<Counter>,
    journal: Mutex<Journal>,
    lost: AtomicU64,
}

/// Gives the next connection its number.
struct Counter(Box<dyn Fn() -> u32 + Send + Sync>);

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counter")
    }
}

/// The lines of this process that are not yet in the file.
struct Journal {
    bytes: Vec<u8>,
    /// Takes the place of `bytes` while those are written.
    spare: Vec<u8>,
    lines: u64,
    oldest: u64,
    pid: u32,
    /// Tells this process's threads apart from those that a fork has left behind.
    generation: u32,
    failed: bool,
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("lines", &self.lines).finish_non_exhaustive()
    }
}

/// Generations of journals in this process and its ancestors.
static GENERATIONS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The number of this thread, and the generation that knows its name.
    static THREAD: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

impl Trace {
    /// Begins the file at `path` anew.
    ///
    /// # Errors
    ///
    /// It cannot be created or written, or another server is writing its trace there.
    pub fn create(path: &Path, model: &str) -> io::Result<Trace> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        if file.metadata()?.is_file() {
            // Not so for a pipe or a terminal. The lock belongs to the opened file, so a forked child has
            // it too, and it is gone when the last of them is.
            file.try_lock().map_err(|error| match error {
                TryLockError::WouldBlock => io::Error::new(
                    io::ErrorKind::ResourceBusy,
                    "another server is writing its trace there",
                ),
                TryLockError::Error(error) => error,
            })?;
            file.set_len(0)?;
        }
        let trace = Trace {
            file,
            start: monotonic(),
            model: model.to_owned(),
            connections: AtomicU32::new(0),
            counter: OnceLock::new(),
            journal: Mutex::new(Journal::new(buffer())),
            lost: AtomicU64::new(0),
        };
        let mut header = Vec::new();
        let pid = getpid().as_raw_pid();
        let tid = gettid().as_raw_pid();
        // The one line without a comma before it.
        writeln!(
            header,
            "[\n{{\"ph\":\"M\",\"name\":\"clock\",\"ts\":0,\"pid\":{pid},\"tid\":{tid},\
             \"args\":{{\"clock\":\"CLOCK_MONOTONIC\",\"start_ns\":\"{}\"}}}}",
            trace.start
        )?;
        (&trace.file).write_all(&header)?;
        trace.lock().name_process(model);
        Ok(trace)
    }

    /// Now.
    pub fn now(&self) -> Moment {
        Moment(monotonic().saturating_sub(self.start).max(1))
    }

    /// Writes out what is buffered.
    pub fn flush(&self) {
        self.write_out(self.lock());
    }

    /// Writes out what is buffered, as the last act of a process, and says what of it is missing.
    pub fn end(&self) {
        self.flush();
        let lost = self.lost();
        if lost > 0 {
            tracing::warn!("the trace lacks {lost} events of this process");
        }
    }

    /// What a forked child does first: the parent's unwritten lines are the parent's, and this process is
    /// another one.
    pub fn forked(&self) {
        let mut journal = self.lock();
        let mut bytes = std::mem::take(&mut journal.bytes);
        bytes.clear();
        let spare = std::mem::take(&mut journal.spare);
        *journal = Journal { failed: journal.failed, spare, ..Journal::new(bytes) };
        journal.name_process(&format!("{} child", self.model));
    }

    /// Has `next` number the connections, from 1 up: for several processes that accept, each of which would begin
    /// with 1 by itself. The first call holds.
    pub fn number_by(&self, next: impl Fn() -> u32 + Send + Sync + 'static) {
        let _ = self.counter.set(Counter(Box::new(next)));
    }

    /// How many events could not be written.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Records that the connection of `peer` was accepted. Returns its number in the trace, which
    /// [`Session::numbered`](crate::Session::numbered) and [`refused`](Trace::refused) take.
    #[inline(never)]
    pub fn accepted(&self, peer: SocketAddr) -> u32 {
        let number = match self.counter.get() {
            Some(Counter(next)) => next(),
            None => self.connections.fetch_add(1, Ordering::Relaxed) + 1,
        };
        let now = self.now();
        self.record(now, |lines| {
            lines.open("i", b"accept", now);
            lines.text(",\"args\":{\"connection\":");
            lines.number(u64::from(number));
            let _ = write!(lines.journal.bytes, ",\"peer\":\"{peer}\"}}");
            lines.close();
        });
        number
    }

    /// Records that the connection of this number was refused, because the server was at its limit.
    #[inline(never)]
    pub fn refused(&self, number: u32) {
        let now = self.now();
        self.record(now, |lines| {
            lines.open("i", b"busy", now);
            lines.connection(number);
        });
    }

    /// Records work that has just ended.
    #[inline(never)]
    pub(crate) fn job(&self, name: &str, begun: Moment) {
        let now = self.now();
        self.record(now, |lines| {
            lines.open("X", name.as_bytes(), begun);
            lines.duration(begun, now);
            lines.close();
        });
    }

    fn lock(&self) -> MutexGuard<'_, Journal> {
        // A line that a panic has left unfinished is the worst that can be in there, and no code that can
        // panic runs under this lock.
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds lines for something that was seen `now`.
    ///
    /// The thread is looked up at every call and never remembered: a coroutine may be on another one by
    /// the next.
    #[inline(never)]
    fn record(&self, now: Moment, write: impl FnOnce(&mut Lines<'_>)) {
        let mut journal = self.lock();
        if journal.failed {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (mut tid, generation) = THREAD.get();
        if generation != journal.generation {
            tid = gettid().as_raw_pid().unsigned_abs();
            THREAD.set((tid, journal.generation));
            journal.name_thread(tid);
        }
        if journal.lines == 0 {
            journal.oldest = now.0;
        }
        write(&mut Lines { journal: &mut journal, tid });
        if journal.bytes.len() >= FULL || now.0.saturating_sub(journal.oldest) > STALE {
            self.write_out(journal);
        }
    }

    /// One write of whole lines, without the lock. The first that fails is the last: what it may have left
    /// is then the end of this process's part, and serving goes on.
    #[inline(never)]
    fn write_out(&self, mut journal: MutexGuard<'_, Journal>) {
        if journal.bytes.is_empty() {
            return;
        }
        let lines = std::mem::take(&mut journal.lines);
        // There is none if another thread is still writing, which is rare.
        let spare = match std::mem::take(&mut journal.spare) {
            spare if spare.capacity() == 0 => buffer(),
            spare => spare,
        };
        let mut bytes = std::mem::replace(&mut journal.bytes, spare);
        drop(journal);
        let outcome = loop {
            match (&self.file).write(&bytes) {
                Ok(n) if n == bytes.len() => break Ok(()),
                Ok(_) => break Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        bytes.clear();
        let mut journal = self.lock();
        journal.spare = bytes;
        if let Err(error) = outcome {
            self.lost.fetch_add(lines, Ordering::Relaxed);
            if !std::mem::replace(&mut journal.failed, true) {
                tracing::warn!("the trace ends here: {error}");
            }
        }
    }
}

/// For a process that passes it on: it stays open in a forked child.
impl AsFd for Trace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.flush();
    }
}

fn buffer() -> Vec<u8> {
    Vec::with_capacity(FULL + ROOM)
}

fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

impl Journal {
    fn new(bytes: Vec<u8>) -> Journal {
        Journal {
            bytes,
            spare: Vec::new(),
            lines: 0,
            oldest: 0,
            pid: getpid().as_raw_pid().unsigned_abs(),
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed) + 1,
            failed: false,
        }
    }

    fn name_process(&mut self, name: &str) {
        let pid = self.pid;
        self.name("process_name", pid, name);
    }

    fn name_thread(&mut self, tid: u32) {
        let current = thread::current();
        // The scheduler of a library may not have named its threads.
        let name = current.name().unwrap_or("worker");
        self.name("thread_name", tid, name);
    }

    fn name(&mut self, what: &str, tid: u32, name: &str) {
        let mut lines = Lines { journal: self, tid };
        lines.open("M", what.as_bytes(), Moment(0));
        lines.text(",\"args\":{\"name\":\"");
        lines.text(name);
        lines.text("\"}");
        lines.close();
    }
}

/// Lines being added for one thread.
struct Lines<'a> {
    journal: &'a mut Journal,
    tid: u32,
}

impl Lines<'_> {
    /// Begins an event with what all have.
    fn open(&mut self, phase: &str, name: &[u8], at: Moment) {
        self.text(",{\"ph\":\"");
        self.text(phase);
        self.text("\",\"name\":\"");
        self.journal.bytes.extend_from_slice(name);
        self.text("\",\"ts\":");
        self.micros(at.0);
        self.worker();
    }

    fn worker(&mut self) {
        self.text(",\"pid\":");
        self.number(u64::from(self.journal.pid));
        self.text(",\"tid\":");
        self.number(u64::from(self.tid));
    }

    fn close(&mut self) {
        self.text("}\n");
        self.journal.lines += 1;
    }

    /// A worker's turn at a request, and what has happened in it. This is what is written for every
    /// request, so it is spelled out, and what the lines have in common is made once.
    fn turn(
        &mut self,
        name: &[u8],
        waited: Option<u64>,
        turn: (Moment, Moment),
        first_byte: Moment,
        finish: Option<&str>,
        connection: u32,
    ) {
        let (pid, tid) = (self.journal.pid, self.tid);
        self.journal.lines += 1;
        self.with_pen::<TURN>(|pen| {
            pen.put(b",{\"ph\":\"X\",\"name\":\"");
            pen.append(name);
            pen.put(b"\",\"ts\":");
            pen.micros(turn.0.0);
            pen.put(b",\"dur\":");
            pen.micros(turn.1.0.saturating_sub(turn.0.0));
            let common = pen.at;
            pen.put(b",\"pid\":");
            pen.number(u64::from(pid));
            pen.put(b",\"tid\":");
            pen.number(u64::from(tid));
            pen.put(b",\"args\":{\"connection\":");
            pen.number(u64::from(connection));
            let common = common..pen.at;
            if let Some(waited) = waited {
                pen.put(b",\"waited\":");
                pen.micros(waited);
            }
            if first_byte == turn.1 && finish.is_some() {
                // Two more lines would tell nothing, and bytes are most of what tracing costs.
                pen.put(b",\"at_once\":true}}\n");
                return;
            }
            pen.put(b"}}\n");
            if first_byte.0 != 0 {
                pen.put(b",{\"ph\":\"i\",\"name\":\"first byte\",\"ts\":");
                pen.micros(first_byte.0);
                pen.repeat(common.clone());
                pen.put(b"}}\n");
            }
            if let Some(how) = finish {
                pen.put(b",{\"ph\":\"i\",\"name\":\"finish\",\"ts\":");
                pen.micros(turn.1.0);
                pen.repeat(common);
                pen.append(how.as_bytes());
                pen.put(b"}}\n");
            }
        });
    }

    /// Lets `write` put together at most `N` bytes.
    fn with_pen<const N: usize>(&mut self, write: impl FnOnce(&mut Pen<'_>)) {
        let bytes = &mut self.journal.bytes;
        let begin = bytes.len();
        bytes.resize(begin + N, 0);
        let mut pen = Pen { room: &mut bytes[begin..], at: 0 };
        write(&mut pen);
        let end = begin + pen.at;
        bytes.truncate(end);
    }

    /// One end of a span in the lane of a connection.
    fn asynchronous(&mut self, phase: &str, name: &[u8], at: Moment, connection: u32) {
        self.open(phase, name, at);
        self.text(",\"cat\":\"connection\",\"id\":\"");
        self.number(u64::from(connection));
        self.text("\"");
        self.close();
    }

    fn duration(&mut self, from: Moment, to: Moment) {
        self.text(",\"dur\":");
        self.micros(to.0.saturating_sub(from.0));
    }

    fn connection(&mut self, number: u32) {
        self.text(",\"args\":{\"connection\":");
        self.number(u64::from(number));
        self.text("}");
        self.close();
    }

    fn text(&mut self, text: &str) {
        self.journal.bytes.extend_from_slice(text.as_bytes());
    }

    fn micros(&mut self, nanos: u64) {
        self.with_pen::<DIGITS>(|pen| pen.micros(nanos));
    }

    fn number(&mut self, n: u64) {
        self.with_pen::<DIGITS>(|pen| pen.number(n));
    }
}

/// Room for any number, with a fraction or without.
const DIGITS: usize = 24;

/// Room for what [`Lines::turn`] writes.
const TURN: usize = 512;

/// Puts text together in place. Done by hand, since this is most of what tracing costs: `write!` takes
/// several times as long, and appending piece by piece to a vector twice as long.
struct Pen<'a> {
    room: &'a mut [u8],
    at: usize,
}

/// The decimal forms of 0 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

impl Pen<'_> {
    /// A text of known length, which is a move or two.
    #[inline(always)]
    fn put<const N: usize>(&mut self, text: &[u8; N]) {
        self.room[self.at..][..N].copy_from_slice(text);
        self.at += N;
    }

    fn append(&mut self, text: &[u8]) {
        self.room[self.at..][..text.len()].copy_from_slice(text);
        self.at += text.len();
    }

    fn repeat(&mut self, range: Range<usize>) {
        let length = range.len();
        self.room.copy_within(range, self.at);
        self.at += length;
    }

    /// Nanoseconds as microseconds with a fraction.
    fn micros(&mut self, nanos: u64) {
        self.number(nanos / 1000);
        let fraction = (nanos % 1000) as usize;
        let [tens, ones] = PAIRS[fraction % 100];
        self.put(&[b'.', b'0' + (fraction / 100) as u8, tens, ones]);
    }

    fn number(&mut self, mut n: u64) {
        let length = n.checked_ilog10().map_or(1, |log| log as usize + 1);
        let digits = &mut self.room[self.at..][..length];
        self.at += length;
        let mut left = length;
        while left >= 2 {
            left -= 2;
            digits[left..][..2].copy_from_slice(&PAIRS[(n % 100) as usize]);
            n /= 100;
        }
        if left == 1 {
            digits[0] = b'0' + n as u8;
        }
    }
}

/// What a session that is traced remembers. It exists only where there is a trace.
#[derive(Debug)]
pub(crate) struct Traced {
    service: Service,
    number: u32,
    /// Since when the connection or a request of it waits for a worker; 0 while it does not.
    dispatched: Moment,
    /// When the worker that it waited for took it up; 0 once that is recorded.
    taken: Moment,
    /// How long the request's turn was waited for.
    waited: Option<u64>,
    /// The connection's own span has begun.
    begun: bool,
    ended: bool,
    /// The first and the latest taking up of the request under way; 0 while there is none.
    request: Moment,
    turn: Moment,
    /// Of the reply; 0 before it and after it was recorded.
    first_byte: Moment,
    /// The first byte was sent together with the last.
    at_once: bool,
    name: [u8; NAME],
    name_len: u8,
}

impl Traced {
    /// For a connection that has this number and is about to be handed to a worker.
    #[inline(never)]
    pub(crate) fn new(service: &Service, number: u32) -> Option<Box<Traced>> {
        let trace = service.trace()?;
        Some(Box::new(Traced {
            service: service.clone(),
            number,
            dispatched: trace.now(),
            taken: Moment(0),
            waited: None,
            begun: false,
            ended: false,
            request: Moment(0),
            turn: Moment(0),
            first_byte: Moment(0),
            at_once: false,
            name: [0; NAME],
            name_len: 0,
        }))
    }

    /// The connection waits for a worker since `at`.
    pub(crate) fn dispatched(&mut self, at: Moment) {
        self.dispatched = at;
    }

    /// A worker has begun to advance the session.
    #[inline(never)]
    pub(crate) fn turn_begins(&mut self) {
        if self.dispatched.0 == 0 && self.request.0 == 0 {
            return;
        }
        let Some(trace) = self.service.trace() else { return };
        let now = trace.now();
        if self.request.0 != 0 {
            self.turn = now;
        }
        if self.dispatched.0 == 0 {
            return;
        }
        self.taken = now;
        if !std::mem::replace(&mut self.begun, true) {
            let (number, dispatched) = (self.number, self.dispatched);
            trace.record(now, |lines| {
                lines.asynchronous("b", &title(number), dispatched, number);
            });
        }
        if self.request.0 != 0 {
            self.waited = self.wait();
        }
    }

    /// How long the worker was waited for that is at it, if that is not recorded yet.
    fn wait(&mut self) -> Option<u64> {
        let taken = std::mem::take(&mut self.taken);
        let dispatched = std::mem::take(&mut self.dispatched);
        (taken.0 != 0).then(|| taken.0.saturating_sub(dispatched.0))
    }

    /// The worker belongs to this connection from now on (`B`), or does so no more (`E`).
    #[inline(never)]
    pub(crate) fn exclusive_worker(&mut self, phase: &str) {
        // Such a worker may have come long before its first request does: it was not waited for by that.
        self.turn_begins();
        self.came_for_nothing();
        let Some(trace) = self.service.trace() else { return };
        let (now, number) = (trace.now(), self.number);
        trace.record(now, |lines| {
            lines.open(phase, &title(number), now);
            lines.connection(number);
        });
    }

    /// A request has been read.
    #[inline(never)]
    pub(crate) fn begin(&mut self, line: &[u8]) {
        let Some(trace) = self.service.trace() else { return };
        // What a worker was called for, it does from the moment when it came.
        self.request = if self.taken.0 == 0 { trace.now() } else { self.taken };
        self.turn = self.request;
        self.waited = self.wait();
        self.first_byte = Moment(0);
        let line = line.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let line = line.strip_suffix(b" HTTP/1.1").unwrap_or(line);
        let len = line.len().min(NAME);
        for (to, from) in self.name.iter_mut().zip(line) {
            // It is a label: what JSON would have to escape is not worth the escape.
            *to = if matches!(from, b' '..=b'~') && !b"\"\\".contains(from) { *from } else { b'?' };
        }
        self.name_len = len as u8;
    }

    /// The client has been sent something of the reply, or `at_once` all of it.
    #[inline(never)]
    pub(crate) fn first_byte(&mut self, at_once: bool) {
        if let Some(trace) = self.service.trace()
            && self.request.0 != 0
        {
            self.first_byte = trace.now();
            self.at_once = at_once;
        }
    }

    /// The reply is sent.
    #[inline(never)]
    pub(crate) fn finish(&mut self) {
        self.request_ends("");
    }

    fn request_ends(&mut self, how: &str) {
        let request = std::mem::take(&mut self.request);
        let Some(trace) = self.service.trace() else { return };
        if request.0 == 0 {
            return; // a reply that nobody has asked for, such as to a deadline
        }
        let first_byte = std::mem::take(&mut self.first_byte);
        // Reading the clock is a good part of what tracing costs.
        let at_once = std::mem::take(&mut self.at_once);
        let now = if at_once && first_byte.0 != 0 { first_byte } else { trace.now() };
        let (number, turn, waited) = (self.number, self.turn, self.waited.take());
        let name = &self.name[..usize::from(self.name_len)];
        trace.record(now, |lines| {
            lines.turn(name, waited, (turn, now), first_byte, Some(how), number);
            if turn != request {
                lines.asynchronous("b", name, request, number);
                lines.asynchronous("e", name, now, number);
            }
        });
    }

    /// The worker lets go of the session, which has more to wait for, or is over.
    #[inline(never)]
    pub(crate) fn turn_ends(&mut self, is_over: bool) {
        self.came_for_nothing();
        if is_over {
            return self.end();
        }
        let Some(trace) = self.service.trace() else { return };
        if self.request.0 == 0 {
            return;
        }
        let now = trace.now();
        let first_byte = std::mem::take(&mut self.first_byte);
        let (number, turn, waited) = (self.number, self.turn, self.waited.take());
        let name = &self.name[..usize::from(self.name_len)];
        trace.record(now, |lines| {
            lines.turn(name, waited, (turn, now), first_byte, None, number);
        });
    }

    /// Records what a worker was waited for that found no request.
    fn came_for_nothing(&mut self) {
        let (taken, dispatched, number) = (self.taken, self.dispatched, self.number);
        if self.wait().is_some()
            && let Some(trace) = self.service.trace()
        {
            trace.record(taken, |lines| {
                lines.asynchronous("b", b"dispatch", dispatched, number);
                lines.asynchronous("e", b"dispatch", taken, number);
            });
        }
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.request_ends(",\"cut\":true");
        if let Some(trace) = self.service.trace()
            && self.begun
        {
            let (now, number) = (trace.now(), self.number);
            trace.record(now, |lines| lines.asynchronous("e", &title(number), now, number));
        }
    }
}

/// A session may be dropped before it is over, by a panic for one.
impl Drop for Traced {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the span of a connection is called.
fn title(number: u32) -> Vec<u8> {
    format!("connection {number}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Settings, Store};
    use serde_json::Value;

    fn read(path: &Path) -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap() + "]";
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
        events.iter().filter(|event| event["name"] == name).collect()
    }

    fn service(path: &Path) -> Service {
        let store = Store::open(path.parent().unwrap(), false, false).unwrap();
        let trace = Trace::create(path, "model").unwrap();
        Service::traced(store, Settings::default(), Some(trace))
    }

    #[test]
    fn a_new_trace_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        std::fs::write(&path, "what was there before").unwrap();
        let trace = Trace::create(&path, "model").unwrap();
        let events = read(&path);
        assert_eq!(events[0]["args"]["start_ns"], trace.start.to_string());
        drop(trace);
        let events = read(&path);
        assert_eq!(named(&events, "process_name")[0]["args"]["name"], "model");
    }

    #[test]
    fn numbers_and_times() {
        let mut journal = Journal::new(Vec::new());
        let mut lines = Lines { journal: &mut journal, tid: 0 };
        for n in [0, 7, 1234567890, u64::MAX] {
            lines.number(n);
            lines.text(" ");
        }
        lines.micros(1_002_003);
        lines.text(" ");
        lines.micros(9);
        assert_eq!(journal.bytes, b"0 7 1234567890 18446744073709551615 1002.003 0.009");
    }

    #[test]
    fn a_request_over_two_turns_and_one_that_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let service = service(&path);
        let mut traced = Traced::new(&service, 5).unwrap();
        traced.turn_begins();
        traced.begin(b"GET /a\"b\\c HTTP/1.1\r\nHost: x\r\n");
        traced.turn_ends(false);
        traced.turn_begins();
        traced.first_byte(false);
        traced.finish();
        traced.finish(); // a reply without a request
        traced.begin(b"GET small");
        traced.first_byte(true);
        traced.finish();
        traced.begin(&[b'x'; 100]);
        drop(traced);
        service.trace().unwrap().flush();
        let events = read(&path);
        let slices = named(&events, "GET /a?b?c");
        let kinds: Vec<_> = slices.iter().map(|event| event["ph"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["X", "X", "b", "e"]);
        assert_eq!(named(&events, "first byte").len(), 1);
        let small = named(&events, "GET small");
        assert_eq!((small.len(), &small[0]["args"]["at_once"]), (1, &Value::Bool(true)));
        let finishes = named(&events, "finish");
        assert_eq!(finishes.len(), 2);
        assert_eq!(finishes[1]["args"]["cut"], true);
        assert_eq!(named(&events, &"x".repeat(NAME)).len(), 1);
        assert_eq!(named(&events, "connection 5").len(), 2);
        assert!(finishes.iter().all(|event| event["args"]["connection"] == 5));
    }

    #[test]
    fn a_full_buffer_is_written_in_whole_lines_and_threads_are_named_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let trace = Trace::create(&path, "model").unwrap();
        thread::scope(|scope| {
            for _ in 0..4 {
                let spawned =
                    thread::Builder::new().name("name".into()).spawn_scoped(scope, || {
                        for _ in 0..500 {
                            trace.job("work", trace.now());
                            assert!(trace.lock().bytes.len() < FULL);
                        }
                    });
                spawned.unwrap();
            }
        });
        assert!(trace.lock().bytes.capacity() <= FULL + ROOM);
        assert!(named(&read(&path), "work").len() > 1000, "nothing was written while it ran");
        trace.flush();
        let events = read(&path);
        assert_eq!(named(&events, "work").len(), 2000);
        assert_eq!(named(&events, "thread_name").len(), 4);
    }

    #[test]
    fn a_child_begins_with_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace");
        let trace = Trace::create(&path, "model").unwrap();
        trace.job("the parent's", trace.now());
        trace.forked();
        trace.job("the child's", trace.now());
        trace.flush();
        let events = read(&path);
        assert_eq!(named(&events, "the parent's").len(), 0);
        assert_eq!(named(&events, "the child's").len(), 1);
        assert_eq!(named(&events, "process_name")[0]["args"]["name"], "model child");
        assert_eq!(named(&events, "thread_name").len(), 1, "the child's thread is a new one");
    }

    #[test]
    fn a_full_disk_ends_the_trace_and_nothing_else() {
        assert!(Trace::create(Path::new("/dev/full"), "model").is_err());
        let folder = tempfile::tempdir().unwrap();
        let mut trace = Trace::create(&folder.path().join("trace"), "model").unwrap();
        trace.file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        (0..500).for_each(|_| trace.job("work", trace.now()));
        trace.flush();
        assert_eq!(trace.lost(), 500 + 2, "and the names of the process and the thread");
        assert!(trace.lock().bytes.is_empty());
    }

    #[test]
    fn two_servers_do_not_share_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        let first = Trace::create(&path, "first").unwrap();
        first.flush();
        let before = std::fs::read(&path).unwrap();
        let error = Trace::create(&path, "second").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        drop(first);
        Trace::create(&path, "second").unwrap();
    }

    #[test]
    fn a_session_without_a_trace_grows_by_a_pointer() {
        assert_eq!(size_of::<Option<Box<Traced>>>(), size_of::<usize>());
    }
}
