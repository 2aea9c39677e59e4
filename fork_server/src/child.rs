//! What the child does between the fork and its exit.

use crate::tether;
use file_service::{Connection, Link, Moment, Service, converse};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

/// Serves the one client, for whom the parent forked at `dispatched`, and exits.
pub(crate) fn serve(
    connection: Connection,
    service: &Service,
    tether: OwnedFd,
    dispatched: Moment,
) -> ! {
    let store = service.store().as_fd().as_raw_fd();
    let trace = service.trace().map_or(store, |trace| trace.as_fd().as_raw_fd());
    close_all_but([store, connection.socket().as_raw_fd(), tether.as_raw_fd(), trace]);
    if let Some(trace) = service.trace() {
        trace.forked();
    }
    let _ = SERVED.set(Arc::clone(connection.link()));
    TETHER.store(tether.as_raw_fd(), Ordering::Relaxed);
    // The parent keeps the drain timeout, and cuts us. Should it be gone, we keep it ourselves.
    let drain = service.settings().drain_timeout.as_millis().try_into().unwrap_or(i64::MAX);
    DRAIN_MILLIS.store(drain.saturating_add(CUT_GRACE_MILLIS), Ordering::Relaxed);
    // The parent's SIGCHLD is not ours. SIGINT stays blocked: a terminal sends it to the whole group,
    // and it is for the parent to pass on, as SIGTERM.
    reset(Signal::SIGCHLD);
    let _ = SigSet::from_iter([Signal::SIGTERM, Signal::SIGALRM]).thread_unblock();
    match tether::arm(&tether) {
        Ok(false) => {}
        Ok(true) => drop(raise(Signal::SIGTERM)),
        Err(error) => tracing::warn!("this client will not hear the order to stop: {error}"),
    }
    let mut session = connection.session(service);
    session.dispatched(dispatched);
    converse(session, connection.socket());
    if let Some(trace) = service.trace() {
        trace.end(); // `_exit` drops nothing
    }
    // The place is free before the client sees the close, so that it may connect again at once.
    drop(tether);
    exit(0);
}

/// Leaves without the parent's buffers and handlers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: `_exit` takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from 3 on that is not listed, be it once or twice: the listener, the epoll set, the tethers of
/// other children. Two forgotten ones would be enough to keep the port taken, or a place occupied.
fn close_all_but(mut kept: [RawFd; 4]) {
    kept.sort_unstable();
    let mut from = 3;
    for fd in kept {
        if fd > from {
            close_range(from, fd - 1);
        }
        from = fd + 1;
    }
    close_range(from, RawFd::MAX);
}

fn close_range(first: RawFd, last: RawFd) {
    // SAFETY: the owners of these descriptors are values of the parent's frames, and this process leaves
    // by `_exit` without ever returning there: none of them is used or dropped after this.
    unsafe { libc::close_range(first as u32, last as u32, 0) };
}

fn reset(signal: Signal) {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    let _ = unsafe { sigaction(signal, &action) };
}

// ---- The order to stop ----

/// The connection of this process; never set in the parent.
static SERVED: OnceLock<Arc<Link>> = OnceLock::new();
static DRAIN_MILLIS: AtomicI64 = AtomicI64::new(0);
static TETHER: AtomicI32 = AtomicI32::new(-1);
static ORDERS: AtomicU8 = AtomicU8::new(0);

/// How long a connection that was cut has to end.
const CUT_GRACE_MILLIS: i64 = 1000;

/// Installs the child's handlers for SIGTERM and SIGALRM, once, in the parent, which blocks SIGTERM and
/// never sees SIGALRM: three system calls fewer for every child.
pub(crate) fn install_handlers() -> io::Result<()> {
    let mut both = SigSet::empty();
    both.add(Signal::SIGTERM);
    both.add(Signal::SIGALRM);
    let action = SigAction::new(SigHandler::Handler(ordered), SaFlags::SA_RESTART, both);
    for signal in &both {
        // SAFETY: `ordered` makes only system calls that are async-signal-safe (recv, shutdown, setitimer,
        // _exit) and atomic operations, allocates nothing, and restores errno.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// The first order ends the conversation after the request under way, the second, or the end of the
/// drain timeout, cuts it, the third ends the process.
///
/// The parent's byte is an order, and its end is another: dying after it has ordered a stop, it has met a
/// second signal. Two signals may come as one, so it is the tether that is asked what has happened.
extern "C" fn ordered(signal: libc::c_int) {
    let errno = Errno::last_raw();
    let Some(link) = SERVED.get() else { return };
    let new = if signal == libc::SIGALRM { 1 } else { orders_on(TETHER.load(Ordering::Relaxed)) };
    match ORDERS.fetch_add(new, Ordering::Relaxed) + new {
        1 => {
            link.stop();
            alarm_in(DRAIN_MILLIS.load(Ordering::Relaxed));
        }
        2 => {
            let _ = link.socket().shutdown(Shutdown::Both);
            alarm_in(CUT_GRACE_MILLIS);
        }
        _ => exit(1),
    }
    Errno::set_raw(errno);
}

/// Takes the orders off the tether; a signal that somebody else has sent is one too.
fn orders_on(tether: RawFd) -> u8 {
    let mut orders = 0;
    loop {
        let mut byte = 0u8;
        // SAFETY: the buffer is one byte long and lives through the call.
        let n = unsafe { libc::recv(tether, (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) };
        match n {
            1 => orders += 1,
            0 => return orders + 1,
            _ => return orders.max(1),
        }
    }
}

fn alarm_in(millis: i64) {
    let value = libc::timeval { tv_sec: millis / 1000, tv_usec: (millis % 1000).max(1) * 1000 };
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: never, it_value: value };
    // SAFETY: `timer` is a valid itimerval; the old value is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
}
