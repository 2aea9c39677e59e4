// check: family.goes_on
// mistake: the handler waits without WNOHANG, until the last child has ended
// lab:fill sigchld
    extern "C" fn on_sigchld(_: libc::c_int) {
        unsafe { while libc::waitpid(-1, std::ptr::null_mut(), 0) > 0 {} }
    }
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigchld as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut());
    }
    Ok(())
// lab:end
