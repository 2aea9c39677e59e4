// check: read.answers
// mistake: the handler is installed with SA_RESTART (as signal(2) does), so the read begins again
// lab:fill read
    extern "C" fn on_alarm(_: libc::c_int) {}
    unsafe { signal::signal(Signal::SIGALRM, SigHandler::Handler(on_alarm)) }?;
    alarm(limit)?;
    let outcome = unistd::read(io::stdin(), buffer);
    alarm(Duration::ZERO)?;
    match outcome {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EINTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
// lab:end
