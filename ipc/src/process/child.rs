//! The parent's side: starting, waiting, ending.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::PollFlags;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigSet, SigmaskHow};

use super::start;
use crate::error::{Error, Result};
use crate::sys::{self, Deadline, Owner, retry_libc};

/// Numbers the processes that were given no name.
static NEXT_NUMBER: AtomicU32 = AtomicU32::new(1);

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It ended by itself, with this exit code, 0 to 255. By convention 0 means success; an [`Entry`](super::Entry) that
    /// failed gives 1, one that panicked 101.
    Code(i32),
    /// A signal ended it, of this number; `SIGKILL` is 9. (Python's `exitcode` gives such a number negated, a
    /// shell adds 128 to it.)
    Signal(i32),
}

impl Exit {
    /// Whether it ended by itself with exit code 0.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(number) => match nix::sys::signal::Signal::try_from(number) {
                Ok(signal) => write!(f, "signal {number} ({signal})"),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// A process to be started: made by [`Process::new`] and [`Process::command`].
#[derive(Debug)]
#[must_use = "nothing runs before start()"]
pub struct Launch {
    executable: Executable,
    name: Option<String>,
    arguments: Vec<String>,
    daemon: bool,
    stdin: Stdio,
    stdout: Stdio,
    passed: Vec<OwnedFd>,
}

/// The entry or program that a process runs.
#[derive(Clone, Debug)]
pub(super) enum Executable {
    /// An entry of this program.
    Entry(String),
    /// Another program.
    Program(PathBuf),
}

impl Executable {
    /// How it is called in names and errors.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Entry(entry) => entry.clone(),
            Self::Program(path) => {
                path.file_name().unwrap_or_default().to_string_lossy().into_owned()
            }
        }
    }

    /// Prepares a process that runs it.
    pub(super) fn launch(&self) -> Launch {
        Launch::new(self.clone())
    }
}

impl Launch {
    fn new(executable: Executable) -> Self {
        Self {
            executable,
            name: None,
            arguments: Vec::new(),
            daemon: false,
            stdin: Stdio::null(),
            stdout: Stdio::inherit(),
            passed: Vec::new(),
        }
    }

