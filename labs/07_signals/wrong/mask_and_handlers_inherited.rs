// check: limit.clean_start
// mistake: the child keeps the handlers, the ignored signals and the mask of the program
// lab:fill spawn
    match unsafe { unistd::fork() }? {
        ForkResult::Child => {
            let _ = unistd::setpgid(Pid::from_raw(0), Pid::from_raw(0));
            let code = work();
            unsafe { libc::_exit(code) }
        }
        ForkResult::Parent { child } => {
            let _ = unistd::setpgid(child, child);
            Ok(child)
        }
    }
// lab:end
