//! A student's program as a process: how it is started, and what it prints.

use super::describe::{describe_exit, describe_processes, quote};
use super::verdict::{Finding, Stop, TIMEOUT, UNWRITTEN, Verdict, fail};
use crate::poll::poll_for;
use harness::proc::{self, Process};
use harness::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Resource, geteuid, getrlimit};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How much of a program's output is kept; what prints more is stopped.
pub const OUTPUT_MAX: usize = 1 << 20;

/// The user without any privilege.
const NOBODY: u32 = 65534;

/// How to start a program.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    name: String,
}

impl Launch {
    /// The program at `path`, in `directory` and in a process group of its own.
    pub(super) fn new(path: &Path, name: &str, directory: &Path) -> Launch {
        let mut command = Command::new(path);
        command.current_dir(directory).process_group(0);
        Launch { command, name: name.to_owned() }
    }

    /// As a user without privilege; root alone may ask for that.
    pub(super) fn unprivileged(mut self) -> Launch {
        self.command.uid(NOBODY).gid(NOBODY);
        self
    }

    /// Adds an argument.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Launch {
        self.command.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Launch {
        self.command.args(args);
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &str, value: &str) -> Launch {
        self.command.env(name, value);
        self
    }

    /// Starts it.
    pub fn start(mut self) -> Verdict<Program> {
        let command = &mut self.command;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        Ok(Program {
            stdin: child.stdin.take(),
            output: Output::new(child.stdout.take())?,
            errors: Output::new(child.stderr.take())?,
            child,
            name: self.name,
            status: None,
        })
    }
}

/// A running program of the student's. Dropped, it is killed with its process group.
#[derive(Debug)]
pub struct Program {
    child: Child,
    name: String,
    stdin: Option<ChildStdin>,
    output: Output<ChildStdout>,
    errors: Output<ChildStderr>,
    status: Option<ExitStatus>,
}

impl Program {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// It and all processes that it has started.
    pub fn process_tree(&self) -> Vec<Process> {
        proc::process_tree(self.pid())
    }

    /// Sends it a signal; nothing happens if it has ended.
    pub fn signal(&self, signal: Signal) {
        if self.status.is_none() {
            let _ = kill(Pid::from_raw(self.pid()), signal);
        }
    }

