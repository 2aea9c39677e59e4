// check: read.rings_early
// mistake: the alarm is set, then the read begins: an alarm that rings between the two is lost
// lab:fill read
    extern "C" fn on_alarm(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(on_alarm), SaFlags::empty(), SigSet::empty());
    unsafe { signal::sigaction(Signal::SIGALRM, &action) }?;
    alarm(limit)?;
    let outcome = unistd::read(io::stdin(), buffer);
    alarm(Duration::ZERO)?;
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
// lab:end
