// check: stop.idle
// mistake: SA_RESTART: the read begins again, and the flag is looked at after the next request
// lab:fill watch
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
// lab:fill serve
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            desk.report()?;
        }
        if STOP.load(Ordering::Relaxed) && !desk.busy() {
            return Ok(());
        }
        if !desk.step()? {
            return Ok(());
        }
    }
// lab:end
