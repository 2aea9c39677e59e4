// check: read.no_alarm_left
// mistake: the alarm is not cancelled when the read has ended in time
// lab:fill read
    extern "C" fn on_alarm(_: libc::c_int) {}
    let action = SigAction::new(SigHandler::Handler(on_alarm), SaFlags::empty(), SigSet::empty());
    unsafe { signal::sigaction(Signal::SIGALRM, &action) }?;
    alarm(limit)?;
    match unistd::read(io::stdin(), buffer) {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
// lab:end
