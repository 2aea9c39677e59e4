// check: echo.partial_sends
// mistake: after a partial send everything is sent again, from the beginning
// lab:fill send-all
    loop {
        match unsafe { libc::send(fd, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            n if n as usize == bytes.len() => return Ok(()),
            _ => {}
        }
    }
// lab:end
