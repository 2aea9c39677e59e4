//! Starting a peer, waiting for what it says, and waiting for what becomes true.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Asks again and again until there is an answer.
///
/// Whatever a test closes may stay open for a moment: a child that another test of the same process has just forked holds
/// copies of all descriptors until it becomes another program.
#[allow(dead_code)] // Not every test binary has to wait.
pub fn until<T>(mut answer: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = answer() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing has come of it");
        std::thread::yield_now();
    }
}

/// A peer of the test; killed and reaped when it is dropped.
pub struct Peer {
    child: Child,
    /// Closing it tells the peer to end.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

#[allow(dead_code)] // Every test binary uses another part of this module.
impl Peer {
    /// Starts `ipc_peer MODULE WHAT ARGUMENTS`.
    pub fn start(module: &str, what: &str, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ipc_peer"))
            .args([module, what])
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
    pub fn tell(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("it is open until the peer is finished");
        stdin.write_all(bytes).expect("the peer reads");
    }

    /// Sends the peer a line.
    pub fn say(&mut self, line: &str) {
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

    /// Tells the peer to end, and returns its exit code.
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
