// check: echo.reset
// mistake: an error of one connection ends the program
// lab:fill receive
    loop {
        match unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    panic!("recv: {error}");
                }
            }
            n => return Ok(n as usize),
        }
    }
// lab:end
