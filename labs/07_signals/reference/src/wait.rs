//! To sleep until somebody sends a signal, and to miss none.

// lab:canary plover-07-wait
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction};
use std::io;

/// Waits until `ready` says so. Whoever makes it so sends SIGUSR1 afterwards, so there is nothing to see as long as no
/// signal comes: `ready` is asked at the beginning, and again after a signal. A signal may also come for no reason.
///
/// Which signals are blocked is as before when this returns.
pub fn wait_until(mut ready: impl FnMut() -> bool) -> io::Result<()> {
    // lab:hole wait
    extern "C" fn wake(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(wake), SaFlags::empty(), SigSet::empty());
    // Blocked, a signal is kept until somebody waits for it, however early it comes.
    let before = SigSet::from(Signal::SIGUSR1).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    // SAFETY: the handler does nothing. It is there because the signal would otherwise end the program.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    let mut wait_mask = before;
    wait_mask.remove(Signal::SIGUSR1);
    while !ready() {
        // Lets the signal through and sleeps, both in one step; blocks it again before it returns.
        wait_mask.suspend()?;
    }
    Ok(before.thread_set_mask()?)
    // lab:stub // If the signal comes between your look and your `pause`: who wakes you? man 2 sigsuspend.
    // lab:stub let _ = &mut ready;
    // lab:stub todo!("sleep until it is ready")
    // lab:end
}
