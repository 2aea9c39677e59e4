// check: limit.nothing_left
// mistake: only the shell is ended, and what it has begun runs on
// lab:fill terminate
    let _ = signal::kill(child, Signal::SIGTERM);
    if wait_in_time(child, GRACE)?.is_none() {
        let _ = signal::kill(child, Signal::SIGKILL);
        waitpid(child, None)?;
    }
    Ok(())
// lab:end
