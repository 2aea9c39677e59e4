// check: fates.each_its_own
// mistake: whichever child ends first is taken for the one that was asked for
// lab:fill wait
    let _ = child;
    let mut status = 0;
    match unsafe { libc::waitpid(-1, &mut status, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(decode(status)),
    }
// lab:end
