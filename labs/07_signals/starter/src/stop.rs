//! A server that reports on SIGUSR1, and on SIGTERM finishes what it has begun, and ends.

use crate::desk::Desk;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

// hole: handler
static STOP: AtomicBool = AtomicBool::new(false);
static REPORT: AtomicBool = AtomicBool::new(false);

/// It runs in the middle of anything: what may it do, and what must it leave to `serve`?
extern "C" fn on_signal(signal: libc::c_int) {
    let _ = signal;
    todo!("what a handler may do")
}

/// From now on SIGTERM and SIGUSR1 do not end this program. They may come at any time, in whatever number.
pub fn watch() -> io::Result<()> {
    // hole: watch
    // SA_RESTART, SA_RESETHAND, both or none? It decides what `serve` will notice, and when.
    todo!("install the handler")
}

/// Serves the requests of `desk`, step by step, to the end of its input. After a SIGUSR1 it reports, soon. After a
/// SIGTERM it still finishes the request in hand, begins no other, and returns; at once if it has none in hand, though
/// no request may ever come again. A second SIGTERM changes nothing.
pub fn serve(desk: &mut Desk) -> io::Result<()> {
    // hole: serve
    // `desk.step()` waits for input. A signal just before it begins to wait is noticed by nobody.
    let _ = desk;
    todo!("serve until it is time to stop")
}
