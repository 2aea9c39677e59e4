// check: stop.not_lost
// mistake: the flag is looked at, then the read begins: a SIGTERM between the two is lost
// lab:fill install
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
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
        match service.step() {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
// lab:end
