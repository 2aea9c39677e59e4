// check: stop.in_hand
// mistake: after SIGTERM it goes on as long as requests are there
// lab:fill serve
    let mut wait_mask = SigSet::thread_get_mask()?;
    wait_mask.remove(Signal::SIGTERM);
    wait_mask.remove(Signal::SIGUSR1);
    let stdin = io::stdin();
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            service.report()?;
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, None, Some(wait_mask)) {
            Ok(_) if !service.step()? => return Ok(()),
            Ok(_) => {}
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let waiting = ppoll(&mut fds, Some(nix::sys::time::TimeSpec::new(0, 0)), None)?;
        if STOP.load(Ordering::Relaxed) && !service.busy() && waiting == 0 {
            return Ok(());
        }
    }
// lab:end
