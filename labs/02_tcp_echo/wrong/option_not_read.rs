// check: options.read_back
// mistake: the size that goes into getsockopt is 0, so nothing is written
// lab:fill option
    let mut value: libc::c_int = 0;
    let mut size: libc::socklen_t = 0;
    check(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut size) })?;
    Ok(value)
// lab:end
