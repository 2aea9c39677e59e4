// check: handler.print
// mistake: the handler logs, with a lock that the interrupted code may hold
// lab:replace handler
        _ => REPORT.store(true, Ordering::Relaxed),
// lab:with
        _ => {
            eprintln!("a report is asked for");
            REPORT.store(true, Ordering::Relaxed);
        }
// lab:end
// lab:fill install
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
