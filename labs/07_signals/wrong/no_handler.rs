// check: wait.woken
// mistake: nobody catches the signal, and its default action ends the program
// lab:fill wait
    let mut wait_mask = SigSet::thread_get_mask()?;
    wait_mask.remove(Signal::SIGUSR1);
    while !ready() {
        wait_mask.suspend()?;
    }
    Ok(())
// lab:end
