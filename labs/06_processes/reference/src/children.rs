//! Starts children, waits for them, and leaves no zombies in three ways.

// lab:canary heron-06-processes
use std::fmt;
use std::io;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Killed(i32),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Exit(code) => write!(f, "exit {code}"),
            Outcome::Killed(signal) => write!(f, "killed {signal}"),
        }
    }
}

/// Starts a child that does `work` and exits with the code that it returns. Returns the child's process ID.
pub fn spawn(work: impl FnOnce() -> i32) -> io::Result<libc::pid_t> {
    // lab:hole spawn
    // SAFETY: this process has one thread, so the child may do whatever it could. (Had it more: only what is
    // async-signal-safe.)
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = work();
            // Not `exit`: it would write out what the parent has in its buffers, once more.
            // SAFETY: it takes an integer and does not return.
            unsafe { libc::_exit(code) }
        }
        child => Ok(child),
    }
    // lab:stub // fork returns twice. How does the child end, and what of the parent's is still in its buffers?
    // lab:stub let _ = work;
    // lab:stub todo!("a child that does its work and ends")
    // lab:end
}

/// Decodes the status that `wait` returns.
pub fn decode(status: i32) -> Outcome {
    // lab:hole decode
    if libc::WIFSIGNALED(status) {
        Outcome::Killed(libc::WTERMSIG(status))
    } else {
        Outcome::Exit(libc::WEXITSTATUS(status))
    }
    // lab:stub // It is not the exit code: man 2 wait tells how the two are packed into it.
    // lab:stub todo!("the outcome in a status")
    // lab:end
}

/// Waits for this child and returns how it ended.
pub fn wait_for(child: libc::pid_t) -> io::Result<Outcome> {
    // lab:hole wait
    loop {
        let mut status = 0;
        // SAFETY: `status` is a number of the right type and lives through the call.
        match unsafe { libc::waitpid(child, &mut status, 0) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            _ => return Ok(decode(status)),
        }
    }
    // lab:stub // Which of several children? And what if a signal comes in the middle of the wait?
    // lab:stub todo!("wait for this child")
    // lab:end
}

/// From now on, children that end leave no zombies, without a call of [`wait_for`]. The program must go on
/// as before: what it reads and writes is not to fail because a child has ended.
pub fn reap_automatically() -> io::Result<()> {
    // lab:hole sigchld
    extern "C" fn on_sigchld(_: libc::c_int) {
        // SAFETY: errno is this thread's; waitpid is async-signal-safe, and no status is asked for.
        unsafe {
            let errno = *libc::__errno_location();
            // Signals of one kind do not queue up: one may stand for many children.
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
            *libc::__errno_location() = errno;
        }
    }
    // SAFETY: all zero is a valid sigaction; the handler does what a handler may.
    let done = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_sigchld as *const () as usize;
        action.sa_flags = libc::SA_RESTART | libc::SA_NOCLDSTOP;
        libc::sigaction(libc::SIGCHLD, &action, std::ptr::null_mut())
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    // lab:stub // There are two ways: a handler for SIGCHLD, or telling the kernel that nobody will ask. Five children
    // lab:stub // may end at once: how many signals come?
    // lab:stub todo!("leave no zombies")
    // lab:end
}

/// Starts a process that is not a child of this one: its parent ends at once, and init or a subreaper adopts it.
pub fn orphan(work: impl FnOnce() -> i32) -> io::Result<()> {
    // lab:hole orphan
    let middle = spawn(|| match spawn(work) {
        Ok(_) => 0,
        Err(_) => 1,
    })?;
    match wait_for(middle)? {
        Outcome::Exit(0) => Ok(()),
        _ => Err(io::Error::other("no process for the orphan")),
    }
    // lab:stub // fork twice. Which of the three ends at once, and who waits for it?
    // lab:stub let _ = work;
    // lab:stub todo!("a grandchild")
    // lab:end
}
