// check: listen.restart
// mistake: without SO_REUSEADDR, a server that was stopped cannot start again for a minute
// lab:replace listen
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
// lab:with
// lab:end
