// check: serve.no_process
// mistake: everything but a positive number is taken for the child, so the server itself serves the client and ends
// lab:fill fork
    let child = unsafe { libc::fork() };
    if child <= 0 {
        let code = catch_panic(work);
        unsafe { libc::_exit(code) }
    }
    Ok(child)
// lab:end
