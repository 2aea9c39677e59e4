// check: children.count
// mistake: the handler waits for the children and throws their statuses away
// lab:fill reap
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) } > 0 {}
// lab:end
