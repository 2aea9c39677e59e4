// check: handler.flood
// mistake: the pipe by which the handler tells the main program can fill up, and then the handler waits for ever
// lab:fill handler
static PIPE: [std::sync::atomic::AtomicI32; 2] =
    [std::sync::atomic::AtomicI32::new(-1), std::sync::atomic::AtomicI32::new(-1)];

extern "C" fn on_signal(signal: libc::c_int) {
    let byte = signal as u8;
    unsafe { libc::write(PIPE[1].load(Ordering::Relaxed), (&raw const byte).cast(), 1) };
}
// lab:end
// lab:fill install
    let mut ends = [0; 2];
    Errno::result(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    PIPE[0].store(ends[0], Ordering::Relaxed);
    PIPE[1].store(ends[1], Ordering::Relaxed);
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
// lab:fill serve
    let mut stop = false;
    while !stop || service.busy() {
        let mut fds = [PIPE[0].load(Ordering::Relaxed), 0]
            .map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        if unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) } < 0 {
            continue;
        }
        if fds[0].revents != 0 {
            let mut bytes = [0u8; 4096];
            let count = unsafe { libc::read(fds[0].fd, bytes.as_mut_ptr().cast(), 4096) };
            let bytes = &bytes[..count.max(0) as usize];
            stop |= bytes.contains(&(libc::SIGTERM as u8));
            if bytes.contains(&(libc::SIGUSR1 as u8)) {
                service.report()?;
            }
        } else if fds[1].revents != 0 && !service.step()? {
            return Ok(());
        }
    }
    Ok(())
// lab:end
