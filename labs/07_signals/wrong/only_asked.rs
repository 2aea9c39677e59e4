// check: limit.asked_first
// mistake: SIGTERM and nothing after it: a command that ignores it runs for ever
// lab:fill terminate
    let _ = signal::killpg(child, Signal::SIGTERM);
    loop {
        match waitpid(child, None) {
            Err(Errno::EINTR) => {}
            other => return Ok(other.map(drop)?),
        }
    }
// lab:end
