// way: a thread that waits for whoever ends, and for nobody while there is nobody
// lab:fill sigchld
    // SAFETY: what is pointed to lives through each call. Children begun beside this thread only close, read, _exit.
    unsafe {
        let mut mask: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut mask);
        libc::sigaddset(&mut mask, libc::SIGCHLD);
        libc::pthread_sigmask(libc::SIG_BLOCK, &mask, std::ptr::null_mut());
        std::thread::spawn(move || loop {
            let mut signal = 0;
            libc::sigwait(&mask, &mut signal);
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
        });
    }
    Ok(())
// lab:end
