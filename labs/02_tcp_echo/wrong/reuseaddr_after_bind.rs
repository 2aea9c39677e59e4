// check: listen.restart
// mistake: SO_REUSEADDR is set when bind has asked for it already
// lab:fill listen
    let fd = tcp_socket()?;
    let address = to_sockaddr(address);
    let size = mem::size_of_val(&address) as libc::socklen_t;
    check(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    check(unsafe { libc::listen(fd, 128) })?;
    Ok(fd)
// lab:end
