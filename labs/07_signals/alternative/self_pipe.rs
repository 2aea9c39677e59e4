// way: handlers that write a byte into a pipe (which never blocks), and poll over the pipe and the input
// lab:fill wait
    use std::sync::atomic::{AtomicI32, Ordering};
    static BELL: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn ring(_: libc::c_int) {
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(BELL.load(Ordering::Relaxed), c"!".as_ptr().cast(), 1);
            *libc::__errno_location() = errno;
        }
    }
    let mut ends = [0; 2];
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    nix::errno::Errno::result(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    BELL.store(ends[1], Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(ring), SaFlags::SA_RESTART, SigSet::empty());
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    while !ready() {
        let mut fd = libc::pollfd { fd: ends[0], events: libc::POLLIN, revents: 0 };
        while unsafe { libc::poll(&mut fd, 1, -1) } < 0 {}
        let mut bytes = [0u8; 64];
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
    unsafe {
        let errno = *libc::__errno_location();
        // If the pipe is full, there are messages enough in it.
        libc::write(PIPE[1].load(Ordering::Relaxed), c"!".as_ptr().cast(), 1);
        *libc::__errno_location() = errno;
    }
}
// lab:end
// lab:fill watch
    let mut ends = [0; 2];
    let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
    Errno::result(unsafe { libc::pipe2(ends.as_mut_ptr(), flags) })?;
    PIPE[0].store(ends[0], Ordering::Relaxed);
    PIPE[1].store(ends[1], Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
// lab:fill serve
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            desk.report()?;
        }
        if STOP.load(Ordering::Relaxed) && !desk.busy() {
            return Ok(());
        }
        let bell = PIPE[0].load(Ordering::Relaxed);
        let mut fds = [bell, 0].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        if unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) } < 0 {
            continue;
        }
        if fds[0].revents != 0 {
            let mut bytes = [0u8; 4096];
            while unsafe { libc::read(bell, bytes.as_mut_ptr().cast(), 4096) } > 0 {}
        } else if fds[1].revents != 0 && !desk.step()? {
            return Ok(());
        }
    }
// lab:end
