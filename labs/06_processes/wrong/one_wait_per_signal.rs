// check: family.no_zombies
// mistake: one wait for each SIGCHLD, as if signals queued up
// lab:fill sigchld
    extern "C" fn on_sigchld(_: libc::c_int) {
        unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    }
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigchld as *const () as usize;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut());
    }
    Ok(())
// lab:end
