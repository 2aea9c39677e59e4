// check: limit.nothing_left
// mistake: the command is killed and never waited for
// lab:fill terminate
    let _ = signal::killpg(child, Signal::SIGTERM);
    std::thread::sleep(GRACE);
    let _ = signal::killpg(child, Signal::SIGKILL);
    Ok(())
// lab:end
