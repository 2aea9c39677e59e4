//! What the child does between the fork and its exit.

use crate::tether;
use file_service::{Moment, Service};
use nix::errno::Errno;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, raise, sigaction};
use server_core::{Connection, ConnectionHandle, serve_blocking};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicPtr, AtomicU8, Ordering};

/// Serves the one client, for whom the parent forked at `dispatched`, and exits.
pub(crate) fn serve(
    connection: Connection,
    service: &Service,
    tether: OwnedFd,
    dispatched: Moment,
) -> ! {
    let _forked_here = ForkedHere;
    let serving = Serving::begin(connection.handle());
    begin(service, &tether, &[connection.socket().as_raw_fd()]);
    let mut session = connection.session(service);
    session.dispatched(dispatched);
    serve_blocking(session, connection.socket());
    drop(serving);
    server_core::finish(service); // `_exit` drops nothing
    // The permit is free before the client sees the close, so that it may connect again at once.
    drop(tether);
    exit(0);
}

/// Makes a forked process a child: it keeps what it needs and the descriptors `own`, and gets the shutdown requests that come
/// by its tether.
pub(crate) fn begin(service: &Service, tether: &OwnedFd, own: &[RawFd]) {
    let store = service.store().as_fd().as_raw_fd();
    let trace = service.trace().map_or(store, |trace| trace.as_fd().as_raw_fd());
    close_all_but([&[store, tether.as_raw_fd(), trace], own].concat());
    if let Some(trace) = service.trace() {
        trace.forked();
    }
    TETHER.store(tether.as_raw_fd(), Ordering::Relaxed);
    // The parent keeps the drain timeout, and cuts us. Should it be gone, we keep it ourselves.
    let drain = service.settings().drain_timeout.as_millis().try_into().unwrap_or(i64::MAX);
    DRAIN_MILLIS.store(drain.saturating_add(CUT_GRACE_MILLIS), Ordering::Relaxed);
    // The parent's SIGCHLD is not ours. SIGINT stays blocked: a terminal sends it to the whole group,
    // and it is for the parent to pass on, as SIGTERM.
    reset(Signal::SIGCHLD);
    let _ = SigSet::from_iter([Signal::SIGTERM, Signal::SIGALRM]).thread_unblock();
    match tether::arm(tether) {
        Ok(false) => {}
        Ok(true) => drop(raise(Signal::SIGTERM)),
        Err(error) => tracing::warn!("the shutdown request will not reach this client: {error}"),
    }
}

/// Ends the process when it is dropped, which only a panic does: the frames that it would unwind next are the
/// parent's, and their values too.
#[derive(Debug)]
pub(crate) struct ForkedHere;

impl Drop for ForkedHere {
    fn drop(&mut self) {
        exit(PANICKED);
    }
}

/// The exit code of a child that panicked, as that of any Rust program.
const PANICKED: i32 = 101;

/// Leaves without the parent's buffers and handlers.
pub(crate) fn exit(code: i32) -> ! {
    // SAFETY: `_exit` takes an integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Closes every descriptor from 3 on that is not listed, once or twice: the listener, the epoll set, the
/// tethers of other children. Two forgotten ones would be enough to keep the port taken, or a permit in use.
fn close_all_but(mut kept: Vec<RawFd>) {
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

pub(crate) fn reset(signal: Signal) {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default action runs no code of ours.
    let _ = unsafe { sigaction(signal, &action) };
}

// ---- Shutdown ----

/// The connection that this process serves; null while there is none, as always in the parent.
static SERVED: AtomicPtr<ConnectionHandle> = AtomicPtr::new(ptr::null_mut());
/// The listening socket, in a child that accepts for itself.
static LISTENER: AtomicI32 = AtomicI32::new(NONE);
/// Where the clients come from, in a child that is given them.
static CHANNEL: AtomicI32 = AtomicI32::new(NONE);
static DRAIN_MILLIS: AtomicI64 = AtomicI64::new(0);
/// Set in children alone.
static TETHER: AtomicI32 = AtomicI32::new(NONE);
static REQUESTS: AtomicU8 = AtomicU8::new(0);

const NONE: RawFd = -1;

/// How long a connection that was cut has to end.
const CUT_GRACE_MILLIS: i64 = 1000;

/// The conversation that shutdown requests are for, as long as this lives.
pub(crate) struct Serving<'a>(PhantomData<&'a ConnectionHandle>);

impl Serving<'_> {
    /// Has the requests reach this connection, even if one has come already.
    pub(crate) fn begin(handle: &Arc<ConnectionHandle>) -> Serving<'_> {
        SERVED.store(Arc::as_ptr(handle).cast_mut(), Ordering::SeqCst);
        if shutdown_requested() {
            handle.request_shutdown();
        }
        Serving(PhantomData)
    }
}

