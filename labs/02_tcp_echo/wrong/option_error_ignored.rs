// check: options.read_back
// mistake: whether setsockopt has failed is not looked at
// lab:fill set-option
    let size = mem::size_of_val(&value) as libc::socklen_t;
    unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) };
    Ok(())
// lab:end