    /// Adds an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Adds arguments.
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Names the process. Without this it is called after its entry or program, with a number.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Makes the process end when its parent ends, in whatever way, and be killed when its [`Process`] is
    /// dropped.
    ///
    /// An entry watches a tether: see the [module](super). A third-party program is given the signal KILL by the
    /// kernel when the *thread* that started it ends (`PR_SET_PDEATHSIG`), so start those from a
    /// thread that lives as long as they shall.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = daemon;
        self
    }

    /// What the process reads as its standard input. Without this it reads nothing (`/dev/null`), so that
    /// children do not fight over a terminal.
    pub fn stdin(mut self, stdin: impl Into<Stdio>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Where the standard output of the process goes. Without this it is that of the parent.
    pub fn stdout(mut self, stdout: impl Into<Stdio>) -> Self {
        self.stdout = stdout.into();
        self
    }

    /// Passes a descriptor, which the parent has no more once the process runs (or failed to start).
    ///
    /// An entry takes it by [`passed`](super::passed). A third-party program finds the numbers of its
    /// descriptors, with commas between them, in the environment as `IPC_DESCRIPTORS`.
    pub fn pass(mut self, descriptor: impl Into<OwnedFd>) -> Self {
        self.passed.push(descriptor.into());
        self
    }

    /// Starts the process.
    ///
    /// It has the parent's environment, working directory and standard error, and no descriptor beyond the standard
    /// ones but those that were [passed](Self::pass). No signal is blocked in it and none is ignored, whatever this
    /// process does (so a child of a program under `nohup` ends at SIGHUP). A Rust program then ignores SIGPIPE itself.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidName`]: there is no such entry, or [`init`](super::init) was not called; nothing was started.
    /// [`Error::Unusable`]: this program ignores SIGCHLD, so the kernel would reap the child unasked, and its
    /// pid could come to mean another process at any time; nothing was started.
    /// [`Error::Limit`]: too many processes or descriptors, no memory, too long arguments; it names the limit.
    /// [`Error::System`]: the kernel refused for another reason, as `execve` with `ENOENT`: no such program.
    pub fn start(self) -> Result<Process> {
        if let Executable::Entry(entry) = &self.executable {
            start::check_entry(entry)?;
        }
        let mut command = match &self.executable {
            Executable::Entry(entry) => {
                let mut command = Command::new("/proc/self/exe");
                // So that `ps` shows the program and not the link.
                command.arg0(std::env::args_os().next().unwrap_or_else(|| entry.into()));
                command
            }
            Executable::Program(path) => Command::new(path),
        };
        let name = self.name.unwrap_or_else(|| {
            let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed);
            format!("{}-{number}", self.executable.name())
        });
        let object = format!("process {name}");
        if sigchld_is_ignored() {
            let reason = "SIGCHLD is ignored, so nobody would learn how it ends";
            return Err(Error::unusable(object, reason));
        }
        let passed = self.passed.into_iter().map(|fd| move_above_stdio(fd, &object));
        let passed = passed.collect::<Result<Vec<OwnedFd>>>()?;
        let mut keep: Vec<RawFd> = passed.iter().map(AsRawFd::as_raw_fd).collect();
        let own_pid = std::process::id().cast_signed();
        let mut tether = None;
        let mut death_signal_parent = None;
        match &self.executable {
            Executable::Entry(entry) => {
                if self.daemon {
                    tether = Some(move_above_stdio(pidfd_open(own_pid, &object)?, &object)?);
                }
                let number = tether.as_ref().map(AsRawFd::as_raw_fd);
                command.args(start::arguments(entry, &name, number, &keep));
                keep.extend(number);
            }
            Executable::Program(_) => {
                if !keep.is_empty() {
                    command.env("IPC_DESCRIPTORS", start::join_descriptors(&keep));
                }
                death_signal_parent = self.daemon.then_some(own_pid);
            }
        }
        command.args(&self.arguments).stdin(self.stdin).stdout(self.stdout);
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let prepared =
            EventFd::from_flags(flags).map_err(|e| Error::system(&object, "eventfd", e))?;
        let prepared = move_above_stdio(prepared.into(), &object)?;
        let preparation = Preparation { keep, death_signal_parent, prepared: prepared.as_raw_fd() };
        // SAFETY: between fork and exec the closure makes system calls only: it neither allocates nor
        // takes a lock, and `keep` was filled before the fork.
        unsafe { command.pre_exec(move || preparation.prepare_exec()) };
        // The child begins with this mask, so no handler of this program runs in it.
        let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK);
        let spawned = command.spawn();
        if let Ok(mask) = mask {
            let _ = mask.thread_set_mask();
        }
        let mut child = spawned.map_err(|error| match error.raw_os_error() {
            None => Error::unusable(&object, error.to_string()),
            Some(number) => {
                let errno = Errno::from_raw(number);
                let (call, program) = match (nix::unistd::read(&prepared, &mut [0; 8]), errno) {
                    (Ok(_), _) => ("execve", Some(command.get_program())),
                    (_, Errno::EAGAIN | Errno::ENOMEM) => ("fork", None),
                    // The standard library's own pipe, those of `Stdio::piped()`, and `/dev/null`.
                    _ => ("pipe2 or open", None),
                };
                let program = program.map(|path| format!(", program {}", path.display()));
                Error::system(object.clone() + &program.unwrap_or_default(), call, errno)
            }
        })?;
        // Leaves room for the pidfd: a shortage is met before the child runs, not after.
        drop(prepared);
        let pid = child.id().cast_signed();
        // The child is ours and not reaped: its pid cannot mean another process yet.
        let pidfd = pidfd_open(pid, &object).inspect_err(|_| {
            let _ = child.kill();
            let _ = child.wait();
        })?;
        Ok(Process {
            name,
            pid,
            pidfd,
            daemon: self.daemon,
            exit: Mutex::new(None),
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            unsent: VecDeque::new(),
            output: Vec::new(),
            owner: Owner::here(),
        })
    }
}

/// Opens a descriptor that means the process `pid` for good, close-on-exec.
fn pidfd_open(pid: i32, object: &str) -> Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and touches no memory.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if number < 0 {
        return Err(Error::last(object, "pidfd_open"));
    }
    // SAFETY: the call just made this descriptor, and it has no other owner. It fits: descriptors are ints.
    Ok(unsafe { OwnedFd::from_raw_fd(number as RawFd) })
}

