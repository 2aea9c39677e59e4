//! Starting a peer, reading what it prints, and waiting for a state.

#![allow(dead_code)] // Every test binary uses another part of this module.

pub mod namespace;
pub mod trace;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Longer than anything here takes: only a test that hangs reaches it.
pub const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Polls until there is a result.
///
/// Whatever a test closes may stay open for a moment: a child that another test of the same process has just forked holds
/// copies of all descriptors until it becomes another program.
pub fn wait_for<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(result) = attempt() {
            return result;
        }
        assert!(begun.elapsed() < TEST_TIMEOUT, "nothing has come of it");
        std::thread::yield_now();
    }
}

/// Waits until the kernel shows the process asleep.
pub fn wait_asleep(pid: i32) {
    wait_for(|| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let state = stat.rsplit(')').next().unwrap().trim_start();
        assert!(!state.starts_with('Z'), "{stat}");
        state.starts_with('S').then_some(())
    });
}

/// Waits until the thread of `/proc/TASK` is inside the system call, not on its way there.
pub fn wait_in_call(task: &str, call: i64) {
    let (file, number) = (format!("/proc/{task}/syscall"), format!("{call} "));
    wait_for(|| {
        std::fs::read_to_string(&file).is_ok_and(|now| now.starts_with(&number)).then_some(())
    });
}

/// Sends signals until only a zombie is left: a wait that restarted at each signal would never end.
/// The pause between two signals is a poll of nothing.
pub fn signal_until_ended(pid: i32, signal: Signal) {
    wait_for(|| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let ended = stat.contains(") Z ");
        if !ended {
            let _ = poll(&mut [], PollTimeout::from(20_u8));
            kill(Pid::from_raw(pid), signal).unwrap();
        }
        ended.then_some(())
    });
}

/// A peer of the test; killed and reaped when it is dropped.
pub struct Peer {
    child: Child,
    /// Closing it tells the peer to end.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Peer {
    /// Starts `ipc_peer MODULE ROLE ARGUMENTS`.
    pub fn start(module: &str, role: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ipc_peer"))
            .args([module, role])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the peer starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("a pipe was asked for"));
        Self { child, stdin, stdout }
    }

    /// The next line that the peer prints, without its end; empty when the peer has ended.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the peer's output is text");
        line.trim_end().to_owned()
    }

    /// Writes to the peer's standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("it is open until the peer is finished");
        stdin.write_all(bytes).expect("the peer reads");
    }

    /// Sends the peer a line.
    pub fn write_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the peer was not told to end");
        // In one piece: the peer may end as soon as it has what it can act upon.
        stdin.write_all(format!("{line}\n").as_bytes()).expect("the peer reads");
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid fits")
    }

    /// Kills the peer as `kill -9` does, and reaps it.
    pub fn kill(&mut self) {
        self.child.kill().expect("the peer is ours");
        self.child.wait().expect("the peer is ours");
    }

    /// Ends the peer's input, which makes it end, and returns the line that it prints then.
    pub fn end(mut self) -> String {
        drop(self.stdin.take());
        self.line()
    }

    /// Ends the peer's input, which makes it end, and returns its exit code.
    pub fn finish(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().expect("the peer is ours").code()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Already gone is what most tests end with.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
