// check: limit.interrupted
// mistake: after each interruption the whole limit is waited for again
// lab:fill wait-in-time
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, child.as_raw(), 0) };
    let descriptor = Errno::result(descriptor)? as i32;
    let mut fd = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    let ready = loop {
        match Errno::result(unsafe { libc::poll(&mut fd, 1, limit.as_millis() as i32) }) {
            Err(Errno::EINTR) => {}
            other => break other,
        }
    };
    unsafe { libc::close(descriptor) };
    if ready? == 0 {
        return Ok(None);
    }
    match waitpid(child, None)? {
        WaitStatus::Exited(_, code) => Ok(Some(Outcome::Exit(code))),
        WaitStatus::Signaled(_, signal, _) => Ok(Some(Outcome::Killed(signal as i32))),
        _ => Ok(None),
    }
// lab:end
