// check: listen.port_taken
// mistake: SO_REUSEPORT instead of SO_REUSEADDR: two servers share one port
// lab:fill listen
    let fd = tcp_socket()?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    let address = to_sockaddr(address);
    let size = mem::size_of_val(&address) as libc::socklen_t;
    check(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    check(unsafe { libc::listen(fd, 128) })?;
    Ok(fd)
// lab:end
