// check: echo.reset
// mistake: SIGPIPE ends the server when a client is gone
// lab:replace send-all
        match unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) } {
// lab:with
        match unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), 0) } {
// lab:end
