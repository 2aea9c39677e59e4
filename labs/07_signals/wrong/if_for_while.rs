// check: wait.looks_again
// mistake: the signal is taken for the thing itself: no second look
// lab:fill wait
    extern "C" fn wake(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(wake), SaFlags::empty(), SigSet::empty());
    let before = SigSet::from(Signal::SIGUSR1).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    let mut asleep = before;
    asleep.remove(Signal::SIGUSR1);
    if !ready() {
        asleep.suspend()?;
    }
    Ok(before.thread_set_mask()?)
// lab:end
