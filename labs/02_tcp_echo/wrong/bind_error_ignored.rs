// check: listen.port_taken
// mistake: whether bind has failed is not looked at, and listen takes any port
// lab:replace listen
    check(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    // SAFETY: this call takes integers.
    check(unsafe { libc::listen(fd, 128) })?;
// lab:with
    unsafe { libc::bind(fd, (&raw const address).cast(), size) };
    unsafe { libc::listen(fd, 128) };
// lab:end
