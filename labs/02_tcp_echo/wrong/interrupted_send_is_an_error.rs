// check: echo.partial_sends
// mistake: a send that a signal has interrupted is taken for a broken connection
// lab:replace send-all
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
// lab:with
            -1 => return Err(io::Error::last_os_error()),
// lab:end
