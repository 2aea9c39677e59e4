// check: serve.no_process
// mistake: a fork that fails ends the whole server
// lab:fill serve
    children::spawn(|| {
        unsafe { libc::close(listener.as_raw_fd()) };
        match serve_client(&stream, root) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    })
    .expect("fork failed");
// lab:end
