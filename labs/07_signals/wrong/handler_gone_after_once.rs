// check: stop.twice
// mistake: SA_RESETHAND: the second SIGTERM has its default action
// lab:fill watch
    let signals = [Signal::SIGTERM, Signal::SIGUSR1];
    SigSet::from_iter(signals).thread_block()?;
    let flags = [SaFlags::SA_RESETHAND, SaFlags::empty()];
    for (signal, flags) in signals.into_iter().zip(flags) {
        let action = SigAction::new(SigHandler::Handler(on_signal), flags, SigSet::empty());
        unsafe { sigaction(signal, &action) }?;
    }
    Ok(())
// lab:end
