//! The child's side of a start: what happens between `exec` and the entry.

use std::ffi::{CString, OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, exit};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow};

use super::tracked::{self, TRACKER};
use crate::error::{Error, Result};
use crate::sys::{Deadline, backoff, ready};

/// What a child does: a function that gets the arguments of its start.
///
/// When it returns, the child ends: with exit code 0, or with 1 after printing the error. If it panics, the
/// exit code is 101, as that of any Rust program.
pub type Entry = fn(&[String]) -> std::result::Result<(), Box<dyn std::error::Error>>;

/// The first argument of a child. Then follow: entry, name, tether, passed descriptors, arguments.
const MARKER: &str = "--ipc-process";

/// What stands for "none" where a child's arguments hold descriptors.
const NONE: &str = "-";

/// The entries that this program has; `None` before [`init`].
static ENTRIES: Mutex<Option<Vec<String>>> = Mutex::new(None);

/// A child's name.
static NAME: OnceLock<String> = OnceLock::new();

/// The descriptors that a child was given; each can be taken once.
static PASSED: Mutex<Vec<Option<OwnedFd>>> = Mutex::new(Vec::new());

/// Makes the functions of `entries` startable by [`Process::new`](super::Process::new). The first line of `main`.
///
/// In a process that was started as one of them, this runs the function and never returns: the process
/// ends with it. In any other process it notes the names and returns. What stands before this call in `main`
/// happens in every child too; so nothing should.
///
/// Of two entries with one name the first counts. A process that was started for an entry that does not
/// exist, or with the marker but without the rest, ends with exit code 2.
pub fn init(entries: &[(&str, Entry)]) {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == MARKER) {
        run_entry(entries, arguments);
    }
    let names = entries.iter().map(|(name, _)| (*name).to_owned());
    ENTRIES.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().extend(names);
}

/// The name of this process: that which its starter gave it, or `main`.
#[must_use]
pub fn name() -> &'static str {
    NAME.get().map_or("main", String::as_str)
}

/// Takes the descriptor that the parent passed as number `index`, from 0, in the order of its calls of
/// [`Launch::pass`](super::Launch::pass).
///
/// # Errors
///
/// [`Error::Closed`]: there is no such descriptor, or it was taken before.
pub fn passed(index: usize) -> Result<OwnedFd> {
    let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
    passed.get_mut(index).and_then(Option::take).ok_or_else(|| Error::Closed {
        object: format!("descriptor {index} passed to process {}", name()),
    })
}

/// Refuses an entry that the child would not find.
///
/// It also refuses to start anything in a program that never called [`init`]: its child would be a second
/// run of the whole program, which starts a third.
pub(super) fn check_entry(entry: &str) -> Result<()> {
    let refuse =
        |reason| Error::InvalidName { name: entry.to_owned(), kind: "process entry", reason };
    match &*ENTRIES.lock().unwrap_or_else(PoisonError::into_inner) {
        None => Err(refuse("ipc::process::init was not called as the first line of main")),
        Some(names) if entry == TRACKER || names.iter().any(|name| name == entry) => Ok(()),
        Some(_) => Err(refuse("ipc::process::init was called without it")),
    }
}

/// The arguments that tell a child what it is.
pub(super) fn arguments(
    entry: &str,
    name: &str,
    tether: Option<RawFd>,
    passed: &[RawFd],
) -> [String; 5] {
    let tether = tether.map_or_else(|| NONE.to_owned(), |fd| fd.to_string());
    [MARKER.to_owned(), entry.to_owned(), name.to_owned(), tether, join_descriptors(passed)]
}

/// Descriptors as they are told to a child.
pub(super) fn join_descriptors(descriptors: &[RawFd]) -> String {
    match descriptors {
        [] => NONE.to_owned(),
        some => some.iter().map(RawFd::to_string).collect::<Vec<_>>().join(","),
    }
}

fn run_entry(entries: &[(&str, Entry)], arguments: impl Iterator<Item = OsString>) -> ! {
    let arguments: Vec<String> = arguments.map(|a| a.to_string_lossy().into_owned()).collect();
    let [entry, own_name, tether, passed, rest @ ..] = &arguments[..] else {
        exit_usage(&format!("{MARKER} is for children that ipc::process started"));
    };
    let own: &[(&str, Entry)] = &[(TRACKER, tracked::run)];
    let Some((_, function)) = own.iter().chain(entries).find(|(name, _)| name == entry) else {
        exit_usage(&format!("this program has no process entry {entry:?}"));
    };
    let own_name = NAME.get_or_init(|| own_name.clone());
    // The kernel cuts it to 15 bytes. A name is for people: to go on without is no harm.
    let _ = CString::new(own_name.as_str()).map(|name| nix::sys::prctl::set_name(&name));
    if let Some(tether) = inherited(tether).pop() {
        watch_tether(tether.expect("only just adopted"));
    }
    *PASSED.lock().unwrap_or_else(PoisonError::into_inner) = inherited(passed);
    exit(report(own_name, function(rest)))
}

