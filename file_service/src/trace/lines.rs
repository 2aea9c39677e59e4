//! The lines of a trace: the buffer of this process, and how an event is formatted into it.

use super::Moment;
use rustix::process::getpid;
use rustix::thread::gettid;
use std::cell::Cell;
use std::io::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fmt, thread};

/// A buffer of this size, in bytes, is written out: the page cache takes few large pieces for half the price of many
/// small ones.
pub(super) const FULL: usize = 63 * 1024;

/// Room for the lines that one call adds to a buffer that is not full.
pub(super) const ROOM: usize = 1024;

/// Room for any number, with a fraction or without.
const NUMBER_LENGTH: usize = 24;

/// Room for what [`Lines::slice`] writes.
const SLICE_LENGTH: usize = 512;

/// Numbers the buffers of this process and its ancestors.
static GENERATIONS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// The number of this thread, and the generation of the buffer that holds its name.
    static THREAD: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// The lines of this process that are not yet in the file.
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    /// Takes the place of `bytes` while those are written.
    spare: Vec<u8>,
    lines: u64,
    /// When the oldest line was added, in nanoseconds.
    oldest: u64,
    pid: u32,
    /// Distinguishes this process's threads from those that a fork has left behind.
    generation: u32,
    pub(super) failed: bool,
    /// The array is closed, or is about to be: no line may follow.
    pub(super) closed: bool,
    /// The number of this process among those that were forked, from 1; 0 in the one that began the trace.
    pub(super) process: u64,
    /// How many threads of this process have a name in the trace, and how many of those have their number from it.
    threads: u64,
    numbered: u64,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("lines", &self.lines).finish_non_exhaustive()
    }
}

impl Buffer {
    pub(super) fn new() -> Buffer {
        Buffer::over(allocate())
    }

    fn over(bytes: Vec<u8>) -> Buffer {
        Buffer {
            bytes,
            spare: Vec::new(),
            lines: 0,
            oldest: 0,
            pid: getpid().as_raw_pid().unsigned_abs(),
            generation: GENERATIONS.fetch_add(1, Ordering::Relaxed) + 1,
            failed: false,
            closed: false,
            process: 0,
            threads: 0,
            numbered: 0,
        }
    }

