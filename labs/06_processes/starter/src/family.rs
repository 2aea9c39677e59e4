//! To begin a child, to wait for it, and three ways of leaving no zombie.

use std::fmt;
use std::io;

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// By itself, with this code.
    Exit(i32),
    /// By this signal.
    Killed(i32),
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Exit(code) => write!(f, "exit {code}"),
            Fate::Killed(signal) => write!(f, "killed {signal}"),
        }
    }
}

/// Begins a child that does `work` and ends with the code that it gives. Gives the child's number.
pub fn begin(work: impl FnOnce() -> i32) -> io::Result<libc::pid_t> {
    // hole: begin
    // fork returns twice. How does the child end, and what of the parent's is still in its buffers?
    let _ = work;
    todo!("a child that does its work and ends")
}

/// What the number that `wait` gives means.
pub fn decode(status: i32) -> Fate {
    // hole: decode
    // It is not the exit code: man 2 wait tells how the two are packed into it.
    todo!("the fate in a status")
}

/// Waits for this child and says how it ended.
pub fn bury(child: libc::pid_t) -> io::Result<Fate> {
    // hole: bury
    // Which of several children? And what if a signal comes in the middle of the wait?
    todo!("wait for this child")
}

/// Has children that end from now on leave no zombies, without anybody waiting for them. The program must go on
/// as before: what it reads and writes is not to fail because a child has ended.
pub fn bury_as_they_die() -> io::Result<()> {
    // hole: sigchld
    // There are two ways: a handler for SIGCHLD, or telling the kernel that nobody will ask. Five children
    // may end at once: how many signals come?
    todo!("leave no zombies")
}

/// Begins a process that is nobody's child here: its parent ends at once, and somebody else adopts it.
pub fn orphan(work: impl FnOnce() -> i32) -> io::Result<()> {
    // hole: orphan
    // fork twice. Which of the three ends at once, and who waits for it?
    let _ = work;
    todo!("a grandchild")
}
