// check: listen.restart
// mistake: without SO_REUSEADDR, a server that was stopped cannot start again for a minute
// lab:fill listen
    let fd = tcp_socket()?;
    let address = to_sockaddr(address);
    let size = mem::size_of_val(&address) as libc::socklen_t;
    check(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    check(unsafe { libc::listen(fd, 128) })?;
    Ok(fd)
// lab:end
