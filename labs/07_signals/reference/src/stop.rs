//! A server that reports on SIGUSR1, and on SIGTERM finishes what it has begun, and ends.

// lab:canary curlew-07-stop
use crate::service::Service;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};

// lab:hole handler
static STOP: AtomicBool = AtomicBool::new(false);
static REPORT: AtomicBool = AtomicBool::new(false);

/// Takes note, and nothing else: whatever it interrupts may hold any lock, that of the memory too.
extern "C" fn on_signal(signal: libc::c_int) {
    match signal {
        libc::SIGTERM => STOP.store(true, Ordering::Relaxed),
        _ => REPORT.store(true, Ordering::Relaxed),
    }
}
// lab:stub static STOP: AtomicBool = AtomicBool::new(false);
// lab:stub static REPORT: AtomicBool = AtomicBool::new(false);
// lab:stub
// lab:stub /// It runs in the middle of anything: what may it do, and what must it leave to `serve`?
// lab:stub extern "C" fn on_signal(signal: libc::c_int) {
// lab:stub     let _ = signal;
// lab:stub     todo!("what a handler may do")
// lab:stub }
// lab:end

/// From now on SIGTERM and SIGUSR1 do not end this program. They may come at any time, in whatever number.
pub fn install_handlers() -> io::Result<()> {
    // lab:hole install
    let signals = [Signal::SIGTERM, Signal::SIGUSR1];
    // Blocked, they come only where `serve` waits for them, and interrupt nothing else.
    SigSet::from_iter(signals).thread_block()?;
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
    for signal in signals {
        // SAFETY: the handler stores into atomics.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
    // lab:stub // SA_RESTART, SA_RESETHAND, both or none? It decides what `serve` will notice, and when.
    // lab:stub todo!("install the handler")
    // lab:end
}

/// Serves the requests of `service`, step by step, to the end of its input. After a SIGUSR1 it reports, soon. After a
/// SIGTERM it still finishes the request in hand, begins no other, and returns; at once if it has none in hand, though
/// no request may ever come again. A second SIGTERM changes nothing.
pub fn serve(service: &mut Service) -> io::Result<()> {
    // lab:hole serve
    let mut wait_mask = SigSet::thread_get_mask()?;
    wait_mask.remove(Signal::SIGTERM);
    wait_mask.remove(Signal::SIGUSR1);
    let stdin = io::stdin();
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            service.report()?;
        }
        if STOP.load(Ordering::Relaxed) && !service.busy() {
            return Ok(());
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, None, Some(wait_mask)) {
            Ok(_) if !service.step()? => return Ok(()),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // lab:stub // `service.step()` waits for input. A signal just before it begins to wait is noticed by nobody.
    // lab:stub let _ = service;
    // lab:stub todo!("serve until it is time to stop")
    // lab:end
}
