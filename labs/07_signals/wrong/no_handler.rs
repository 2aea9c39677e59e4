// check: wait.woken
// mistake: nobody catches the signal, and its default action ends the program
// lab:fill wait
    let mut asleep = SigSet::thread_get_mask()?;
    asleep.remove(Signal::SIGUSR1);
    while !ready() {
        asleep.suspend()?;
    }
    Ok(())
// lab:end
