//! The children of a server: begun, counted, and waited for. Both programs use it.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

// Atomic, so that a signal handler may count as well.
static SERVED: AtomicU32 = AtomicU32::new(0);
static LOST: AtomicU32 = AtomicU32::new(0);

/// Counts a child by the status that it has left: 0 is a client served, all else one lost. A signal handler may call it.
pub fn note(status: libc::c_int) {
    let served = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
    let count = if served { &SERVED } else { &LOST };
    count.fetch_add(1, Relaxed);
}

/// How many children have served their client, and how many have not: of those that were waited for.
pub fn tally() -> (u32, u32) {
    (SERVED.load(Relaxed), LOST.load(Relaxed))
}

/// Does `work`; gives what it gives, or 101 if it panics. A child that panics must not unwind into the parent's code.
pub fn guarded(work: impl FnOnce() -> i32) -> i32 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(101)
}

/// Begins a child that does `work` (see [`guarded`]) and ends with the code that it gives, without coming back
/// from here. Gives the child's number, or why there is no child.
pub fn begin(work: impl FnOnce() -> i32) -> io::Result<libc::pid_t> {
    // hole: fork
    // Lab 06: how does the child end, and what of the parent's is in its buffers?
    let _ = work;
    todo!("a child that does its work and ends")
}

/// Called once, before the first child is begun.
pub fn watch() -> io::Result<()> {
    // hole: watch
    // Is there anything to prepare, so that children which end are waited for in time?
    // Leave it like this if your `reap` needs nothing.
    Ok(())
}

/// Waits for all children that have ended, notes each, and does not wait for those that live. Called before the
/// program waits for its next client, and by whatever [`watch`] has arranged.
pub fn reap() {
    // hole: reap
    // Nothing yet: look at `ps` after a client has gone.
}

/// Waits until no child is left, and notes each.
pub fn rest() -> io::Result<()> {
    // hole: rest
    // Several may be alive still. Which error says that there is none?
    todo!("wait for all that are left")
}
