//! Stops a peer at every system call or every instruction (ptrace(2)), and kills it there.
//!
//! The peer says with two marks which part of it is meant: it calls `mark()` of `ipc_peer`, which raises SIGURG. Without
//! a tracer that signal does nothing. Only peers of one thread can be traced.

use std::os::unix::process::CommandExt;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};

use nix::libc::{PTRACE_SYSCALL_INFO_ENTRY, PTRACE_SYSCALL_INFO_EXIT};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::wait_for;

/// How far [`Traced::step`] lets the peer run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// To the beginning or the end of the next system call. A peer that is killed at the beginning does not make the
    /// call.
    Call,
    /// One machine instruction. A system call is one instruction.
    Instruction,
}

/// Why the peer does not run at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It has made one step.
    Step,
    /// It has raised SIGURG.
    Mark,
    /// It waits inside a system call. Another [`Traced::step`] goes on waiting for it; [`Traced::kill`] kills it there.
    Asleep,
    /// It has ended, and is reaped.
    Ended(WaitStatus),
}

/// A peer that this thread traces; killed and reaped when it is dropped. It stays with the thread that started it.
pub struct Traced {
    pid: Pid,
    ended: bool,
    /// A step has begun and not ended: the peer was asleep.
    running: bool,
    pub stdin: Option<ChildStdin>,
    pub stdout: Option<ChildStdout>,
}