/// Moves a descriptor away from the standard streams, which `exec` would find replaced.
fn move_above_stdio(descriptor: OwnedFd, object: &str) -> Result<OwnedFd> {
    if descriptor.as_raw_fd() > 2 {
        return Ok(descriptor);
    }
    let number = fcntl(&descriptor, FcntlArg::F_DUPFD_CLOEXEC(3))
        .map_err(|errno| Error::system(object, "fcntl", errno))?;
    // SAFETY: fcntl just made this descriptor, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether the kernel reaps the children of this process by itself.
fn sigchld_is_ignored() -> bool {
    // SAFETY: the structure is plain data for which zero is a value; the call only fills it in.
    let action = unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGCHLD, std::ptr::null(), &mut action);
        action
    };
    action.sa_sigaction == libc::SIG_IGN || action.sa_flags & libc::SA_NOCLDWAIT != 0
}

/// What a child does between `fork` and `exec`.
struct Preparation {
    /// The descriptors that it keeps.
    keep: Vec<RawFd>,
    /// Set for a third-party daemon: its parent's pid.
    death_signal_parent: Option<i32>,
    /// An eventfd, which tells the parent that an error is that of `execve`.
    prepared: RawFd,
}

impl Preparation {
    /// In the child: system calls only.
    fn prepare_exec(&self) -> io::Result<()> {
        // SAFETY: the signal set is ours, and sigemptyset fills it before it is read; the eventfd's number is read from a
        // local of eight bytes. The other calls take integers.
        unsafe {
            // An ignored or blocked signal would stay so over exec, and TERM would never arrive. Every signal is
            // still blocked here, so none comes between. The call refuses KILL and STOP, which are never ignored, and
            // the two signals that the C library keeps for itself.
            for signal in 1..=libc::SIGRTMAX() {
                libc::signal(signal, libc::SIG_DFL);
            }
            let mut none: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
            // Everything of ours is close-on-exec from birth; this is for what others opened. A kernel before
            // 5.11 refuses, and then their descriptors are inherited.
            libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
            for &descriptor in &self.keep {
                if libc::fcntl(descriptor, libc::F_SETFD, 0) == -1 {
                    return Err(Errno::last().into());
                }
            }
            if let Some(parent) = self.death_signal_parent {
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong) == -1 {
                    return Err(Errno::last().into());
                }
                // It died before the call: the signal will not come. (The parent of the first process in a pid
                // namespace shows as 0.)
                if ![0, parent].contains(&libc::getppid()) {
                    return Err(Errno::ESRCH.into());
                }
            }
            let one = 1_u64;
            libc::write(self.prepared, (&raw const one).cast(), size_of::<u64>());
        }
        Ok(())
    }
}

/// A child process, owned.
///
/// Dropping it leaves no zombie. A process that is not a [daemon](Launch::daemon) is *joined*: the drop waits for it,
/// as Python waits for its children at the end. A daemon is killed. So is any child that is dropped by a panic: what
/// it waits for may never come, and the panic should be seen. Before the wait, the drop closes both pipes of the child,
/// so one that reads its input to the end comes to the end, and one that writes its output gets `EPIPE` (or SIGPIPE).
/// A pipe that was taken ([`take_stdin`](Self::take_stdin), [`take_stdout`](Self::take_stdout)) is the caller's to close,
/// before the drop.
///
/// A process belongs to the process that started it. In a forked copy of that one (a bare fork without `exec`), dropping
/// a `Process` does nothing to the child, `join` fails with `ECHILD`, and signals are sent as ever.
///
/// Standard error is always that of the parent. To read it, have the child send it to its output (`sh -c 'exec prog 2>&1'`).
///
/// All methods may be called from several threads at once.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: i32,
    pidfd: OwnedFd,
    daemon: bool,
    exit: Mutex<Option<Exit>>,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) stdout: Option<ChildStdout>,
    /// Input that `communicate` has still to write.
    pub(super) unsent: VecDeque<u8>,
    /// Output that `communicate` has read.
    pub(super) output: Vec<u8>,
    owner: Owner,
}

impl Process {
    /// Prepares a process that runs an entry of this program: see [`init`](super::init).
    #[expect(clippy::new_ret_no_self, reason = "a process exists once it was started")]
    pub fn new(entry: impl Into<String>) -> Launch {
        Launch::new(Executable::Entry(entry.into()))
    }

    /// Prepares a process that runs another program. A path without a slash is looked up in `PATH`.
    pub fn command(program: impl Into<PathBuf>) -> Launch {
        Launch::new(Executable::Program(program.into()))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id. Once the process was found to have ended, the number may come to mean another
    /// process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it ends with its parent.
    #[must_use]
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }

