//! Ctrl-C, SIGTERM and every other signal that ends a program: end the transfer first, the program
//! only after.
//!
//! The default action would leave a temporary file behind. Here the signals are blocked in every
//! thread, and a thread of its own reads them from a signalfd. While a command has a socket, the
//! thread shuts that down: the transfer then fails like any other, cleans up, and finds the
//! reason in [`take_signal`]. A wait for the reader of a FIFO ends because the thread opens the FIFO
//! for reading. With nothing under way, the thread ends the process at once.
//! It also does so when the command is still not done after [`GRACE`], which means that the command
//! waits for the reader of its output.
//!
//! Not handled are the signals that report a fault of the program itself (SIGSEGV and the like,
//! whose core dump is of use), those that stop and continue a job, and those that were ignored when
//! the program started, as SIGHUP is under `nohup`.
//!
//! SIGXFSZ is among the blocked ones: a write beyond the limit on file sizes sends it to the
//! writing thread, where it stays pending, and fails with EFBIG.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::libc::O_NONBLOCK;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{getpgrp, tcgetpgrp};

/// How long a command may take to end after a signal.
const GRACE: Duration = Duration::from_secs(1);

/// Signals that keep their action: faults of the program itself, job control, and those that end
/// nothing.
const NOT_HANDLED: [Signal; 13] = [
    Signal::SIGILL,
    Signal::SIGTRAP,
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGCONT,
    Signal::SIGCHLD,
    Signal::SIGURG,
    Signal::SIGWINCH,
];

static STATE: Mutex<State> =
    Mutex::new(State { busy: false, socket: None, fifo: None, reader: None, signal: None });

/// Notified when a command has ended or has seen its signal.
static ENDED: Condvar = Condvar::new();

struct State {
    /// Whether a command is under way.
    busy: bool,
    /// The socket it uses.
    socket: Option<OwnedFd>,
    /// The FIFO for whose reader it waits.
    fifo: Option<PathBuf>,
    /// The reader that ends this wait.
    reader: Option<File>,
    /// The signal that ended the command.
    signal: Option<u8>,
}

/// A command under way; it lasts as long as this value.
pub(crate) struct CommandGuard(());

/// Handles the signals from now on. Must be called before any other thread starts.
pub(crate) fn watch() {
    let signals = handled();
    // The prompt changes the terminal's modes; an exit from another thread must undo that.
    let terminal = tcgetattr(io::stdin()).ok();
    // Where any of this fails the signals keep their default action, which is good enough.
    let Ok(source) = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC) else { return };
    if signals.thread_block().is_err() {
        return;
    }
    let watcher = thread::Builder::new().name("signals".to_string()).spawn(move || {
        while let Ok(Some(signal)) = source.read_signal() {
            // A signal's number is at most 64.
            interrupt(signal.ssi_signo as u8, terminal.as_ref())
        }
    });
    if watcher.is_err() {
        let _ = signals.thread_unblock();
    }
}

/// Begins a command.
pub(crate) fn begin_command() -> CommandGuard {
    state().busy = true;
    CommandGuard(())
}

/// Registers the socket that the command under way uses, if one is.
pub(crate) fn register_socket(socket: io::Result<impl Into<OwnedFd>>) {
    let mut state = state();
    if state.busy {
        state.socket = socket.ok().map(Into::into);
    }
}

/// Opens the FIFO `path` for writing, as soon as it has a reader. A signal ends the wait: the
/// caller then finds it in [`signal`].
pub(crate) fn open_fifo(path: &Path, options: &OpenOptions) -> io::Result<File> {
    let mut before = state();
    if before.signal.is_some() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    before.fifo = Some(path.to_path_buf());
    drop(before);
    let opened = options.open(path);
    let mut state = state();
    (state.fifo, state.reader) = (None, None);
    opened
}

/// The signal that ended the command under way, if one did.
pub(crate) fn signal() -> Option<u8> {
    state().signal
}

/// Takes the signal that ended the command under way, if one did.
pub(crate) fn take_signal() -> Option<u8> {
    let signal = state().signal.take();
    ENDED.notify_all();
    signal
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        let mut state = state();
        state.busy = false;
        state.socket = None;
        ENDED.notify_all();
    }
}

/// Every signal that would end the program, but for [`NOT_HANDLED`] and what is ignored.
fn handled() -> SigSet {
    let ignored = ignored();
    let mut signals = SigSet::all();
    for signal in Signal::iterator() {
        if NOT_HANDLED.contains(&signal) || ignored & (1 << (signal as u32 - 1)) != 0 {
            signals.remove(signal);
        }
    }
    signals
}

/// The signals that are ignored, as a set of bits, of which the lowest is signal 1. Reading the
/// kernel's account is the way that needs no `unsafe`.
fn ignored() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        // What Rust's runtime ignores.
        .unwrap_or(1 << (Signal::SIGPIPE as u32 - 1))
}

fn interrupt(signal: u8, terminal: Option<&Termios>) {
    let mut state = state();
    if state.signal.is_some() && state.busy {
        // The command is ending already.
        return;
    }
    if state.socket.is_none() && state.fifo.is_none() {
        end(signal, terminal);
    }
    state.signal = Some(signal);
    if let Some(socket) = &state.socket {
        let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
    }
    if let Some(fifo) = &state.fifo {
        state.reader = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(fifo).ok();
    }
    drop(state);
    let terminal = terminal.cloned();
    // Without a thread for it the command has all the time it wants.
    let _ = thread::Builder::new().name("grace".to_string()).spawn(move || {
        let (state, waited) = ENDED
            .wait_timeout_while(self::state(), GRACE, |state| state.busy && state.signal.is_some())
            .unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            end(signal, terminal.as_ref());
        }
        drop(state);
    });
}

/// Ends the process, with the terminal as it was found.
fn end(signal: u8, terminal: Option<&Termios>) -> ! {
    // From the background, the terminal is another job's, and setting it would stop this one.
    if let Some(terminal) = terminal
        && tcgetpgrp(io::stdin()) == Ok(getpgrp())
    {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, terminal);
    }
    process::exit(128 + i32::from(signal));
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
