//! A record of which thread worked for which connection when, for `--trace FILE`.
//!
//! The file has the trace event format of Chrome, which <https://ui.perfetto.dev> opens: an array with one event a line. An
//! orderly stop closes the array, so the file is JSON. The file of a killed server lacks the last `]`, which the format
//! permits; a reader that insists on it needs one appended. The slices of a thread nest, as the format demands. The lines
//! of a file:
//!
//! | name | kind | where | when |
//! |---|---|---|---|
//! | `clock` | metadata | | the start of the server by `CLOCK_MONOTONIC`; all times count from it |
//! | `process_name`, `thread_name` | metadata | | the names of the lanes: the model, or `process 3` of its forked processes; a thread's own name, with a number where it has none |
//! | `process_sort_index`, `thread_sort_index` | metadata | | the order of the lanes: that of the forks, and that of the first events |
//! | `accept`, `busy` | instant | acceptor | a connection was accepted, or refused |
//! | `client N` | slice | worker | the connection has this worker for itself, in the models where that is so |
//! | `client N ADDRESS` | async | connection | from the first worker to the end; it names the lane |
//! | `dispatch` | async | connection | from the hand-off until the worker has begun: a start, or time in a queue. If the worker went on to a request at once, it is in the slice of that: `waited`, in microseconds, ends where the slice begins |
//! | the request line | slice | worker | a worker is busy with the request, which may include reading it; a request that waits in between has several |
//! | the request line | async | connection | the whole of a request that had several |
//! | `first byte`, `finish` | instant | worker | of the reply; `cut` means that the connection was lost before its end. A small reply is sent in one piece: its slice has `at_once`, and both are its end |
//! | `job ...` | slice | helper | offloaded file work |
//!
//! # What it costs
//!
//! A session of a server that does not trace has a null pointer to look at. Otherwise events are
//! formatted into one buffer for the process, which is written out when it is full or its oldest line
//! has waited for a while. The lock is only held to format: a full buffer is replaced by an empty one before it is
//! written. Every write is of whole lines and appends, so processes share the file without
//! tearing each other's lines. Names are written once for a thread or a connection.
//!
//! # Who closes it
//!
//! The process that has created the trace, as its last write. It first announces that no write may follow, and then waits for those
//! that are under way, in whichever thread or process ([`Count::Writers`]). At an orderly stop it waits before that for its
//! forked processes ([`Trace::wait_for_children`]), so that their last lines are in the file.
//!
//! # Where it is written
//!
//! Only a regular file appends so, and keeps no server waiting for a reader. A character device is taken as well:
//! `/dev/null` shows what tracing costs. When a write fails, as on a full disk, the trace ends, with one warning: what
//! follows a line that is written in part cannot be read. Serving goes on.

mod lines;
mod session;
#[cfg(test)]
mod tests;

pub(crate) use session::SessionTrace;

use lines::{Buffer, Lines};
use rustix::fs::OFlags;
use rustix::process::getpid;
use rustix::thread::gettid;
use rustix::time::{ClockId, clock_gettime};
use std::fmt;
use std::fs::{File, FileType, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long the oldest line waits, if other events come meanwhile, in nanoseconds.
const MAX_AGE: u64 = 200_000_000;

/// How long the end of a trace waits for writes that are under way. It is over only if a process was killed in its write.
const WRITE_GRACE: Duration = Duration::from_secs(1);

/// How often the end of a trace looks whether others have finished.
const LOOK: Duration = Duration::from_millis(1);

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

/// A trace file that is being written; a clone is another handle to the same.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    file: File,
    /// By the system's monotonic clock, in nanoseconds.
    start: u64,
    model: String,
    /// The counts of this process, by [`Count`], and what takes their place where several processes count together.
    own: [AtomicU64; Count::KINDS],
    shared: OnceLock<Counter>,
    buffer: Mutex<Buffer>,
    /// Held by the thread that ends the trace, so that another one that does so too does not end the process meanwhile.
    end: Mutex<()>,
}

/// What is counted for a trace, over all processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Accepted connections, whose count numbers them.
    Connections,
    /// Events that could not be written. With the first one the trace ends.
    Lost,
    /// Forked processes, whose count numbers them.
    Forked,
    /// Forked processes that have not ended their part of the trace.
    Children,
    /// Writes that are under way.
    Writers,
    /// Not 0 once the array is closed, or about to be.
    Closed,
}