    /// Empties the buffer in a forked child, the `process`th of them; the allocations stay.
    pub(super) fn restart(&mut self, process: u64) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let spare = std::mem::take(&mut self.spare);
        let (failed, closed) = (self.failed, self.closed);
        *self = Buffer { failed, closed, process, spare, ..Buffer::over(bytes) };
    }

    /// Returns a writer of lines about something that the calling thread has seen `now`.
    ///
    /// The thread is looked up at every call and never remembered: a coroutine may be on another one by
    /// the next.
    pub(super) fn lines(&mut self, now: Moment) -> Lines<'_> {
        let tid = self.thread();
        if self.lines == 0 {
            self.oldest = now.0;
        }
        Lines { buffer: self, tid }
    }

    /// Returns the calling thread's number. The first time it also names the thread.
    fn thread(&mut self) -> u32 {
        let (tid, generation) = THREAD.get();
        if generation == self.generation {
            return tid;
        }
        let tid = gettid().as_raw_pid().unsigned_abs();
        THREAD.set((tid, self.generation));
        self.name_thread(tid);
        tid
    }

    /// Whether it is time to write the lines out: the buffer is full, or its oldest line older than `max_age` nanoseconds.
    pub(super) fn is_due(&self, now: Moment, max_age: u64) -> bool {
        self.bytes.len() >= FULL || now.0.saturating_sub(self.oldest) > max_age
    }

    /// Takes out the lines and their number, and continues with the spare allocation.
    pub(super) fn take(&mut self) -> (Vec<u8>, u64) {
        let lines = std::mem::take(&mut self.lines);
        // The spare is missing if another thread is still writing, which is rare.
        let spare = match std::mem::take(&mut self.spare) {
            spare if spare.capacity() == 0 => allocate(),
            spare => spare,
        };
        (std::mem::replace(&mut self.bytes, spare), lines)
    }

    /// Puts back the allocation of lines that are written.
    pub(super) fn put_back(&mut self, mut bytes: Vec<u8>) {
        bytes.clear();
        self.spare = bytes;
    }

    /// Names this process, and the calling thread, which is its first.
    pub(super) fn name_process(&mut self, model: &str) {
        let (pid, process) = (self.pid, self.process);
        match process {
            0 => self.metadata("process_name", pid, "name", format_args!("\"{model}\"")),
            _ => {
                let name = format_args!("\"{model} process {process}\"");
                self.metadata("process_name", pid, "name", name);
            }
        }
        self.metadata("process_sort_index", pid, "sort_index", format_args!("{process}"));
        self.thread();
    }

    /// Names a thread as the system does. One whose name has no number, which it may share with others, has one here.
    fn name_thread(&mut self, tid: u32) {
        let index = self.threads;
        self.threads += 1;
        let current = thread::current();
        // The scheduler of a library may not have named its threads.
        let name = current.name().unwrap_or("worker");
        if index == 0 && self.process > 0 {
            // It is all that most forked children have.
            let process = self.process;
            self.metadata("thread_name", tid, "name", format_args!("\"process {process}\""));
        } else if index == 0 || name.ends_with(|last: char| last.is_ascii_digit()) {
            self.metadata("thread_name", tid, "name", format_args!("\"{name}\""));
        } else {
            self.numbered += 1;
            let number = self.numbered;
            self.metadata("thread_name", tid, "name", format_args!("\"{name} {number}\""));
        }
        self.metadata("thread_sort_index", tid, "sort_index", format_args!("{index}"));
    }

    /// Adds a line of metadata about a thread, with one argument, whose value is JSON.
    fn metadata(&mut self, what: &str, tid: u32, key: &str, value: fmt::Arguments<'_>) {
        let mut lines = Lines { buffer: self, tid };
        lines.open("M", what.as_bytes(), Moment(0));
        lines.text(",\"args\":{\"");
        lines.text(key);
        lines.text("\":");
        lines.display(value);
        lines.text("}");
        lines.close();
    }
}

fn allocate() -> Vec<u8> {
    Vec::with_capacity(FULL + ROOM)
}

/// Adds lines for one thread.
pub(super) struct Lines<'a> {
    buffer: &'a mut Buffer,
    tid: u32,
}

