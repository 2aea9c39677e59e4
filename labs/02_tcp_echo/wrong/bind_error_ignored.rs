// check: listen.port_taken
// mistake: whether bind has failed is not looked at, and listen takes any port
// lab:fill listen
    let fd = tcp_socket()?;
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let address = to_sockaddr(address);
    let size = mem::size_of_val(&address) as libc::socklen_t;
    unsafe { libc::bind(fd, (&raw const address).cast(), size) };
    unsafe { libc::listen(fd, 128) };
    Ok(fd)
// lab:end
