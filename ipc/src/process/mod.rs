//! Child processes as owned values, and a pool of them.
//!
//! **What it is.** [`Process`] starts a function of this very program in a process of its own, or another
//! program, and owns it: its name, its pid, its end. [`Pool`] keeps a number of such processes at work on
//! jobs that come and go as messages. Both are in the spirit of Python's `multiprocessing`.
//!
//! A child is never a bare fork. It is `/proc/self/exe`, executed anew with a marker among its arguments
//! that [`init`] understands. So a program with threads may start children (a forked child of such a
//! program could not even allocate: another thread may have held the allocator's lock), no memory is
//! shared by accident, and no descriptor is inherited but those that were passed. The price: closures do
//! not cross `exec`. What a child is to do has a *name*, and what it needs are strings, messages or
//! descriptors.
//!
//! ```standalone_crate
//! use ipc::process::{self, Exit, Process};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     process::init(&[("greeter", greeter)]); // the first line: a child goes no further than this
//!     let child = Process::new("greeter").arg("world").start()?;
//!     println!("{} has pid {}", child.name(), child.pid());
//!     assert_eq!(child.join()?, Exit::Code(0));
//!     Ok(())
//! }
//!
//! fn greeter(arguments: &[String]) -> Result<(), Box<dyn std::error::Error>> {
//!     println!("hello, {}, from {}", arguments[0], process::name());
//!     Ok(())
//! }
//! ```
//!
//! **When to choose it.** For work that must not share memory: code that may crash, that is not trusted,
//! that changes what a process has one of (working directory, user, limits), or that must be killed when it
//! takes too long. Threads are cheaper in every other case.
//!
//! **Lifetime of its name.** A process has a name for people (in `ps` and in errors; the kernel keeps 15
//! bytes of it) and a pid. A pid is free for others as soon as its process was reaped; [`Process`]
//! therefore waits for and signals its child by a *pidfd*, which never means another process
//! (`pidfd_open(2)`).
//!
//! **What happens when a peer dies.** How a child ended is in its [`Exit`]; a pool replaces a worker
//! that died and reports the job that it had in hand. A child whose *parent* is killed lives on, as the children of a
//! shell or of Python do: its work may be worth finishing, and init reaps it. The rule is: a child that is of no use
//! without its parent is started as a [daemon](Launch::daemon), and ends with it. A pool's workers are daemons.
//!
//! A daemon has a *tether*: a pidfd of its parent, which can be read when the parent has ended, in whatever way. A thread
//! of the child waits for that and ends the process at once, by `_exit` (no destructor runs). A pipe whose other end the
//! parent holds would do nearly the same, but a forked copy of the parent holds that end, too. (A parent that executes
//! another program is still the same process, so its daemons live on.) The other way, `prctl(PR_SET_PDEATHSIG)`, has a trap:
//! the signal comes when the *thread* that started the child ends, though its process lives on. It also races with a parent
//! that dies before the call, and is forgotten when a set-user-id program is executed. It is used here for one
//! thing only: daemons that are third-party programs, which have no tether.
//!
//! **What a child inherits.** Environment, working directory, user, limits and standard error; the standard streams and
//! what was passed; nothing else. In particular no signal is blocked or ignored in it, although a bare `exec` passes
//! both on: a child of a program that ignores SIGTERM could not be [terminated](Process::terminate).
//!
//! **Pipes to a child.** A program that writes to a child and reads from it must do both at the same time
//! ([`Process::communicate`]), or both may wait for each other. A child that writes to a pipe that is not read does not end,
//! and [`Process::join`] waits for it.
//!
//! **When something is short.** A start needs some descriptors for a moment, a process and memory. The kernel has one errno
//! for several limits (`EAGAIN` of fork(2) for four of them). [`Launch::start`] looks which one is reached, and the error
//! names it. A pool waits until the shortage is over.
//!
//! **Cost.** In the order of a millisecond for a start: a fork, an `exec`, the dynamic linker. A fork takes longer the more
//! memory the parent has mapped. A pool pays that once per worker, and then two messages per job.
//!
//! **Zombies.** A child that has ended stays in the process table until its parent asks how it ended
//! (TLPI, chapter 26). [`Process`] asks when it is joined, when it is found dead by [`Process::is_alive`],
//! and in any case when it is dropped. It only ever waits for its own child; a `waitpid(-1)` elsewhere in
//! the program steals its status, and [`Process::join`] then fails with `ECHILD`.

mod child;
mod communicate;
pub mod frame;
mod pool;
mod start;
mod tracked;
mod tracker;
mod worker;

pub use child::{Exit, Launch, Process};
pub use pool::{JobHandle, Pool, PoolError, PoolOptions};
pub use start::{Entry, init, main, name, passed};
pub use tracked::Tracked;
pub use tracker::Tracker;
pub use worker::Worker;

/// The condition on which a bare fork rests: this process has one thread.
///
/// Of a process with more, only the thread that called fork is in the child, and whatever the others held at
/// that moment, the allocator's lock for one, is held for ever (fork(2)). For a program that forks and does
/// not execute another; [`Process`] does not need it.
///
/// # Errors
///
/// There are more threads, or `/proc` cannot be read.
pub fn assert_single_threaded() -> std::io::Result<()> {
    match std::fs::read_dir("/proc/self/task")?.count() {
        1 => Ok(()),
        threads => Err(std::io::Error::other(format!(
            "a process with {threads} threads must not fork: only one of them would be in the child"
        ))),
    }
}
