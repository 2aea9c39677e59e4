// way: no handler at all: signals are taken with sigwait and signalfd, time and children are waited for with poll
// lab:fill wait
    let signal = SigSet::from(Signal::SIGUSR1);
    let before = signal.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    while !ready() {
        signal.wait()?;
    }
    // One more that has come since would end the program now: it is taken, too.
    let no_time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the set and the time live through the call, and nobody asks for details.
    unsafe { libc::sigtimedwait(signal.as_ref(), std::ptr::null_mut(), &no_time) };
    Ok(before.thread_set_mask()?)
// lab:end
// lab:fill read
    let deadline = Instant::now() + limit;
    loop {
        let mut fd = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
        let left = deadline.saturating_duration_since(Instant::now());
        // SAFETY: `fd` is one entry, as the call is told, and lives through it.
        match Errno::result(unsafe { libc::poll(&mut fd, 1, left.as_millis() as i32) }) {
            Ok(0) if Instant::now() < deadline => {}
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(unistd::read(io::stdin(), buffer)?)),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
// lab:end
// lab:fill wait-in-time
    // SAFETY: this call takes integers.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
    let descriptor = Errno::result(descriptor)? as i32;
    let deadline = Instant::now() + limit;
    let ready = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = left.as_micros().div_ceil(1000) as i32;
        let mut fd = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
        // SAFETY: `fd` is one entry, as the call is told, and lives through it.
        match Errno::result(unsafe { libc::poll(&mut fd, 1, left) }) {
            Err(Errno::EINTR) => {}
            other => break other,
        }
    };
    // SAFETY: the descriptor was made by pidfd_open above, and nobody else has it.
    unsafe { libc::close(descriptor) };
    if ready? == 0 {
        return Ok(None);
    }
    loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(Some(Outcome::Exit(code))),
            Ok(WaitStatus::Signaled(_, signal, _)) => {
                return Ok(Some(Outcome::Killed(signal as i32)));
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
// lab:end
// lab:fill handler
static DESCRIPTOR: std::sync::atomic::AtomicI32 = std::sync::atomic::AtomicI32::new(-1);
// lab:end
// lab:fill install
    let signals = SigSet::from_iter([Signal::SIGTERM, Signal::SIGUSR1]);
    signals.thread_block()?;
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set lives through the call, and -1 asks for a new descriptor.
    let descriptor = Errno::result(unsafe { libc::signalfd(-1, signals.as_ref(), flags) })?;
    DESCRIPTOR.store(descriptor, Ordering::Relaxed);
    Ok(())
// lab:end
// lab:fill serve
    let signals = DESCRIPTOR.load(Ordering::Relaxed);
    let mut stop = false;
    while !stop || service.busy() {
        let mut fds = [signals, 0].map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 });
        // SAFETY: `fds` has two entries, as the call is told, and lives through it.
        if unsafe { libc::poll(fds.as_mut_ptr(), 2, -1) } < 0 {
            continue;
        }
        if fds[0].revents != 0 {
            // SAFETY: all zero is a valid signalfd_siginfo: its fields are integers.
            let mut info: libc::signalfd_siginfo = unsafe { std::mem::zeroed() };
            let size = size_of_val(&info);
            // SAFETY: `size` is that of `info`, which lives through the call; whatever bytes come, they are integers.
            while unsafe { libc::read(signals, (&raw mut info).cast(), size) } == size as isize {
                match info.ssi_signo as i32 {
                    libc::SIGTERM => stop = true,
                    _ => service.report()?,
                }
            }
        } else if fds[1].revents != 0 && !service.step()? {
            return Ok(());
        }
    }
    Ok(())
// lab:end
