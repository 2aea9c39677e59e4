// check: fork.output_once
// mistake: the child ends by `exit`, which writes out its copy of the parent's buffer
// lab:fill fork
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => std::process::exit(catch_panic(work)),
        child => Ok(child),
    }
// lab:end
