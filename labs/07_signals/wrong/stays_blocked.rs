// check: wait.mask
// mistake: the signal stays blocked when the wait is over
// lab:fill wait
    extern "C" fn wake(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(wake), SaFlags::empty(), SigSet::empty());
    let mut wait_mask = SigSet::from(Signal::SIGUSR1).thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    unsafe { sigaction(Signal::SIGUSR1, &action) }?;
    wait_mask.remove(Signal::SIGUSR1);
    while !ready() {
        wait_mask.suspend()?;
    }
    Ok(())
// lab:end
