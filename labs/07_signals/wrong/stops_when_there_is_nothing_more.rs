// check: stop.in_hand
// mistake: after SIGTERM it goes on as long as requests are there
// lab:fill serve
    let mut asleep = SigSet::thread_get_mask()?;
    asleep.remove(Signal::SIGTERM);
    asleep.remove(Signal::SIGUSR1);
    let stdin = io::stdin();
    loop {
        if REPORT.swap(false, Ordering::Relaxed) {
            desk.report()?;
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, None, Some(asleep)) {
            Ok(_) if !desk.step()? => return Ok(()),
            Ok(_) => {}
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut fds = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
        let waiting = ppoll(&mut fds, Some(nix::sys::time::TimeSpec::new(0, 0)), None)?;
        if STOP.load(Ordering::Relaxed) && !desk.busy() && waiting == 0 {
            return Ok(());
        }
    }
// lab:end
