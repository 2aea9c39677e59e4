// way: handlers that write a byte into a pipe (which never blocks), and poll over the pipe and the input
// lab:fill wait
    use std::sync::atomic::{AtomicI32, Ordering};
    static BELL: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn wake(_: libc::c_int) {
        // SAFETY: errno is this thread's; write is async-signal-safe, and its byte is in a constant.
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(BELL.load(Ordering::Relaxed), c"!".as_ptr().cast(), 1);
            *libc::__errno_location() = errno;
        }
    }
    let mut ends = [0; 2];
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: the array has room for the two descriptors.
    nix::errno::Errno::result(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    BELL.store(ends[1], Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(wake), SaFlags::SA_RESTART, SigSet::empty());
    // SAFETY: what the handler does is async-signal-safe: it loads an atomic, calls write, and restores errno.
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    while !ready() {
        let mut fd = libc::pollfd { fd: ends[0], events: libc::POLLIN, revents: 0 };
        // SAFETY: `fd` is one entry, as the call is told, and lives through it.
        while unsafe { libc::poll(&mut fd, 1, -1) } < 0 {}
        let mut bytes = [0u8; 64];
        // SAFETY: `bytes` has room for 64 bytes and lives through the call.
        while unsafe { libc::read(ends[0], bytes.as_mut_ptr().cast(), 64) } > 0 {}
    }
    Ok(())
// lab:end
// lab:fill handler
static PIPE: [std::sync::atomic::AtomicI32; 2] =
    [std::sync::atomic::AtomicI32::new(-1), std::sync::atomic::AtomicI32::new(-1)];
static STOP: AtomicBool = AtomicBool::new(false);
static REPORT: AtomicBool = AtomicBool::new(false);

extern "C" fn on_signal(signal: libc::c_int) {
    match signal {
        libc::SIGTERM => STOP.store(true, Ordering::Relaxed),
        _ => REPORT.store(true, Ordering::Relaxed),
    }
    // SAFETY: errno is this thread's; write is async-signal-safe, and its byte is in a constant.
    unsafe {
        let errno = *libc::__errno_location();
        // If the pipe is full, there are messages enough in it.
        libc::write(PIPE[1].load(Ordering::Relaxed), c"!".as_ptr().cast(), 1);
        *libc::__errno_location() = errno;
    }
}
// lab:end
// lab:fill install
    let mut ends = [0; 2];
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    // SAFETY: the array has room for the two descriptors.
    Errno::result(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    PIPE[0].store(ends[0], Ordering::Relaxed);
    PIPE[1].store(ends[1], Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        // SAFETY: what the handler does is async-signal-safe: it uses atomics, calls write, and restores errno.
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
// lab:fill serve
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            service.report()?;
        }
        if STOP.load(Ordering::Relaxed) && !service.busy() {
            return Ok(());
        }
        let bell = PIPE[0].load(Ordering::Relaxed);
        let mut fds = [bell, 0].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // SAFETY: `fds` has two entries, as the call is told, and lives through it.
        if unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) } < 0 {
            continue;
        }
        if fds[0].revents != 0 {
            let mut bytes = [0u8; 4096];
            // SAFETY: `bytes` has room for 4096 bytes and lives through the call.
            while unsafe { libc::read(bell, bytes.as_mut_ptr().cast(), 4096) } > 0 {}
        } else if fds[1].revents != 0 && !service.step()? {
            return Ok(());
        }
    }
// lab:end
