// check: echo.reset
// mistake: SIGPIPE ends the server when a client is gone
// lab:fill send-all
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        match unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), 0) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            n => sent += n as usize,
        }
    }
    Ok(())
// lab:end
