// check: echo.partial_sends
// mistake: a send that a signal has interrupted is taken for a broken connection
// lab:fill send-all
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        match unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) } {
            -1 => return Err(io::Error::last_os_error()),
            n => sent += n as usize,
        }
    }
    Ok(())
// lab:end