impl Count {
    /// How many counts there are.
    pub const KINDS: usize = 6;
}

/// Adds to a count, and wraps. Returns what it was before.
struct Counter(Box<dyn Fn(Count, u64) -> u64 + Send + Sync>);

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counter")
    }
}

/// Returns what a file of this kind is, if no trace is written to it.
fn unsuitable(kind: FileType) -> Option<&'static str> {
    match kind {
        _ if kind.is_file() || kind.is_char_device() => None,
        _ if kind.is_dir() => Some("a directory"),
        _ if kind.is_fifo() => Some("a FIFO or pipe"),
        _ if kind.is_socket() => Some("a socket"),
        _ => Some("a block device"),
    }
}

impl Trace {
    /// Creates the file at `path`, or truncates it.
    ///
    /// # Errors
    ///
    /// It cannot be created or written, it is neither a regular file nor a character device, or another server is
    /// writing its trace there.
    pub fn create(path: &Path, model: &str) -> io::Result<Trace> {
        if let Some(found) = path.metadata().ok().and_then(|found| unsuitable(found.file_type())) {
            let error = format!("expected a regular file, found {found}; name another file");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        // A terminal that takes no output does not hold up the server, nor would a FIFO that has just been made.
        let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
        let file = OpenOptions::new().create(true).append(true).custom_flags(flags).open(path)?;
        if file.metadata()?.is_file() {
            // Not so for a device. The lock belongs to the opened file, so a forked child has
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
        let start = monotonic();
        let mut header = Vec::new();
        let pid = getpid().as_raw_pid();
        let tid = gettid().as_raw_pid();
        // The only line without a comma before it.
        writeln!(
            header,
            "[\n{{\"ph\":\"M\",\"name\":\"clock\",\"ts\":0,\"pid\":{pid},\"tid\":{tid},\
             \"args\":{{\"clock\":\"CLOCK_MONOTONIC\",\"start_ns\":\"{start}\"}}}}"
        )?;
        let mut buffer = Buffer::new();
        buffer.name_process(model);
        let (names, _) = buffer.take();
        header.extend_from_slice(&names);
        buffer.put_back(names);
        (&file).write_all(&header)?;
        Ok(Trace(Arc::new(Shared {
            file,
            start,
            model: model.to_owned(),
            own: Default::default(),
            shared: OnceLock::new(),
            buffer: Mutex::new(buffer),
            end: Mutex::new(()),
        })))
    }

    /// Now.
    pub fn now(&self) -> Moment {
        Moment(monotonic().saturating_sub(self.0.start).max(1))
    }

    /// Writes out what is buffered.
    pub fn flush(&self) {
        self.0.write_out(self.0.lock());
    }

    /// Writes out what is buffered, at the end of a process. The process that has created the trace also closes the
    /// array, and logs how many events are missing. Later events of this process are dropped.
    pub fn end(&self) {
        self.0.end();
        let lost = self.lost();
        if lost > 0 && self.0.lock().process == 0 {
            tracing::info!(lost, "the trace is incomplete");
        }
    }

    /// Waits until the processes that were forked have ended their part of the trace, for as long as `grace`. For the
    /// process that has created it, before [`end`](Trace::end).
    pub fn wait_for_children(&self, grace: Duration) {
        if self.0.lock().process == 0 {
            self.0.wait_until_none(Count::Children, grace);
        }
    }

    /// Drops the parent's unwritten lines, which the parent writes, and names this process. A forked child must call
    /// this first.
    pub fn forked(&self) {
        let process = self.0.add(Count::Forked, 1) + 1;
        self.0.add(Count::Children, 1);
        let mut buffer = self.0.lock();
        buffer.restart(process);
        buffer.name_process(&self.0.model);
    }

    /// Has `add` count, which adds a number to a count, wraps, and returns what the count was before: for several
    /// processes, which else count each for itself. It orders the accesses to all counts (`SeqCst`). Later calls change
    /// nothing.
    pub fn count_by(&self, add: impl Fn(Count, u64) -> u64 + Send + Sync + 'static) {
        let _ = self.0.shared.set(Counter(Box::new(add)));
    }

    /// How many events could not be written.
    pub fn lost(&self) -> u64 {
        self.0.add(Count::Lost, 0)
    }

    /// Records that the connection of `peer` was accepted. Returns its number in the trace, which
    /// [`Session::numbered`](crate::Session::numbered) and [`refused`](Trace::refused) take.
    #[inline(never)]
    pub fn accepted(&self, peer: SocketAddr) -> u32 {
        let number = self.0.add(Count::Connections, 1) as u32 + 1;
        let now = self.now();
        self.record(now, |lines| {
            lines.open("i", b"accept", now);
            lines.text(",\"args\":{\"connection\":");
            lines.number(u64::from(number));
            lines.text(",\"peer\":\"");
            lines.display(peer);
            lines.text("\"}");
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
    pub(crate) fn job(&self, name: &str, start: Moment) {
        let now = self.now();
        self.record(now, |lines| {
            lines.open("X", name.as_bytes(), start);
            lines.duration(start, now);
            lines.close();
        });
    }

    /// Adds lines for something that was seen `now`.
    #[inline(never)]
    fn record(&self, now: Moment, write: impl FnOnce(&mut Lines<'_>)) {
        let mut buffer = self.0.lock();
        if buffer.closed {
            return;
        }
        if buffer.failed {
            self.0.add(Count::Lost, 1);
            return;
        }
        write(&mut buffer.lines(now));
        if buffer.is_due(now, MAX_AGE) {
            self.0.write_out(buffer);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        // A line that a panic has left unfinished is the worst that can be in there, and no code that can
        // panic runs under this lock.
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to a count, and returns what it was before.
    fn add(&self, count: Count, n: u64) -> u64 {
        match self.shared.get() {
            Some(Counter(add)) => add(count, n),
            None => self.own[count as usize].fetch_add(n, Ordering::SeqCst),
        }
    }

    /// Waits until a count is 0, for as long as `grace`.
    #[expect(
        clippy::disallowed_methods,
        reason = "the counts may be in memory of several processes, which this crate cannot wait on; the loop has a deadline"
    )]
    fn wait_until_none(&self, count: Count, grace: Duration) {
        let end = Instant::now() + grace;
        while self.add(count, 0) != 0 && Instant::now() < end {
            thread::sleep(LOOK);
        }
    }

    /// Writes what is buffered. The process that has created the trace closes the array.
    fn end(&self) {
        let _end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = self.lock();
        if std::mem::replace(&mut buffer.closed, true) {
            return;
        }
        let process = buffer.process;
        self.write_out(buffer);
        if process > 0 {
            self.add(Count::Children, 1_u64.wrapping_neg());
            return;
        }
        self.add(Count::Closed, 1);
        self.wait_until_none(Count::Writers, WRITE_GRACE);
        // What follows a line that is written in part cannot be read anyway.
        if self.add(Count::Lost, 0) == 0
            && let Err(error) = self.write(b"]\n")
        {
            tracing::warn!("the trace lacks its closing bracket: {error}");
        }
    }

    /// Writes whole lines, without the lock. The first write that fails, in whichever process, is the last.
    #[inline(never)]
    fn write_out(&self, mut buffer: MutexGuard<'_, Buffer>) {
        if buffer.bytes.is_empty() {
            return;
        }
        let (bytes, lines) = buffer.take();
        drop(buffer);
        // The announcement comes before the look: either the end of the trace waits for this write, or this does not write.
        self.add(Count::Writers, 1);
        let is_closed = self.add(Count::Closed, 0) > 0;
        let outcome = match self.add(Count::Lost, 0) {
            _ if is_closed => Ok(()), // the process that has created the trace did not wait for this one
            0 => self.write(&bytes),
            _ => Err(io::ErrorKind::BrokenPipe.into()), // another process has ended the trace, and said so
        };
        self.add(Count::Writers, 1_u64.wrapping_neg());
        let mut buffer = self.lock();
        buffer.put_back(bytes);
        if let Err(error) = outcome {
            buffer.failed = true;
            drop(buffer);
            if self.add(Count::Lost, lines) == 0 {
                tracing::warn!("the trace ends here: {error}");
            }
        }
    }

    /// Writes all of `bytes` in one call.
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match (&self.file).write(bytes) {
                Ok(n) if n == bytes.len() => return Ok(()),
                Ok(n) => {
                    let all = bytes.len();
                    let error = format!("only {n} of {all} bytes were written; is the disk full?");
                    return Err(io::Error::new(io::ErrorKind::WriteZero, error));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// For a process that passes it on: it stays open in a forked child.
impl AsFd for Trace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end();
    }
}

fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
