// check: limit.asked_first
// mistake: SIGKILL at once, and no time to tidy up
// lab:fill terminate
    let _ = signal::killpg(child, Signal::SIGKILL);
    waitpid(child, None)?;
    Ok(())
// lab:end
