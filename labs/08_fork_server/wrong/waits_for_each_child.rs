// check: serve.last_first
// mistake: the server waits until the child has ended, and only then accepts the next client
// lab:fill serve
    let child = children::spawn(|| {
        unsafe { libc::close(listener.as_raw_fd()) };
        match serve_client(&stream, root) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    });
    match child {
        Ok(child) => {
            drop(stream);
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
        }
        Err(_) => {
            let _ = (&stream).write_all(b"ERR busy no process for this client\n");
        }
    }
// lab:end