    /// The writing end of its standard input, once, if that was started as `Stdio::piped()`.
    pub fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.stdin.take()
    }

    /// The reading end of its standard output, once, if that was started as `Stdio::piped()`.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    ///
    /// As [`exit`](Self::exit).
    pub fn is_alive(&self) -> Result<bool> {
        Ok(self.exit()?.is_none())
    }

    /// How it ended; `None` while it runs. Does not wait.
    ///
    /// # Errors
    ///
    /// [`Error::System`] with `ECHILD`: it has ended, but other code in this program took its exit status, by
    /// `waitpid(-1)`; or this process is a forked copy of the one that started it.
    pub fn exit(&self) -> Result<Option<Exit>> {
        let mut exit = self.exit.lock().unwrap_or_else(PoisonError::into_inner);
        if exit.is_none() {
            *exit = self.reap(libc::WNOHANG)?;
        }
        Ok(*exit)
    }

    /// Waits until it has ended.
    ///
    /// It closes nothing. A child that reads a piped standard input to its end waits until that is taken and dropped. A
    /// child that writes more to a piped standard output than the pipe holds (64 KiB) waits until it is read, and never
    /// ends if its output is not read. [`communicate`](Self::communicate) does all three.
    ///
    /// # Errors
    ///
    /// As [`exit`](Self::exit).
    pub fn join(&self) -> Result<Exit> {
        self.wait(None)
    }

    /// As [`join`](Self::join), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: it still runs. Otherwise as [`exit`](Self::exit).
    pub fn join_timeout(&self, timeout: Duration) -> Result<Exit> {
        self.wait(Some(Deadline::monotonic(timeout)))
    }

    /// Asks it to end, by SIGTERM. Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// [`Error::System`]: the kernel refuses, `EPERM` for a process that has become another user's.
    pub fn terminate(&self) -> Result<()> {
        self.signal(libc::SIGTERM)
    }

    /// Ends it, by SIGKILL. It is gone soon after; [`join`](Self::join) waits for that.
    ///
    /// # Errors
    ///
    /// As [`terminate`](Self::terminate).
    pub fn kill(&self) -> Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Sends it the signal of this number. Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// As [`terminate`](Self::terminate); `EINVAL` if there is no such signal.
    pub fn signal(&self, number: i32) -> Result<()> {
        let none = std::ptr::null::<libc::siginfo_t>();
        let pidfd = self.pidfd.as_raw_fd();
        // SAFETY: the descriptor is open for as long as `self` lives; a null siginfo asks the kernel to
        // fill in what kill(2) would.
        let sent = retry_libc(|| unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, pidfd, number, none, 0)
        });
        match sent {
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(self.system_error("pidfd_send_signal", errno)),
        }
    }

    pub(super) fn wait(&self, deadline: Option<Deadline>) -> Result<Exit> {
        loop {
            if let Some(exit) = self.exit()? {
                return Ok(exit);
            }
            // Not waitid, which would hold the lock for as long as the child lives.
            sys::ready(&self.object(), self.as_fd(), PollFlags::POLLIN, deadline.as_ref())?;
        }
    }

    /// Asks the kernel whether it has ended, and how. Waits, unless `flags` are `WNOHANG`.
    fn reap(&self, flags: libc::c_int) -> Result<Option<Exit>> {
        let id = self.pidfd.as_raw_fd().cast_unsigned();
        // SAFETY: siginfo_t is a C structure of integers and pointers, for which zero is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is ours and alive during the call; the descriptor is open.
        retry_libc(|| unsafe { libc::waitid(libc::P_PIDFD, id, &mut info, libc::WEXITED | flags) })
            .map_err(|errno| self.system_error("waitid", errno))?;
        // SAFETY: waitid filled in the fields of a SIGCHLD, or left all at zero, the pid too.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        Ok(match (pid, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(Exit::Code(status)),
            _ => Some(Exit::Signal(status)),
        })
    }

    pub(super) fn object(&self) -> String {
        format!("process {} ({})", self.name, self.pid)
    }

    pub(super) fn system_error(&self, call: &'static str, errno: Errno) -> Error {
        Error::system(self.object(), call, errno)
    }
}

impl AsFd for Process {
    /// The pidfd: readable once the process has ended, for whoever polls many things.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.owner.is_here() {
            return;
        }
        if self.daemon || std::thread::panicking() {
            let _ = self.kill();
        }
        // A pipe that we hold open might be what the child waits for.
        self.stdin = None;
        self.stdout = None;
        if matches!(self.exit(), Ok(None)) {
            // Not by `poll`, which fails when RLIMIT_NOFILE is 0: a zombie would stay. This call fails only if other
            // code took the exit status, and then there is no zombie either.
            let _ = self.reap(0);
        }
    }
}
