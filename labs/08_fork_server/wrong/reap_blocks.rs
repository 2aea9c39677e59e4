// check: serve.last_first
// mistake: reap waits without WNOHANG, so nobody is accepted while a child lives
// lab:fill prepare
    Ok(())
// lab:end
// lab:replace reap
    while unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } > 0 {
// lab:with
    while unsafe { libc::waitpid(-1, &mut status, 0) } > 0 {
// lab:end
