// check: wait.not_lost
// mistake: the signal is blocked during the look, but let through before pause begins
// lab:fill wait
    extern "C" fn wake(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(wake), SaFlags::empty(), SigSet::empty());
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    let signal = SigSet::from(Signal::SIGUSR1);
    loop {
        signal.thread_block()?;
        let there = ready();
        signal.thread_unblock()?;
        if there {
            return Ok(());
        }
        nix::unistd::pause();
    }
// lab:end