impl Drop for Serving<'_> {
    fn drop(&mut self) {
        SERVED.store(ptr::null_mut(), Ordering::SeqCst);
    }
}

/// Has the shutdown request shut `listener` down, which ends the wait of every process there.
pub(crate) fn shut_listener_on_request(listener: RawFd) {
    LISTENER.store(listener, Ordering::SeqCst);
}

/// Has the shutdown request shut `channel` down, which ends the wait for a client there.
pub(crate) fn shut_channel_on_request(channel: RawFd) {
    CHANNEL.store(channel, Ordering::SeqCst);
}

/// Whether this process is to take no further client.
pub(crate) fn shutdown_requested() -> bool {
    REQUESTS.load(Ordering::SeqCst) > 0
}

/// Installs the child's handlers for SIGTERM and SIGALRM, once, in the parent, which blocks SIGTERM and
/// never sees SIGALRM: three system calls fewer for every child.
pub(crate) fn install_handlers() -> io::Result<()> {
    let mut both = SigSet::empty();
    both.add(Signal::SIGTERM);
    both.add(Signal::SIGALRM);
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, both);
    for signal in &both {
        // SAFETY: `on_signal` makes only system calls that are async-signal-safe (recv, shutdown, setitimer,
        // _exit) and atomic operations, allocates nothing, and restores errno.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
}

/// The first shutdown request ends the conversation after the request under way. The second, or the end of
/// the drain timeout, cuts it. The third ends the process.
///
/// The parent's byte is a request, and its end is another: if it ends after its request, it has received a
/// second signal. Two signals may come as one, so it is the tether that is asked what has happened.
///
/// A child that waits for a client is woken by the end of what it waits at. An interrupted call would not do: the
/// signal may come just before the call. The listening socket is everybody's, so it is left alone when the
/// signal is a stranger's and means this child only; its `accept` is interrupted, or returns when the socket's
/// timeout is over.
extern "C" fn on_signal(signal: libc::c_int) {
    let errno = Errno::last_raw();
    let tether = TETHER.load(Ordering::Relaxed);
    if tether == NONE {
        return;
    }
    let of_parent = if signal == libc::SIGALRM { 0 } else { requests_on(tether) };
    if of_parent > 0 {
        shut(LISTENER.load(Ordering::SeqCst), libc::SHUT_RDWR);
    }
    // Its other direction stays open: to the parent it would look like the end of this process.
    shut(CHANNEL.load(Ordering::SeqCst), libc::SHUT_RD);
    // SAFETY: it is null, or `Serving` has put it there and lives, and with it the borrow of the handle. This process
    // has one thread, which is in this handler.
    let served = unsafe { SERVED.load(Ordering::SeqCst).as_ref() };
    let new = of_parent.max(1); // a signal from another process is a request too
    match (REQUESTS.fetch_add(new, Ordering::SeqCst) + new, served) {
        (1, served) => {
            if let Some(handle) = served {
                handle.request_shutdown();
            }
            alarm_in(DRAIN_MILLIS.load(Ordering::Relaxed));
        }
        (2, Some(handle)) => {
            handle.cut();
            alarm_in(CUT_GRACE_MILLIS);
        }
        (2, None) => exit(0),
        _ => exit(1),
    }
    Errno::set_raw(errno);
}

/// Takes the parent's requests off the tether.
fn requests_on(tether: RawFd) -> u8 {
    let mut requests = 0;
    loop {
        let mut byte = 0u8;
        // SAFETY: the buffer is one byte long and lives through the call.
        let n = unsafe { libc::recv(tether, (&raw mut byte).cast(), 1, libc::MSG_DONTWAIT) };
        match n {
            1 => requests += 1,
            0 => return requests + 1,
            _ => return requests,
        }
    }
}

fn shut(socket: RawFd, how: libc::c_int) {
    // SAFETY: shutdown takes integers; for `NONE` it fails, which does not matter.
    unsafe { libc::shutdown(socket, how) };
}

fn alarm_in(millis: i64) {
    let value = libc::timeval { tv_sec: millis / 1000, tv_usec: (millis % 1000).max(1) * 1000 };
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let timer = libc::itimerval { it_interval: never, it_value: value };
    // SAFETY: `timer` is a valid itimerval; the old value is not asked for.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) };
}
