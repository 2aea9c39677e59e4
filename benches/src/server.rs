//! A measured server: a process of its own, started, found and stopped.

use crate::control_group::ControlGroup;
use crate::{Placement, Variant, out, tether};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, kill_process_group, pidfd_open,
    waitid,
};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a server may take to print its address.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a server may take to stop before it is killed.
const EXIT_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the last output of a server that has ended may take to arrive: a child of its own may keep the pipe open.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);

/// As many bytes of a server's standard error are kept.
const KEPT: usize = 4096;

/// As many of its last lines are shown in an error.
const SHOWN: usize = 3;

/// A running server. Dropping it stops it, and kills what it leaves behind.
#[derive(Debug)]
pub struct Server {
    child: Child,
    addr: SocketAddr,
    /// Holds all of its processes, where such a group can be made.
    group: Option<ControlGroup>,
    stderr: LastWords,
}

impl Server {
    /// Starts `variant` on `root` in the server's place. What it prints on standard error is shown as it comes.
    ///
    /// `serve` is a command that takes a model's name and its options, as the `serve` binary does.
    ///
    /// # Errors
    ///
    /// It cannot be started or ends before it listens; the error has its last lines on standard error.
    pub fn start(
        mut serve: Command,
        variant: &Variant,
        root: &Path,
        options: &[&str],
        placement: Placement,
    ) -> io::Result<Server> {
        serve.arg(variant.model).args(variant.options).args(options);
        serve.args(["--addr", "127.0.0.1:0", "--root"]).arg(root);
        let server = Server::spawn(serve, placement)?;
        server.stderr.show();
        Ok(server)
    }

    /// Starts any command that prints `listening on ADDRESS` first. Of its standard error the end is kept, for
    /// [`why_ended`](Server::why_ended), and nothing is shown: a log of every client does not belong on this terminal.
    ///
    /// # Errors
    ///
    /// It cannot be started or ends before it listens; the error has its last lines on standard error.
    pub fn spawn(mut command: Command, placement: Placement) -> io::Result<Server> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (mut child, group) = launch(&mut command, placement)?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let first_line = first_line(stdout)?;
        // From here on it ends with this value.
        let unknown = SocketAddr::from(([0; 4], 0));
        let mut server = Server::adopt(child, unknown, group);
        let line = match first_line.recv_timeout(START_TIMEOUT) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                let seconds = START_TIMEOUT.as_secs();
                let why = format!("it did not print `listening on HOST:PORT` within {seconds} s");
                return Err(io::Error::other(why + &server.stderr.quoted()));
            }
            Err(RecvTimeoutError::Disconnected) => String::new(),
        };
        match line.trim_end().strip_prefix("listening on ").and_then(|addr| addr.parse().ok()) {
            Some(addr) => {
                server.addr = addr;
                Ok(server)
            }
            None if line.is_empty() => {
                ended(server.pid(), EXIT_TIMEOUT);
                server.stderr.wait();
                let why = server.why_ended().unwrap_or_else(|| "it closed its output".into());
                Err(io::Error::other(why))
            }
            None => {
                let line: String = line.trim_end().chars().take(200).collect();
                let why = format!("it printed {line:?} in place of `listening on HOST:PORT`");
                Err(io::Error::other(why))
            }
        }
    }

    /// Starts any command that is going to listen on `addr`.
    ///
    /// # Errors
    ///
    /// It cannot be started.
    pub fn spawn_at(
        command: &mut Command,
        addr: SocketAddr,
        placement: Placement,
    ) -> io::Result<Server> {
        let (child, group) = launch(command, placement)?;
        Ok(Server::adopt(child, addr, group))
    }

    /// Waits for its end, at most for `time`; returns how it ended, if it did.
    ///
    /// # Errors
    ///
    /// The system does not answer.
    pub fn ended_within(&mut self, time: Duration) -> io::Result<Option<ExitStatus>> {
        let _ = ended(self.pid(), time);
        self.child.try_wait()
    }

    /// Takes charge of a process that serves on `addr`. Where its standard error is a pipe, the end of it is kept, for
    /// [`why_ended`](Server::why_ended).
    fn adopt(mut child: Child, addr: SocketAddr, group: Option<ControlGroup>) -> Server {
        tether::register(Pid::from_child(&child));
        let stderr = child.stderr.take().map_or_else(LastWords::default, LastWords::of);
        Server { child, addr, group, stderr }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process that was started; it may have children.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// How it has ended, with its last lines on standard error: `it ended with exit status 1 and printed: ...`. `None`
    /// while it runs.
    pub fn why_ended(&self) -> Option<String> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid()), options).ok().flatten()?;
        self.stderr.wait();
        let how = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => format!("exit status {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown status".into(),
        };
        Some(format!("it ended with {how}{}", self.stderr.quoted()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.pid();
        // A process that has been waited for has no number any more.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(pid), options).is_ok() {
            let _ = kill_process(pid, Signal::TERM);
            if !ended(pid, EXIT_TIMEOUT) {
                let _ = self.child.kill();
            }
            // Its number stands for its group until it is reaped.
            let _ = kill_process_group(pid, Signal::KILL);
            let _ = self.child.wait();
        }
        // What has left the server's process group ends with the control group.
        drop(self.group.take());
        tether::release(pid);
    }
}

