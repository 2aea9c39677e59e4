//! The log: one line per event on standard error, which neither delays nor ends the server.
//!
//! The disk of a log may be full, and the reader of a pipe may be gone or slow. A line that cannot be written at once
//! is lost and counted. The next line that can be written comes after one with the count. Each process counts its own.
//!
//! **At once.** A write to a pipe or a terminal waits while nobody reads from it. `O_NONBLOCK` would prevent
//! that, but it belongs to the open file description, which the server shares with the program that started it. So
//! [`start`] opens the same pipe or terminal again, with a description of the server's own. That fails for a socket,
//! and for the pipe of another user. There poll(2) is asked before each line: Linux reports `POLLOUT` for a pipe that
//! has a page free, and a line is at most a page ([`PIPE_BUF`]). Only another process that takes the page between the
//! two calls can then hold up a line.

use crate::timeout::timeout_until;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::{Errno, retry_on_intr};
use std::borrow::Cow;
use std::fmt::{Arguments, Write as _};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// The longest line, in bytes: a pipe takes so much in one piece, or nothing.
const PIPE_BUF: usize = 4096;

/// How long [`print`] waits for a reader of standard output.
const STDOUT_TIMEOUT: Duration = Duration::from_secs(1);

static LOG: Mutex<Log> = Mutex::new(Log { lost: 0, pid: 0, torn: false });

/// Whether a write to standard error may wait, so that poll(2) is to be asked before.
static MAY_WAIT: AtomicBool = AtomicBool::new(true);

/// Starts the log at the level that `-v`, given `verbose` times, selects.
pub(crate) fn start(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::DEBUG,
    };
    MAY_WAIT.store(own_description().is_err(), Ordering::Relaxed);
    // Fails where the process logs already, which is as well.
    let _ = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        .with_writer(|| LineWriter)
        .try_init();
}

/// Opens the pipe or terminal behind standard error again, in non-blocking mode, and puts it in the old one's place.
fn own_description() -> io::Result<()> {
    const STDERR: &str = "/proc/self/fd/2";
    let kind = std::fs::metadata(STDERR)?.file_type();
    if kind.is_file() {
        return Ok(()); // a disk has no reader to wait for
    }
    if !kind.is_fifo() && !kind.is_char_device() {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits() as i32;
    let own: File = OpenOptions::new().append(true).custom_flags(flags).open(STDERR)?;
    Ok(rustix::stdio::dup2_stderr(own)?)
}

/// Logs an error that ends the server, in the form of the errors of the command line.
pub(crate) fn line(text: Arguments<'_>) {
    lock().line(format!("{text}\n").as_bytes());
}

/// Logs how many lines are missing, if any are and it is possible again.
pub(crate) fn end() {
    lock().report_lost();
}

/// Writes `text` to standard output, which may have no reader or a slow one: what it does not take within a second is
/// left out.
pub fn print(text: &str) {
    let stdout = io::stdout();
    let until = Instant::now() + STDOUT_TIMEOUT;
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        let mut fds = [PollFd::new(&stdout, PollFlags::OUT)];
        // A piece of this size does not wait: see above.
        let piece = &rest[..rest.len().min(PIPE_BUF)];
        match poll(&mut fds, timeout_until(until).as_ref()).and_then(|ready| match ready {
            0 => Err(Errno::TIMEDOUT),
            _ => rustix::io::write(&stdout, piece),
        }) {
            Ok(written) => rest = &rest[written..],
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(_) => return,
        }
    }
}

/// What is missing in the log of this process.
struct Log {
    lost: u64,
    /// The process that has lost the lines: a forked child inherits the count of its parent.
    pid: u32,
    /// The last line has no end, as the disk was full in the middle of it.
    torn: bool,
}

fn lock() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    fn line(&mut self, line: &[u8]) {
        self.report_lost();
        if self.lost > 0 || !self.write(&cut(line)) {
            self.lost += 1;
            self.pid = process::id();
        }
    }

    fn report_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let pid = process::id();
        let mut line = String::new();
        // Writing to a String cannot fail.
        let _ = SystemTime.format_time(&mut Writer::new(&mut line));
        let _ = writeln!(line, "  WARN log lines lost count={} pid={pid}", self.lost);
        if self.pid != pid || self.write(line.as_bytes()) {
            self.lost = 0;
        }
    }

    /// Writes the line without waiting. Returns whether it is written, all of it.
    fn write(&mut self, line: &[u8]) -> bool {
        self.torn = self.torn && write_at_once(b"\n") == 0;
        if self.torn {
            return false;
        }
        let written = write_at_once(line);
        self.torn = 0 < written && written < line.len();
        written == line.len()
    }
}

/// Writes to standard error what it takes without waiting. Returns the number of bytes.
fn write_at_once(bytes: &[u8]) -> usize {
    let stderr = io::stderr();
    if MAY_WAIT.load(Ordering::Relaxed) {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        if poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], Some(&now)) != Ok(1) {
            return 0;
        }
    }
    retry_on_intr(|| rustix::io::write(&stderr, bytes)).unwrap_or(0)
}

/// Shortens a line that is too long; it then ends in an ellipsis.
fn cut(line: &[u8]) -> Cow<'_, [u8]> {
    const END: &str = "…\n";
    if line.len() <= PIPE_BUF {
        return line.into();
    }
    let text = String::from_utf8_lossy(line);
    let end = text.floor_char_boundary(PIPE_BUF - END.len());
    format!("{}{END}", &text[..end]).into_bytes().into()
}

/// What a line of the log is written to. It never fails: the subscriber prints such failures, and a failure to print
/// is a panic.
struct LineWriter;

impl io::Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        lock().line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_line_is_cut_between_characters() {
        let line = |n| format!("{}\n", "é".repeat(n)).into_bytes();
        assert_eq!(*cut(&line(2047)), line(2047));
        let long = cut(&line(2048)).into_owned();
        assert_eq!(String::from_utf8(long).unwrap(), format!("{}…\n", "é".repeat(2046)));
    }
}
