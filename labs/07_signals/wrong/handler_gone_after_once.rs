// check: stop.twice
// mistake: SA_RESETHAND: the second SIGTERM has its default action
// lab:replace install
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
    for signal in signals {
// lab:with
    let flags = [SaFlags::SA_RESETHAND, SaFlags::empty()];
    for (signal, flags) in signals.into_iter().zip(flags) {
        let action = SigAction::new(SigHandler::Handler(on_signal), flags, SigSet::empty());
// lab:end
