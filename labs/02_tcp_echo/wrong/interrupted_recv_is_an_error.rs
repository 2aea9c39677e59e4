// check: echo.interrupted
// mistake: a recv that a signal has interrupted is taken for a broken connection
// lab:fill receive
    match unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) } {
        -1 => Err(io::Error::last_os_error()),
        n => Ok(n as usize),
    }
// lab:end
