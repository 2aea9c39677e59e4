// check: serve.no_process
// mistake: whoever is not the child is taken for the parent of one, although the fork has failed
// lab:fill serve
    let _ = children::spawn(|| {
        unsafe { libc::close(listener.as_raw_fd()) };
        match serve_client(&stream, root) {
            Ok(()) => 0,
            Err(_) => 1,
        }
    });
// lab:end
