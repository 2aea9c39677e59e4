// check: fates.output_once
// mistake: the child ends by `exit`, which writes out its copy of the buffers of the parent
// lab:fill spawn
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => std::process::exit(work()),
        child => Ok(child),
    }
// lab:end
