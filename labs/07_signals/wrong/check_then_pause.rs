// check: wait.not_lost
// mistake: it looks, and then calls pause: a signal between the two is lost
// lab:fill wait
    extern "C" fn wake(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(wake), SaFlags::empty(), SigSet::empty());
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    while !ready() {
        nix::unistd::pause();
    }
    Ok(())
// lab:end
