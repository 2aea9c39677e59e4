// way: SIGCHLD is blocked, except in ppoll while there is nothing else to do
// lab:fill prepare
    extern "C" fn on_sigchld(_: libc::c_int) {
        // Nothing: to wake the ppoll is enough, and the loop reaps.
    }
    // SAFETY: all zero is an empty set and a valid sigaction; both live through their calls; the handler does nothing.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut mask, libc::SIGCHLD);
        libc::sigprocmask(libc::SIG_BLOCK, &mask, std::ptr::null_mut());
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigchld as *const () as usize;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut());
    }
    Ok(())
// lab:end
// lab:fill accept
    loop {
        let mut fd = libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: all zero is an empty set; the set and `fd`, which is one entry, live through the call.
        let ready = unsafe {
            let none: libc::sigset_t = std::mem::zeroed();
            libc::ppoll(&mut fd, 1, std::ptr::null(), &none)
        };
        match ready {
            1 => match listener.accept() {
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                outcome => return outcome,
            },
            _ => children::reap(),
        }
    }
// lab:end
// lab:fill request
    use std::os::fd::AsRawFd;
    loop {
        let mut fd = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: all zero is an empty set; the set and `fd`, which is one entry, live through the call.
        let ready = unsafe {
            let none: libc::sigset_t = std::mem::zeroed();
            libc::ppoll(&mut fd, 1, std::ptr::null(), &none)
        };
        match ready {
            1 => break,
            _ => children::reap(),
        }
    }
    let mut bytes = [0; REQUEST_MAX];
    let (count, client) = socket.recv_from(&mut bytes)?;
    let work = || {
        let reply = answer(root, &bytes[..count]);
        i32::from(socket.send_to(reply.as_bytes(), client).is_err())
    };
    if children::spawn(work).is_err() {
        let _ = socket.send_to(b"ERR busy no process for this request", client);
    }
    Ok(())
// lab:end
