// way: alarms for every limit: one that rings until it is heard, and one that sigsuspend waits for
// lab:fill read
    extern "C" fn on_alarm(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(on_alarm), SaFlags::empty(), SigSet::empty());
    // SAFETY: the handler does nothing.
    unsafe { signal::sigaction(Signal::SIGALRM, &action) }?;
    let deadline = Instant::now() + limit;
    // If the first comes too early, another comes soon.
    set_timer(limit, Duration::from_millis(2))?;
    let outcome = loop {
        match unistd::read(io::stdin(), buffer) {
            Ok(count) => break Ok(Some(count)),
            Err(Errno::EINTR) if Instant::now() >= deadline => break Ok(None),
            Err(Errno::EINTR) => {}
            Err(error) => break Err(error.into()),
        }
    };
    alarm(Duration::ZERO)?;
    outcome
// lab:end
// lab:fill wait-in-time
    extern "C" fn on_signal(_: libc::c_int) {}
    let mut signals = SigSet::from(Signal::SIGCHLD);
    signals.add(Signal::SIGALRM);
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let action = SigAction::new(SigHandler::Handler(on_signal), SaFlags::empty(), SigSet::empty());
    for signal in [Signal::SIGCHLD, Signal::SIGALRM] {
        // SAFETY: the handler does nothing.
        unsafe { signal::sigaction(signal, &action) }?;
    }
    let mut wait_mask = before;
    wait_mask.remove(Signal::SIGCHLD);
    wait_mask.remove(Signal::SIGALRM);
    let deadline = Instant::now() + limit;
    alarm(limit)?;
    let outcome = loop {
        match waitpid(child, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, code) => break Some(Outcome::Exit(code)),
            WaitStatus::Signaled(_, signal, _) => break Some(Outcome::Killed(signal as i32)),
            _ if Instant::now() >= deadline => break None,
            _ => wait_mask.suspend()?,
        }
    };
    alarm(Duration::ZERO)?;
    before.thread_set_mask()?;
    Ok(outcome)
// lab:end
// lab:fill spawn
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { unistd::fork() } {
        Ok(ForkResult::Child) => {
            // SAFETY: this call takes integers.
            unsafe { libc::setpgid(0, 0) };
            for signal in 1..libc::SIGRTMIN() {
                // SAFETY: no handler is installed. For SIGKILL and SIGSTOP it is refused, and needless.
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            let _ = SigSet::all().thread_unblock();
            let code = work();
            // SAFETY: it takes an integer and does not return.
            unsafe { libc::_exit(code) }
        }
        Ok(ForkResult::Parent { child }) => {
            mask.thread_set_mask()?;
            let _ = unistd::setpgid(child, child);
            Ok(child)
        }
        Err(error) => {
            mask.thread_set_mask()?;
            Err(error.into())
        }
    }
// lab:end