impl Traced {
    /// Starts `ipc_peer MODULE ROLE ARGUMENTS`, stopped before its first instruction. `None`, and a line on standard
    /// error, where the kernel refuses to trace.
    pub fn start(module: &str, role: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipc_peer"));
        command.args([module, role]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: ptrace(2) is one system call, and the error that is made of it allocates nothing.
        unsafe { command.pre_exec(|| Ok(ptrace::traceme()?)) };
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("SKIPPED: a process cannot be traced here: {error}");
                return None;
            }
        };
        let pid = Pid::from_raw(i32::try_from(child.id()).expect("a pid fits"));
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        // From here on it is reaped through its pid.
        drop(child);
        let traced = Self { pid, ended: false, running: false, stdin, stdout };
        let status = waitpid(pid, None).expect("it is ours");
        assert_eq!(status, WaitStatus::Stopped(pid, Signal::SIGTRAP), "at its exec");
        let options = ptrace::Options::PTRACE_O_EXITKILL | ptrace::Options::PTRACE_O_TRACESYSGOOD;
        ptrace::setoptions(pid, options).expect("it is stopped");
        Some(traced)
    }

    /// As [`start`](Self::start), and lets it run to its first mark.
    pub fn start_at_mark(module: &str, role: &str, arguments: &[&str]) -> Option<Self> {
        let mut traced = Self::start(module, role, arguments)?;
        let stop = traced.run();
        assert_eq!(stop, Stop::Mark, "{module} {role} {arguments:?}");
        Some(traced)
    }

    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Lets the peer make one step.
    pub fn step(&mut self, unit: Unit) -> Stop {
        // Of the instructions only a system call can sleep, and not to look for it is much cheaper.
        let can_sleep = self.running || unit == Unit::Call || self.is_at_call();
        if !self.running {
            match unit {
                Unit::Call => ptrace::syscall(self.pid, None),
                Unit::Instruction => ptrace::step(self.pid, None),
            }
            .expect("it is stopped");
        }
        self.wait(can_sleep)
    }

    /// Whether the next instruction of the stopped peer is a system call.
    #[cfg(target_arch = "x86_64")]
    fn is_at_call(&self) -> bool {
        let registers = ptrace::getregs(self.pid).expect("it is stopped");
        // Across the end of the code nothing can be read.
        let word = ptrace::read(self.pid, registers.rip as ptrace::AddressType);
        word.map_or(true, |word| word as u16 == 0x050f)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_at_call(&self) -> bool {
        true
    }

    /// Lets the peer run to its next mark, or its end.
    pub fn run(&mut self) -> Stop {
        if !self.running {
            ptrace::cont(self.pid, None).expect("it is stopped");
        }
        self.wait(false)
    }

    /// The system call that the peer is at, for messages: its number, and whether it begins or ends.
    pub fn position(&self) -> String {
        let Ok(info) = ptrace::syscall_info(self.pid) else { return "not stopped".to_owned() };
        match info.op {
            PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: the kernel has filled in this part of the union, as `op` says.
                format!("before system call {}", unsafe { info.u.entry.nr })
            }
            PTRACE_SYSCALL_INFO_EXIT => {
                // SAFETY: as above.
                format!("after a system call that returned {}", unsafe { info.u.exit.sval })
            }
            _ => format!("at instruction {:#x}", info.instruction_pointer),
        }
    }

    /// Kills the peer where it is, as `kill -9` does, and reaps it.
    pub fn kill(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // Both can fail only if it has ended.
        let _ = kill(self.pid, Signal::SIGKILL);
        let ended = |status| matches!(status, WaitStatus::Exited(..) | WaitStatus::Signaled(..));
        while waitpid(self.pid, None).is_ok_and(|status| !ended(status)) {}
    }

    /// Lets the peer run on without a tracer, and waits for its end. It is asleep or stopped.
    pub fn finish(&mut self) -> WaitStatus {
        drop(self.stdin.take());
        loop {
            match self.run() {
                Stop::Ended(status) => return status,
                Stop::Mark | Stop::Step => {}
                Stop::Asleep => unreachable!("it is not looked for"),
            }
        }
    }

    fn wait(&mut self, look_for_sleep: bool) -> Stop {
        self.running = true;
        let status = wait_for(|| {
            let status = match look_for_sleep {
                true => waitpid(self.pid, Some(WaitPidFlag::WNOHANG)),
                false => waitpid(self.pid, None),
            };
            match status.expect("it is ours") {
                WaitStatus::StillAlive if self.is_asleep() => Some(None),
                WaitStatus::StillAlive => None,
                status => Some(Some(status)),
            }
        });
        let Some(status) = status else { return Stop::Asleep };
        self.running = false;
        match status {
            WaitStatus::Stopped(_, Signal::SIGURG) => Stop::Mark,
            WaitStatus::PtraceSyscall(_) | WaitStatus::Stopped(_, Signal::SIGTRAP) => Stop::Step,
            WaitStatus::Exited(..) | WaitStatus::Signaled(..) => {
                self.ended = true;
                Stop::Ended(status)
            }
            status => panic!("the peer is not to do this: {status:?}"),
        }
    }

    /// Whether the kernel shows the peer in a sleep that a signal would end, twice in a row.
    fn is_asleep(&self) -> bool {
        let asleep = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid));
            let stat = stat.expect("it is not reaped");
            stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('S')
        };
        asleep() && {
            std::thread::yield_now();
            asleep()
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Kills a peer at every step between its first and its second mark: a new peer for each step, which `start` has brought to
/// its first mark.
///
/// After each kill `check` looks at what was left; its argument is where the peer was killed. One last time it is called for
/// a peer that has reached its second mark and is killed there. Returns the number of kills, and zero where nothing can
/// be traced.
///
/// A peer that falls asleep between its marks is killed in its sleep, which is the last step then. The time grows with the
/// square of the number of steps: by instructions, only for parts of a few hundred of them, without formatting or `/proc`.
pub fn kill_at_every(
    unit: Unit,
    mut start: impl FnMut() -> Option<Traced>,
    mut check: impl FnMut(&str),
) -> usize {
    for steps in 0.. {
        let Some(mut peer) = start() else { return 0 };
        let mut stop = Stop::Step;
        for _ in 0..steps {
            stop = peer.step(unit);
            if stop != Stop::Step {
                break;
            }
        }
        let place = format!("step {steps}, {stop:?}, {}", peer.position());
        assert!(!matches!(stop, Stop::Ended(_)), "{place}: the peer has ended before its mark");
        peer.kill();
        check(&place);
        if stop != Stop::Step {
            return steps + 1;
        }
    }
    unreachable!("the peer has a last step")
}
