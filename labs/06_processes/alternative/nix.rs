// way: the types of nix
// lab:fill spawn
    // SAFETY: this process has one thread, so the child may do whatever it could.
    match unsafe { nix::unistd::fork() }? {
        nix::unistd::ForkResult::Child => {
            let code = work();
            // SAFETY: it takes an integer and does not return.
            unsafe { libc::_exit(code) }
        }
        nix::unistd::ForkResult::Parent { child } => Ok(child.as_raw()),
    }
// lab:end
// lab:fill wait
    use nix::sys::wait::{WaitStatus, waitpid};
    loop {
        match waitpid(nix::unistd::Pid::from_raw(child), None) {
            Ok(WaitStatus::Exited(_, code)) => return Ok(Outcome::Exit(code)),
            Ok(WaitStatus::Signaled(_, signal, _)) => return Ok(Outcome::Killed(signal as i32)),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
// lab:end
