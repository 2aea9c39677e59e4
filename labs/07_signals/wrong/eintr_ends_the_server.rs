// check: stop.report
// mistake: poll comes back with EINTR, and that is taken for an error
// lab:fill serve
    let mut asleep = SigSet::thread_get_mask()?;
    asleep.remove(Signal::SIGTERM);
    asleep.remove(Signal::SIGUSR1);
    let stdin = io::stdin();
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            desk.report()?;
        }
        if STOP.load(Ordering::Relaxed) && !desk.busy() {
            return Ok(());
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        ppoll(&mut fds, None, Some(asleep))?;
        if !desk.step()? {
            return Ok(());
        }
    }
// lab:end
