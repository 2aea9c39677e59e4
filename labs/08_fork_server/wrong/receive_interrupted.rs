// check: lines.goes_on
// mistake: the handler is installed without SA_RESTART, and recv_from ends with EINTR when a child ends
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
// lab:fill request
    let mut bytes = [0; REQUEST_MAX];
    let (count, client) = socket.recv_from(&mut bytes)?;
    children::spawn(|| {
        let reply = answer(root, &bytes[..count]);
        i32::from(socket.send_to(reply.as_bytes(), client).is_err())
    })?;
    Ok(())
// lab:end
