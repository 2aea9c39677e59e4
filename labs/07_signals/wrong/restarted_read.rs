// check: stop.idle
// mistake: SA_RESTART: the read begins again, and the flag is looked at after the next request
// lab:fill install
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::SA_RESTART, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
// lab:fill serve
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            service.report()?;
        }
        if STOP.load(Ordering::Relaxed) && !service.busy() {
            return Ok(());
        }
        if !service.step()? {
            return Ok(());
        }
    }
// lab:end
