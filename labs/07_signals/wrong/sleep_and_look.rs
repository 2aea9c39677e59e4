// check: wait.sleeps
// mistake: it sleeps a little and looks again, whether a signal has come or not
// lab:fill wait
    extern "C" fn wake(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(wake), SaFlags::empty(), SigSet::empty());
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    while !ready() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Ok(())
// lab:end
