//! Ctrl-C and SIGTERM: end the transfer first, the program only after.
//!
//! The default action would leave a temporary file behind. Here both signals are blocked in every
//! thread, and a thread of its own waits for them. While a command has a socket it shuts that
//! down: the transfer then fails like any other, cleans up behind itself, and finds the reason in
//! [`take_signal`]. With nothing under way, or at a second signal, it ends the process at once.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{Shutdown, shutdown};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};

static STATE: Mutex<State> = Mutex::new(State { busy: false, socket: None, signal: None });

struct State {
    /// Whether a command is under way.
    busy: bool,
    /// The socket it uses.
    socket: Option<OwnedFd>,
    /// The signal that ended it.
    signal: Option<Signal>,
}

/// A command under way; it lasts as long as this value.
pub(crate) struct CommandGuard(());

/// Handles the signals from now on. Must be called before any other thread starts.
pub(crate) fn watch() {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGINT);
    signals.add(Signal::SIGTERM);
    // The prompt changes the terminal's modes; an exit from another thread must undo that.
    let terminal = tcgetattr(io::stdin()).ok();
    // Where any of this fails the signals keep their default action, which is good enough.
    if signals.thread_block().is_err() {
        return;
    }
    let watcher = thread::Builder::new().name("signals".to_string()).spawn(move || {
        while let Ok(signal) = signals.wait() {
            interrupt(signal, terminal.as_ref())
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

/// The signal that ended the command under way, if one did.
pub(crate) fn signal() -> Option<Signal> {
    state().signal
}

/// Takes the signal that ended the command under way, if one did.
pub(crate) fn take_signal() -> Option<Signal> {
    state().signal.take()
}

impl Drop for CommandGuard {
    fn drop(&mut self) {
        let mut state = state();
        state.busy = false;
        state.socket = None;
    }
}

fn interrupt(signal: Signal, terminal: Option<&Termios>) {
    let mut state = state();
    if state.signal.is_none()
        && let Some(socket) = &state.socket
    {
        let _ = shutdown(socket.as_raw_fd(), Shutdown::Both);
        state.signal = Some(signal);
        return;
    }
    if let Some(terminal) = terminal {
        let _ = tcsetattr(io::stdin(), SetArg::TCSANOW, terminal);
    }
    process::exit(128 + signal as i32);
}

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
