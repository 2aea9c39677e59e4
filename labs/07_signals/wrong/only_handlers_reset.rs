// check: limit.clean_start
// mistake: every signal is put back to its default action, but the mask is inherited
// lab:fill spawn
    match unsafe { unistd::fork() }? {
        ForkResult::Child => {
            let _ = unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
            for signal in Signal::iterator() {
                let _ = unsafe { signal::signal(signal, SigHandler::SigDfl) };
            }
            let code = work();
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            let _ = unistd::setpgid(child, child);
            Ok(child)
        }
    }
// lab:end
