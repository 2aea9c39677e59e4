// way: the kernel is told that nobody will ask for the children
// lab:fill sigchld
    // SAFETY: all zero is a valid sigaction; it lives through the call; no handler is installed.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = libc::SIG_IGN;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
// lab:end