impl Lines<'_> {
    /// Begins an event with the members that all have.
    pub(super) fn open(&mut self, phase: &str, name: &[u8], at: Moment) {
        self.text(",{\"ph\":\"");
        self.text(phase);
        self.text("\",\"name\":\"");
        self.buffer.bytes.extend_from_slice(name);
        self.text("\",\"ts\":");
        self.micros(at.0);
        self.text(",\"pid\":");
        self.number(u64::from(self.buffer.pid));
        self.text(",\"tid\":");
        self.number(u64::from(self.tid));
    }

    pub(super) fn close(&mut self) {
        self.text("}\n");
        self.buffer.lines += 1;
    }

    /// Writes a worker's time slice for a request, and what has happened in it. This is written for every
    /// request, so it is formatted by hand, and what the lines have in common is formatted once.
    pub(super) fn slice(
        &mut self,
        name: &[u8],
        waited: Option<u64>,
        (start, end): (Moment, Moment),
        first_byte: Moment,
        finish: Option<&str>,
        connection: u32,
    ) {
        let (pid, tid) = (self.buffer.pid, self.tid);
        self.buffer.lines += 1;
        self.in_place::<SLICE_LENGTH>(|out| {
            out.put(b",{\"ph\":\"X\",\"name\":\"");
            out.append(name);
            out.put(b"\",\"ts\":");
            out.micros(start.0);
            out.put(b",\"dur\":");
            out.micros(end.0.saturating_sub(start.0));
            let common = out.at;
            out.put(b",\"pid\":");
            out.number(u64::from(pid));
            out.put(b",\"tid\":");
            out.number(u64::from(tid));
            out.put(b",\"args\":{\"connection\":");
            out.number(u64::from(connection));
            let common = common..out.at;
            if let Some(waited) = waited {
                out.put(b",\"waited\":");
                out.micros(waited);
            }
            if first_byte == end && finish.is_some() {
                // Two more lines would add nothing, and bytes are most of what tracing costs.
                out.put(b",\"at_once\":true}}\n");
                return;
            }
            out.put(b"}}\n");
            if first_byte.0 != 0 {
                out.put(b",{\"ph\":\"i\",\"name\":\"first byte\",\"ts\":");
                out.micros(first_byte.0);
                out.repeat(common.clone());
                out.put(b"}}\n");
            }
            if let Some(how) = finish {
                out.put(b",{\"ph\":\"i\",\"name\":\"finish\",\"ts\":");
                out.micros(end.0);
                out.repeat(common);
                out.append(how.as_bytes());
                out.put(b"}}\n");
            }
        });
    }

    /// Lets `write` format at most `N` bytes in place.
    fn in_place<const N: usize>(&mut self, write: impl FnOnce(&mut ByteWriter<'_>)) {
        let bytes = &mut self.buffer.bytes;
        let begin = bytes.len();
        bytes.resize(begin + N, 0);
        let mut out = ByteWriter { room: &mut bytes[begin..], at: 0 };
        write(&mut out);
        let end = begin + out.at;
        bytes.truncate(end);
    }

    /// Writes one end of an async slice in the lane of a connection.
    pub(super) fn asynchronous(&mut self, phase: &str, name: &[u8], at: Moment, connection: u32) {
        self.open(phase, name, at);
        self.text(",\"cat\":\"connection\",\"id\":\"");
        self.number(u64::from(connection));
        self.text("\"");
        self.close();
    }

    pub(super) fn duration(&mut self, from: Moment, to: Moment) {
        self.text(",\"dur\":");
        self.micros(to.0.saturating_sub(from.0));
    }

    /// Ends an event with the number of its connection.
    pub(super) fn connection(&mut self, number: u32) {
        self.text(",\"args\":{\"connection\":");
        self.number(u64::from(number));
        self.text("}");
        self.close();
    }

    pub(super) fn text(&mut self, text: &str) {
        self.buffer.bytes.extend_from_slice(text.as_bytes());
    }

    pub(super) fn display(&mut self, value: impl fmt::Display) {
        // Writing to a Vec cannot fail.
        let _ = write!(self.buffer.bytes, "{value}");
    }

    fn micros(&mut self, nanos: u64) {
        self.in_place::<NUMBER_LENGTH>(|out| out.micros(nanos));
    }

    pub(super) fn number(&mut self, n: u64) {
        self.in_place::<NUMBER_LENGTH>(|out| out.number(n));
    }
}

/// Formats text in place. Done by hand, since this is most of what tracing costs: `write!` takes
/// several times as long, and appending piece by piece to a vector twice as long.
struct ByteWriter<'a> {
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

impl ByteWriter<'_> {
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

    /// Writes nanoseconds as microseconds with a fraction.
    fn micros(&mut self, nanos: u64) {
        self.number(nanos / 1000);
        let fraction = (nanos % 1000) as usize;
        let [tens, ones] = PAIRS[fraction % 100];
        self.put(&[b'.', b'0' + (fraction / 100) as u8, tens, ones]);
    }

    /// Writes the digits in place: itoa takes a third longer for an event, since it writes them elsewhere first.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_decimal() {
        let mut buffer = Buffer::new();
        let mut lines = Lines { buffer: &mut buffer, tid: 0 };
        for n in [0, 7, 1234567890, u64::MAX] {
            lines.number(n);
            lines.text(" ");
        }
        lines.micros(1_002_003);
        lines.text(" ");
        lines.micros(9);
        assert_eq!(buffer.bytes, b"0 7 1234567890 18446744073709551615 1002.003 0.009");
    }
}
