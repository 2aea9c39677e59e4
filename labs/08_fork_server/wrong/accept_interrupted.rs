// check: children.goes_on
// mistake: accept ends with EINTR when a child ends, and the server with it
// lab:fill prepare
    extern "C" fn on_sigchld(_: libc::c_int) {
        reap();
    }
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigchld as *const () as usize;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut());
    }
    Ok(())
// lab:end
// lab:fill accept
    use std::os::fd::FromRawFd;
    // std would ask again by itself.
    let socket = nix::sys::socket::accept(listener.as_raw_fd())?;
    let stream = unsafe { TcpStream::from_raw_fd(socket) };
    let client = stream.peer_addr()?;
    Ok((stream, client))
// lab:end
