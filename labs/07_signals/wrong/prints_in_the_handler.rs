// check: handler.print
// mistake: the handler prints, with a lock that the interrupted code may hold
// lab:replace handler
    match signal {
// lab:with
    println!("signal {signal}");
    match signal {
// lab:end
// lab:fill install
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGUSR1] {
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
