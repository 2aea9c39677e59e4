//! The children of a server: started, counted, and waited for. Both programs use it.

// lab:canary wagtail-08-children
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

// Atomic, so that a signal handler may count as well.
static SERVED: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);

/// Counts a child by the status that it has left: 0 is a client served, all else one lost. A signal handler may call it.
pub fn record(status: libc::c_int) {
    let served = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    let count = if served { &SERVED } else { &LOST };
    count.fetch_add(1, Relaxed);
}

/// How many children have served their client, and how many have not: of those that were waited for.
pub fn counts() -> (u32, u32) {
    (SERVED.load(Relaxed), LOST.load(Relaxed))
}

/// Does `work`. Returns its code, or 101 if it panics. A child that panics must not unwind into the parent's code.
pub fn catch_panic(work: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(101)
}

/// Starts a child that does `work` (see [`catch_panic`]) and exits with its code, without returning
/// from here. Returns the child's process ID, or why there is no child.
pub fn spawn(work: impl FnOnce() -> i32) -> io::Result<libc::pid_t> {
    // lab:hole fork
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = catch_panic(work);
            // Not `exit`: it would write out what the parent has in its buffers, once more.
            // SAFETY: it takes an integer and does not return.
            unsafe { libc::_exit(code) }
        }
        child => Ok(child),
    }
    // lab:stub // Lab 06: how does the child end, and what of the parent's is in its buffers?
    // lab:stub let _ = work;
    // lab:stub todo!("a child that does its work and ends")
    // lab:end
}

/// Called once, before the first child is started.
pub fn prepare() -> io::Result<()> {
    // lab:hole prepare
    extern "C" fn on_sigchld(_: libc::c_int) {
        // SAFETY: errno is this thread's. What `reap` calls is async-signal-safe: waitpid, and atomic counters.
        unsafe {
            let errno = *libc::__errno_location();
            reap();
            *libc::__errno_location() = errno;
        }
    }
    // SAFETY: all zero is a valid sigaction; the handler does what a handler may.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigchld as *const () as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    // lab:stub // Is there anything to prepare, so that children which end are waited for in time?
    // lab:stub // Leave it like this if your `reap` needs nothing.
    // lab:stub Ok(())
    // lab:end
}

/// Waits for all children that have ended, notes each, and does not wait for those that live. Called before the
/// program waits for its next client, and by whatever [`watch`] has arranged.
pub fn reap() {
    // lab:hole reap
    let mut status = 0;
    // SAFETY: `status` is a number of the right type and lives through the call.
    while unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } > 0 {
        record(status);
    }
    // lab:stub // Nothing yet: look at `ps` after a client has gone.
    // lab:end
}

/// Waits until no child is left, and notes each.
pub fn reap_all() -> io::Result<()> {
    // lab:hole reap-all
    loop {
        let mut status = 0;
        // SAFETY: `status` is a number of the right type and lives through the call.
        if unsafe { libc::waitpid(-1, &mut status, 0) } > 0 {
            record(status);
            continue;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ECHILD) => return Ok(()),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
    // lab:stub // Several may be alive still. Which error says that there is none?
    // lab:stub todo!("wait for all that are left")
    // lab:end
}
