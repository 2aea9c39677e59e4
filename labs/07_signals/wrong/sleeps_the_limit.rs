// check: limit.outcomes
// mistake: it sleeps for the whole limit and looks only then
// lab:fill wait-in-time
    let deadline = Instant::now() + limit;
    std::thread::sleep(limit);
    let _ = deadline;
    match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
        WaitStatus::Exited(_, code) => Ok(Some(Outcome::Exit(code))),
        WaitStatus::Signaled(_, signal, _) => Ok(Some(Outcome::Killed(signal as i32))),
        _ => Ok(None),
    }
// lab:end
