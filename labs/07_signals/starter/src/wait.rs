//! To sleep until somebody sends a signal, and to miss none.

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use std::io;

/// Waits until `ready` says so. Whoever makes it so sends SIGUSR1 afterwards, so there is nothing to see as long as no
/// signal comes: `ready` is asked at the beginning, and again after a signal. A signal may also come for no reason.
///
/// Which signals are blocked is as before when this returns.
pub fn wait_until(mut ready: impl FnMut() -> bool) -> io::Result<()> {
    // hole: wait
    // If the signal comes between your look and your `pause`: who wakes you? man 2 sigsuspend.
    let _ = &mut ready;
    todo!("sleep until it is ready")
}
