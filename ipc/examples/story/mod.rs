//! How the examples print: one line for each act, behind the name and the pid of the process that acts. And how the first
//! process of an example waits for the others, of which each may be killed at any moment.

#![allow(dead_code, unused_macros, unused_imports)] // An example may need some of it.

use std::borrow::Borrow;
use std::error::Error;
use std::fmt::Arguments;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ipc::process::Process;
use ipc::shared::Memory;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Prints what this process does, as `println!` would, behind its name and pid. Fails, and does not panic, when the
/// reader of the output has gone.
macro_rules! say {
    ($($act:tt)*) => { $crate::story::act(format_args!($($act)*)) };
}
pub(crate) use say;

/// Prints a line to the reader, behind no name.
macro_rules! note {
    ($($text:tt)*) => { $crate::story::line(format_args!($($text)*)) };
}
pub(crate) use note;

pub(crate) fn act(act: Arguments<'_>) -> io::Result<()> {
    let process = format!("{}[{}]", ipc::process::name(), std::process::id());
    line(format_args!("{}", wrap(format!("{process:<16} {act}"))))
}

/// Continues a text of more than 100 columns (an error with its advice) in further lines.
fn wrap(text: String) -> String {
    let end = text.char_indices().nth(100).map_or(0, |(end, _)| end);
    match text[..end].trim_end().rsplit_once(' ') {
        Some((first, _)) if !first.trim_start().is_empty() => {
            let rest = format!("{:21}{}", "", &text[first.len() + 1..]);
            format!("{first}\n{}", wrap(rest))
        }
        _ => text,
    }
}

/// One write for a line: several processes share the terminal.
pub(crate) fn line(text: Arguments<'_>) -> io::Result<()> {
    io::stdout().lock().write_all(format!("{text}\n").as_bytes())
}

/// Longer than any act takes on a slow machine; only a fault reaches it.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Waits until all have ended with success. The first that fails ends the wait with an error.
pub(crate) fn join_all(processes: &[impl Borrow<Process>]) -> Result<(), Box<dyn Error>> {
    let deadline = Instant::now() + LIMIT;
    loop {
        let running = running(processes)?;
        let Some(first) = running.first() else { return Ok(()) };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let (name, pid) = (first.name(), first.pid());
            return Err(format!("{name}[{pid}] has not ended within {LIMIT:?}").into());
        }
        wait_for_end(&running, left)?;
    }
}

/// Waits for something that `processes` are to do: repeats `wait`, a tenth of a second each time, and looks in between
/// whether one of them has failed, which is an error.
pub(crate) fn while_alive<T>(
    processes: &[impl Borrow<Process>],
    mut wait: impl FnMut(Duration) -> ipc::Result<T>,
) -> Result<T, Box<dyn Error>> {
    let deadline = Instant::now() + LIMIT;
    let mut last = false;
    loop {
        let error = match wait(Duration::from_millis(100)) {
            Ok(outcome) => return Ok(outcome),
            Err(error) => error,
        };
        // The failure of a process is the better explanation.
        let running = running(processes)?;
        if last || !matches!(error, ipc::Error::TimedOut { .. }) {
            return Err(error.into());
        }
        // What a process did before its end is found by one more wait.
        last = running.is_empty() || Instant::now() >= deadline;
    }
}

/// A name that no other process has, for a path or an object. The pid alone is not enough: processes of two containers that
/// share a directory may have the same.
pub(crate) fn unique_name(kind: &str) -> String {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("ipc-example-{kind}-{}-{:x}", std::process::id(), time.subsec_nanos())
}

/// Reads one line from the standard output of `process`, a pipe, and prints it. The end of the pipe instead of a line
/// means that it has died.
pub(crate) fn relay(process: &mut Process) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    if let Some(stdout) = process.take_stdout() {
        BufReader::new(stdout).read_line(&mut text)?;
    }
    match text.strip_suffix('\n') {
        Some(text) => Ok(line(format_args!("{text}"))?),
        None => {
            join_all(&[process])?;
            Err("a process has ended without a word".into())
        }
    }
}

/// The descriptor of nameless shared memory, to be passed to a process.
pub(crate) fn descriptor(memory: &Memory) -> Result<OwnedFd, Box<dyn Error>> {
    copy(memory.descriptor().ok_or("this memory has no descriptor")?)
}

/// A copy of a descriptor, to be passed to a process while this one keeps its own.
pub(crate) fn copy(descriptor: BorrowedFd<'_>) -> Result<OwnedFd, Box<dyn Error>> {
    let copied = descriptor.try_clone_to_owned();
    copied.map_err(|error| format!("cannot copy a descriptor for another process: {error}").into())
}

/// Those that have not ended. An error if one has failed, or if the reader of the output has gone: then all of them end.
fn running(processes: &[impl Borrow<Process>]) -> Result<Vec<&Process>, Box<dyn Error>> {
    if wait_for_end(&[], Duration::ZERO)? {
        return Err(io::Error::from(io::ErrorKind::BrokenPipe).into());
    }
    let (mut running, mut failed) = (Vec::new(), Vec::new());
    for process in processes.iter().map(Borrow::borrow) {
        match process.exit()? {
            None => running.push(process),
            Some(exit) if exit.success() => {}
            Some(exit) => {
                failed.push(format!("{}[{}] ended with {exit}", process.name(), process.pid()));
            }
        }
    }
    if failed.is_empty() { Ok(running) } else { Err(failed.join(", ").into()) }
}

/// Waits until one of `processes` has ended or the reader of the output has gone. Returns whether the reader has gone.
fn wait_for_end(processes: &[&Process], timeout: Duration) -> Result<bool, Box<dyn Error>> {
    let stdout = io::stdout();
    // No event is asked for, so that only the end of the reader wakes.
    let mut polled = vec![PollFd::new(stdout.as_fd(), PollFlags::empty())];
    polled.extend(processes.iter().map(|process| PollFd::new(process.as_fd(), PollFlags::POLLIN)));
    poll(&mut polled, PollTimeout::try_from(timeout)?)?;
    Ok(polled[0].any() == Some(true))
}
