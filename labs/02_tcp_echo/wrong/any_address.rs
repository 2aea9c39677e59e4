// check: listen.address
// mistake: bound to 0.0.0.0, whatever was asked for
// lab:fill listen
    let fd = tcp_socket()?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let mut raw = to_sockaddr(address);
    raw.sin_addr.s_addr = libc::INADDR_ANY;
    let size = mem::size_of_val(&raw) as libc::socklen_t;
    check(unsafe { libc::bind(fd, (&raw const raw).cast(), size) })?;
    check(unsafe { libc::listen(fd, 128) })?;
    Ok(fd)
// lab:end
