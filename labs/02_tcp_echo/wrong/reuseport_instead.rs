// check: listen.port_taken
// mistake: SO_REUSEPORT instead of SO_REUSEADDR: two servers share one port
// lab:replace listen
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
// lab:with
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
// lab:end
