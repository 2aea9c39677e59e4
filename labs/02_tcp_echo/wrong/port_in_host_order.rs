// check: listen.address
// mistake: the port is not in network order
// lab:fill listen
    let fd = tcp_socket()?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let mut raw = to_sockaddr(address);
    raw.sin_port = address.port();
    let size = mem::size_of_val(&raw) as libc::socklen_t;
    check(unsafe { libc::bind(fd, (&raw const raw).cast(), size) })?;
    check(unsafe { libc::listen(fd, 128) })?;
    Ok(fd)
// lab:end
