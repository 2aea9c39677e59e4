// check: children.no_zombies
// mistake: one wait for each SIGCHLD, as if signals queued up
// lab:fill reap
    let mut status = 0;
    if unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } > 0 {
        note(status);
    }
// lab:end