/// Runs a program whose children are its own entries: [`init`] with `entries`, then `main`. All of a program's `main`:
///
/// ```no_run
/// # type Outcome = Result<(), Box<dyn std::error::Error>>;
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     ipc::process::main(&[("greeter", greeter)], story)
/// }
/// # fn greeter(_: &[String]) -> Outcome { Ok(()) }
/// # fn story() -> Outcome { Ok(()) }
/// ```
///
/// An error of `main` is printed to standard error behind the name of the program, as text for people, and the exit code
/// is 1. If `main` or an entry fails because the reader of its standard output has gone (`| head -1`), nothing is printed
/// and the exit code is 0. So print with `writeln!` and `?`: `println!` would panic.
pub fn main(
    entries: &[(&str, Entry)],
    main: impl FnOnce() -> std::result::Result<(), Box<dyn std::error::Error>>,
) -> ExitCode {
    init(entries);
    let program = std::env::args_os().next().map(PathBuf::from);
    let program = program.as_deref().and_then(Path::file_name).unwrap_or(OsStr::new("main"));
    ExitCode::from(report(&program.to_string_lossy(), main()) as u8)
}

/// Prints the error of a process, if there is one, and returns the exit code.
fn report(name: &str, outcome: std::result::Result<(), Box<dyn std::error::Error>>) -> i32 {
    match outcome {
        Ok(()) => 0,
        Err(error) if is_broken_pipe(&*error) && stdout_has_no_reader() => 0,
        Err(error) => {
            // Standard error may be closed, too.
            let _ = writeln!(std::io::stderr(), "{name}: {error}");
            1
        }
    }
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

fn stdout_has_no_reader() -> bool {
    let stdout = std::io::stdout();
    let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    matches!(poll(&mut polled, PollTimeout::ZERO), Ok(1))
}

/// Ends a process that was started as nothing that could be done.
fn exit_usage(reason: &str) -> ! {
    eprintln!("{reason}");
    exit(2)
}

/// Becomes the owner of the descriptors in `list`, which came over `exec`.
fn inherited(list: &str) -> Vec<Option<OwnedFd>> {
    if list == NONE {
        return Vec::new();
    }
    let take = |number: &str| {
        let number: RawFd = number.parse().ok().filter(|&number| number > 2)?;
        // SAFETY: the number is above the standard streams, and fcntl only looks at it: if it is not
        // open, the call below fails and no owner comes to be.
        let descriptor = unsafe { std::os::fd::BorrowedFd::borrow_raw(number) };
        fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
        // SAFETY: the descriptor is open, as fcntl just found, and this is the beginning of `main`, so
        // nothing else in this process can be its owner: the list is read once.
        Some(unsafe { OwnedFd::from_raw_fd(number) })
    };
    list.split(',')
        .map(|number| match take(number) {
            Some(descriptor) => Some(descriptor),
            None => exit_usage(&format!("descriptor {number:?} was not passed")),
        })
        .collect()
}

/// Ends this process when the one that `tether` means, a pidfd of the parent, has ended.
///
/// A thread for itself, since the entry may be busy for long. It takes no signals: those are the entry's.
/// A thread begins with the mask of its creator, so the mask is set before it is there: for a moment later
/// it could take a signal that the entry is about to block.
fn watch_tether(tether: OwnedFd) {
    let tether = Arc::new(tether);
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let deadline = Deadline::monotonic(THREAD_TIMEOUT);
    let mut pauses = backoff(Duration::from_millis(10), Duration::from_secs(1));
    loop {
        let watched = tether.clone();
        let watcher = move || exit_with_parent(&watched, None);
        let outcome = std::thread::Builder::new().name("tether".into()).spawn(watcher);
        let Err(error) = outcome else { break };
        // A shortage of processes, which this one has met half-way, may pass.
        if error.kind() != std::io::ErrorKind::WouldBlock || deadline.left().is_zero() {
            let error = Error::io("the thread that watches the parent", "pthread_create", &error);
            exit_usage(&error.to_string());
        }
        exit_with_parent(&tether, pauses.next());
    }
    if let Ok(mask) = mask {
        let _ = mask.thread_set_mask();
    }
}

/// Waits until the parent ends, and ends this process; returns when `timeout` passes before.
fn exit_with_parent(tether: &OwnedFd, timeout: Option<Duration>) {
    let deadline = timeout.map(Deadline::monotonic);
    match ready("tether", tether.as_fd(), PollFlags::POLLIN, deadline.as_ref()) {
        Err(Error::TimedOut { .. }) => {}
        // SAFETY: `_exit` takes any number and touches no memory of ours. Not `exit`: the entry's thread
        // is in the middle of something, and destructors of the C library must not run at the same time.
        _ => unsafe { libc::_exit(PARENT_DIED) },
    }
}

/// How long a child waits until it gets the thread that watches its parent.
const THREAD_TIMEOUT: Duration = Duration::from_secs(8);

/// The exit code of a child whose parent died; nobody but init will see it.
const PARENT_DIED: i32 = 3;
