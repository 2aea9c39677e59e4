// check: serve.last_first
// mistake: reap waits without WNOHANG, so nobody is accepted while a child lives
// lab:fill watch
    Ok(())
// lab:end
// lab:fill reap
    let mut status = 0;
    while unsafe { libc::waitpid(-1, &mut status, 0) } > 0 {
        note(status);
    }
// lab:end