    /// Writes to its standard input.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) -> Verdict {
        let written = self.stdin.as_mut().map(|stdin| stdin.write_all(bytes.as_ref()));
        match written {
            Some(Ok(())) => Ok(()),
            _ => fail(format!("`{}` to read its standard input", self.name), self.describe()),
        }
    }

    /// Ends its standard input.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output, without its end.
    pub fn read_line(&mut self, what: &str) -> Verdict<String> {
        let until = Instant::now() + TIMEOUT;
        loop {
            if let Some(line) = self.output.take_line() {
                return Ok(line);
            }
            if !self.pump(until)? {
                return fail(what, self.describe());
            }
        }
    }

    /// Waits for its end, as long as it takes but no longer than `timeout`.
    pub fn wait(&mut self, what: &str, timeout: Duration) -> Verdict<ExitStatus> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(status) = self.try_wait()? {
                while self.pump(until)? {} // to the end of the output, unless somebody else holds it
                return Ok(status);
            }
            let slice = (Instant::now() + Duration::from_millis(5)).min(until);
            self.pump(slice)?;
            if Instant::now() >= until {
                return fail(what, self.describe());
            }
            if self.output.ended && self.errors.ended {
                wait::pause(Duration::from_millis(2));
            }
        }
    }

    /// All of its standard output, after its end.
    pub fn output(&self) -> String {
        String::from_utf8_lossy(&self.output.bytes).into_owned()
    }

    /// All of its standard error so far.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.errors.bytes).into_owned()
    }

    /// Its status, if it has ended.
    pub fn try_wait(&mut self) -> Verdict<Option<ExitStatus>> {
        if self.status.is_none() {
            self.status = self.child.try_wait()?;
        }
        Ok(self.status)
    }

    /// Reads what there is of its output, or waits for some until then. Gives whether there is any more to come.
    fn pump(&mut self, until: Instant) -> Verdict<bool> {
        let mut fds = Vec::with_capacity(2);
        fds.extend(self.output.watched());
        fds.extend(self.errors.watched());
        if fds.is_empty() {
            return Ok(false);
        }
        if poll_for(&mut fds, until.saturating_duration_since(Instant::now()))? == 0 {
            return Ok(false);
        }
        self.output.take()?;
        self.errors.take()?;
        if self.output.bytes.len().max(self.errors.bytes.len()) > OUTPUT_MAX {
            self.signal(Signal::SIGKILL);
            let what = format!("`{}` to print no more than it is asked for", self.name);
            return fail(what, format!("more than {OUTPUT_MAX} bytes of output; it was stopped"));
        }
        Ok(true)
    }

    /// Lets it begin no further process, or as many as before. Binds nobody who has privileges, see
    /// [`super::TestContext::unprivileged_server`].
    pub fn limit_processes(&self, limited: bool) -> Verdict {
        let before = getrlimit(Resource::Nproc).current;
        let before = before.map_or("unlimited".into(), |most| most.to_string());
        let soft = if limited { "0:".into() } else { format!("{before}:") };
        // By a program, since only the user whom the limit concerns may always set it. Root may not.
        let mut command = Command::new("prlimit");
        command.arg(format!("--pid={}", self.pid())).arg(format!("--nproc={soft}"));
        if geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        match command.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(Stop::Skip(format!("cannot limit the processes of a program: {error}")))
            }
            Err(error) => Err(Stop::Skip(format!("prlimit cannot be run: {error}"))),
        }
    }

    /// What it is doing, for a finding.
    pub fn describe(&mut self) -> String {
        let _ = self.try_wait();
        let _ = self.output.take();
        let _ = self.errors.take();
        let processes = self.process_tree();
        if processes.iter().all(|process| process.state == 'Z') {
            // It has ended since it was asked.
            let _ = self.try_wait();
        }
        let mut text = match self.status {
            Some(status) => format!("`{}` {}", self.name, describe_exit(status)),
            None => format!("`{}` runs on: {}", self.name, describe_processes(&processes)),
        };
        let errors = self.errors();
        let mut lines = errors.lines();
        if let Some(at) = lines.by_ref().find(|line| line.contains(" panicked at ")) {
            // The place stands in this line, the message in the next.
            let place = at.rsplit(" panicked at ").next().unwrap_or_default().trim_end_matches(':');
            let message = lines.next().unwrap_or_default();
            return match message.strip_prefix("not yet implemented: ") {
                Some(what) => format!("{UNWRITTEN}: {what} ({place})"),
                None => format!("{text} at {place}: {}", quote(message)),
            };
        }
        if let Some(last) = errors.lines().rev().find(|line| !line.trim().is_empty()) {
            text += &format!("; it said: {}", quote(last));
        }
        text
    }

    /// Writes much to its standard input, and takes its output meanwhile: a program that answers as it reads would
    /// otherwise wait for room, and so would whoever writes.
    pub fn feed(&mut self, bytes: impl AsRef<[u8]>) -> Verdict {
        // Without it, `write` fails and says what the program is doing.
        let Some(mut stdin) = self.stdin.take() else { return self.write([]) };
        rustix::io::ioctl_fionbio(&stdin, true).map_err(io::Error::from)?;
        let mut rest = bytes.as_ref();
        let mut until = Instant::now() + TIMEOUT;
        while !rest.is_empty() {
            match stdin.write(rest) {
                Ok(n) => {
                    rest = &rest[n..];
                    until = Instant::now() + TIMEOUT;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.pump((Instant::now() + Duration::from_millis(2)).min(until))?;
                    let mut fds = [PollFd::new(&stdin, PollFlags::OUT)];
                    poll_for(&mut fds, Duration::from_millis(2))?;
                    if Instant::now() >= until {
                        return self.write([]);
                    }
                }
                Err(_) => return self.write([]),
            }
        }
        rustix::io::ioctl_fionbio(&stdin, false).map_err(io::Error::from)?;
        self.stdin = Some(stdin);
        Ok(())
    }

    /// What a check has found at the other end of a connection, together with what this program is doing.
    pub fn explain<T>(&mut self, found: Verdict<T>) -> Verdict<T> {
        found.map_err(|stop| match stop {
            Stop::Fail(Finding { expected, observed }) => {
                // Who has closed a connection is perhaps about to end, and to say why.
                wait::within(Duration::from_millis(300), || !matches!(self.try_wait(), Ok(None)));
                let doing = self.describe();
                let unwritten = doing.starts_with(UNWRITTEN);
                let observed = if unwritten { doing } else { format!("{observed}; {doing}") };
                Stop::Fail(Finding { expected, observed })
            }
            other => other,
        })
    }

    /// The next line of its standard output, without its end, if it comes within `timeout`.
    pub fn read_line_within(&mut self, timeout: Duration) -> Verdict<Option<String>> {
        let until = Instant::now() + timeout;
        loop {
            if let Some(line) = self.output.take_line() {
                return Ok(Some(line));
            }
            if self.output.ended && self.errors.ended {
                wait::pause(until.saturating_duration_since(Instant::now()));
            }
            if Instant::now() >= until {
                return Ok(None);
            }
            self.pump(until)?;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(-self.pid()), Signal::SIGKILL);
        if self.status.is_none() {
            let _ = self.child.wait();
        }
    }
}

/// One of a program's streams, as far as it was read.
#[derive(Debug)]
struct Output<S> {
    stream: S,
    bytes: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl<S: Read + AsFd> Output<S> {
    fn new(stream: Option<S>) -> io::Result<Output<S>> {
        let stream = stream.ok_or(io::ErrorKind::BrokenPipe)?;
        rustix::io::ioctl_fionbio(&stream, true)?;
        Ok(Output { stream, bytes: Vec::new(), taken: 0, ended: false })
    }

    fn watched(&self) -> Option<PollFd<'_>> {
        (!self.ended).then(|| PollFd::new(&self.stream, PollFlags::IN))
    }

    /// The next line, without its end, if all of it was read.
    fn take_line(&mut self) -> Option<String> {
        let rest = &self.bytes[self.taken..];
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        self.taken += end + 1;
        Some(line)
    }

    fn take(&mut self) -> io::Result<()> {
        let mut chunk = [0; 8192];
        while !self.ended && self.bytes.len() <= OUTPUT_MAX {
            match self.stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(n) => self.bytes.extend_from_slice(&chunk[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
