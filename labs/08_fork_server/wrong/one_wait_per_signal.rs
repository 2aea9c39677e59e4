// check: children.no_zombies
// mistake: one wait for each SIGCHLD, as if signals queued up
// lab:replace reap
    while unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } > 0 {
// lab:with
    if unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } > 0 {
// lab:end
