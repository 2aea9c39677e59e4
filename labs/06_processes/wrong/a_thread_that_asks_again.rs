// check: family.sleeps
// mistake: a thread asks again and again whether a child has ended
// lab:fill sigchld
    std::thread::spawn(|| loop {
        unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) };
    });
    Ok(())
// lab:end
