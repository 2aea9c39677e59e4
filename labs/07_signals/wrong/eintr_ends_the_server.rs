// check: stop.report
// mistake: poll comes back with EINTR, and that is taken for an error
// lab:fill serve
    let mut wait_mask = SigSet::thread_get_mask()?;
    wait_mask.remove(Signal::SIGTERM);
    wait_mask.remove(Signal::SIGUSR1);
    let stdin = io::stdin();
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            service.report()?;
        }
        if STOP.load(Ordering::Relaxed) && !service.busy() {
            return Ok(());
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        ppoll(&mut fds, None, Some(wait_mask))?;
        if !service.step()? {
            return Ok(());
        }
    }
// lab:end
