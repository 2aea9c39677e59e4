// check: family.goes_on
// mistake: the parent ends when the first child does
// lab:fill sigchld
    extern "C" fn on_sigchld(_: libc::c_int) {
        unsafe { libc::_exit(0) }
    }
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigchld as *const () as usize;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut());
    }
    Ok(())
// lab:end
