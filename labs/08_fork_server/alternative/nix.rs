// way: the types of nix, and a child that closes all descriptors but its own
// lab:fill fork
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => {
            let code = catch_panic(work);
            // SAFETY: it takes an integer and does not return.
            unsafe { libc::_exit(code) }
        }
        nix::unistd::ForkResult::Parent { child } => Ok(child.as_raw()),
    }
// lab:end
// lab:fill reap-all
    use nix::sys::wait::{WaitStatus, wait};
    loop {
        match wait() {
            Ok(WaitStatus::Exited(_, code)) => record(code << 8),
            Ok(WaitStatus::Signaled(_, signal, _)) => record(signal as i32),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(nix::Error::ECHILD) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
// lab:end
// lab:fill accept
    use std::os::fd::FromRawFd;
    loop {
        match nix::sys::socket::accept(listener.as_raw_fd()) {
            Ok(socket) => {
                // SAFETY: accept has just made this descriptor, and nobody else has it.
                let stream = unsafe { TcpStream::from_raw_fd(socket) };
                let Ok(client) = stream.peer_addr() else { continue };
                return Ok((stream, client));
            }
            Err(nix::Error::EINTR | nix::Error::ECONNABORTED) => {}
            Err(error) => return Err(error.into()),
        }
    }
// lab:end
// lab:fill serve
    let _ = listener;
    let own = stream.as_raw_fd() as u32;
    let child = children::spawn(|| {
        // SAFETY: these calls take integers. The child ends by `_exit`, so nobody closes these descriptors again.
        unsafe {
            libc::syscall(libc::SYS_close_range, 3, own - 1, 0);
            libc::syscall(libc::SYS_close_range, own + 1, u32::MAX, 0);
        }
        i32::from(serve_client(&stream, root).is_err())
    });
    if child.is_err() {
        let _ = nix::sys::socket::send(
            stream.as_raw_fd(),
            b"ERR busy no process for this client\n",
            nix::sys::socket::MsgFlags::empty(),
        );
    }
// lab:end