/// Reads a server's standard output; returns its first line. What comes after is read too, so that the server never
/// waits for room.
fn first_line(stdout: impl Read + Send + 'static) -> io::Result<Receiver<String>> {
    let (sender, receiver) = channel();
    let read = move || {
        let mut lines = BufReader::with_capacity(256, stdout);
        let mut line = Vec::new();
        let _ = lines.by_ref().take(KEPT as u64).read_until(b'\n', &mut line);
        let line = String::from_utf8_lossy(&line).into_owned();
        // The receiver may have timed out.
        let _ = sender.send(line);
        let mut rest = [0; KEPT];
        while lines.read(&mut rest).is_ok_and(|read| read > 0) {}
    };
    thread::Builder::new().name("server-stdout".into()).spawn(read)?;
    Ok(receiver)
}

/// The end of a server's standard error.
#[derive(Debug, Default)]
struct LastWords {
    kept: Arc<Mutex<Kept>>,
    /// Closed when all was read.
    end: Option<Mutex<Receiver<()>>>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: VecDeque<u8>,
    shown: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LastWords {
    /// Reads a pipe to its end, in a thread of its own.
    fn of(mut stderr: impl Read + Send + 'static) -> LastWords {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let (sender, end) = channel();
        let into = kept.clone();
        let read = move || {
            let _sender = sender;
            let mut buffer = [0; KEPT];
            loop {
                let read = match stderr.read(&mut buffer) {
                    Ok(0) => return,
                    Ok(read) => read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(_) => return,
                };
                let mut kept = locked(&into);
                kept.bytes.extend(&buffer[..read]);
                let extra = kept.bytes.len().saturating_sub(KEPT);
                kept.bytes.drain(..extra);
                if kept.shown {
                    let text = String::from_utf8_lossy(&buffer[..read]);
                    out::print_error(format_args!("{text}"));
                }
            }
        };
        // Without a thread the pipe is closed, and the server's words are lost.
        let spawned = thread::Builder::new().name("server-stderr".into()).spawn(read);
        LastWords { kept, end: spawned.is_ok().then(|| Mutex::new(end)) }
    }

    /// Shows what was read so far, and what will be.
    fn show(&self) {
        let mut kept = locked(&self.kept);
        let text = String::from_utf8_lossy(kept.bytes.make_contiguous()).into_owned();
        out::print_error(format_args!("{text}"));
        kept.shown = true;
    }

    /// Waits for the end of the pipe, for a while.
    fn wait(&self) {
        if let Some(end) = &self.end {
            let _ = locked(end).recv_timeout(OUTPUT_TIMEOUT);
        }
    }

    /// ` and printed: ...`; nothing if there is nothing, or if it was shown.
    fn quoted(&self) -> String {
        let mut kept = locked(&self.kept);
        let text = String::from_utf8_lossy(kept.bytes.make_contiguous()).into_owned();
        let lines: Vec<&str> =
            text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let last = lines[lines.len().saturating_sub(SHOWN)..].join("; ");
        let last: String = last.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match last.is_empty() || kept.shown {
            true => String::new(),
            false => format!(" and printed: {last}"),
        }
    }
}

/// Starts a command in the server's place, tied to this process, and in a control group where one can be made.
fn launch(
    command: &mut Command,
    placement: Placement,
) -> io::Result<(Child, Option<ControlGroup>)> {
    let group = ControlGroup::create();
    if let Some(group) = &group {
        group.mark(command);
    }
    tether::mark(command);
    let child = placement.on_server_core(|| command.spawn())?;
    Ok((child, group))
}

/// Waits for the end of a child, at most for `time`; returns whether it has ended.
fn ended(pid: Pid, time: Duration) -> bool {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else {
        return false;
    };
    let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
    let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
    matches!(poll(&mut fds, Some(&time)), Ok(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> io::Result<Server> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Server::spawn(command, Placement::Unpinned)
    }

    #[test]
    fn failed_start_quotes_last_lines() {
        let error = shell("echo one >&2; echo 'port in use' >&2; exit 3").unwrap_err();
        assert_eq!(error.to_string(), "it ended with exit status 3 and printed: one; port in use");
        let error = shell("kill -9 $$").unwrap_err();
        assert_eq!(error.to_string(), "it ended with signal 9");
        let error = shell("echo hello; sleep 600").unwrap_err().to_string();
        assert!(error.contains("\"hello\" in place of `listening on"), "{error}");
    }

    #[test]
    fn chatty_server_never_waits_for_room() {
        // Both pipes would be full many times over.
        let lines = "while [ $i -lt 3000 ]; do echo $i $l; echo $i $l >&2; i=$((i + 1)); done";
        let long = "x".repeat(100);
        let server =
            shell(&format!("echo listening on 127.0.0.1:1; i=0; l={long}; {lines}; exit 7"))
                .unwrap();
        assert!(ended(server.pid(), EXIT_TIMEOUT));
        let why = server.why_ended().unwrap();
        assert!(why.starts_with("it ended with exit status 7 and printed: 2997 x"), "{why}");
    }

    #[test]
    fn dropped_server_leaves_no_child() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pid");
        let script =
            format!("sleep 600 & echo $! >{}; echo listening on 127.0.0.1:1; wait", file.display());
        let server = shell(&script).unwrap();
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let pidfd = pidfd_open(Pid::from_raw(pid).unwrap(), PidfdFlags::empty()).unwrap();
        drop(server);
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 15, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&timeout)), Ok(1), "it has ended");
    }
}
