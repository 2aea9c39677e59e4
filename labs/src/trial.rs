//! What a check has to work with: the student's programs as processes, clients that trust nothing, and
//! waits that end with an event or with a finding.
//!
//! A check runs in a process of its own (see [`crate::grader`]), which is killed with everything that it has
//! started when it takes too long. It has one thread; whatever it waits for has a bound.

use harness::proc::{self, Process};
use harness::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use std::ffi::OsStr;
use std::fmt::{self, Debug};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The code of a check.
pub type Check = fn(&Trial) -> Verdict;

/// What came of it: passed, or why not.
pub type Verdict<T = ()> = Result<T, Stop>;

/// Why a check went no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The student's program is wrong.
    Fail(Finding),
    /// The machine cannot run this check: why.
    Skip(String),
    /// The grader could not do its own work: why. Never counted as the student's.
    Trouble(String),
}

/// What was seen instead of what should have been.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Finding {
    /// What a right program does.
    pub expected: String,
    /// What this one did.
    pub observed: String,
}

/// The student's fault.
pub fn fail<T>(expected: impl fmt::Display, observed: impl fmt::Display) -> Verdict<T> {
    let (expected, observed) = (expected.to_string(), observed.to_string());
    Err(Stop::Fail(Finding { expected, observed }))
}

/// What the grader itself could not do.
impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Stop {
        Stop::Trouble(error.to_string())
    }
}

impl From<nix::Error> for Stop {
    fn from(error: nix::Error) -> Stop {
        Stop::Trouble(error.to_string())
    }
}

/// How long something may take that should happen at once.
pub const PATIENCE: Duration = Duration::from_secs(4);

/// How an observation begins of a program that came to a stub.
pub const UNWRITTEN: &str = "not written yet";

/// How much of a program's output is kept; what prints more is stopped.
pub const OUTPUT_MAX: usize = 1 << 20;

/// The surroundings of one run of a check.
#[derive(Debug)]
pub struct Trial {
    binaries: PathBuf,
    folder: PathBuf,
    seed: u64,
}

impl Trial {
    /// With the programs in `binaries`, and `folder` for files, which is empty and will be removed.
    pub fn new(binaries: PathBuf, folder: PathBuf, seed: u64) -> Trial {
        Trial { binaries, folder, seed }
    }

    /// A folder of this check's own.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What choices at random are made from. The same seed, the same choices.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A number below `bound` from the seed, another for every `salt`.
    pub fn choose(&self, salt: u64, bound: u64) -> u64 {
        // splitmix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
        let mut z =
            self.seed.wrapping_add(salt.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }

    /// How to start a program of the student's.
    pub fn program(&self, name: &str) -> Launch {
        let mut command = Command::new(self.binaries.join(name));
        command.current_dir(&self.folder).process_group(0);
        Launch { command, name: name.to_owned() }
    }

    /// A socket on a free port, for a program that connects to it.
    pub fn listen(&self) -> Verdict<Listener> {
        let open = || -> io::Result<Listener> {
            let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
            let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
            rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
            rustix::net::listen(&socket, 64)?;
            let address = rustix::net::getsockname(&socket)?.try_into()?;
            Ok(Listener { socket, address })
        };
        Ok(open()?)
    }

    /// Starts the program `server` with these options and takes the address from its first line.
    pub fn server<S: AsRef<OsStr>>(&self, options: impl IntoIterator<Item = S>) -> Verdict<Server> {
        let mut program = self.program("server").args(options).start()?;
        let line =
            program.line("the address that it listens on, as the first line of its output")?;
        let address = line.rsplit(' ').next().and_then(|word| word.parse().ok());
        match address {
            Some(address) => Ok(Server { program, address }),
            None => {
                fail("the first line of output to end with an address, HOST:PORT", quote(&line))
            }
        }
    }
}

/// A socket of the check's own, for programs that connect.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    address: SocketAddrV4,
}

impl Listener {
    /// Where it listens.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The next who connects; `what` says who that is to be.
    pub fn accept(&self, what: &str) -> Verdict<Client> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        if poll(&mut fds, Some(&patience)).map_err(io::Error::from)? == 0 {
            return fail(what, format!("nobody connected for {PATIENCE:?}"));
        }
        let socket = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC);
        Client::over(TcpStream::from(socket.map_err(io::Error::from)?))
    }
}

/// How to start a program.
#[derive(Debug)]
pub struct Launch {
    command: Command,
    name: String,
}

impl Launch {
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

    /// It and all that it has started.
    pub fn family(&self) -> Vec<Process> {
        proc::family(self.pid())
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
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output, without its end.
    pub fn line(&mut self, what: &str) -> Verdict<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(end) =
                self.output.bytes[self.output.taken..].iter().position(|b| *b == b'\n')
            {
                let from = self.output.taken;
                self.output.taken += end + 1;
                return Ok(
                    String::from_utf8_lossy(&self.output.bytes[from..from + end]).into_owned()
                );
            }
            if !self.pump(until)? {
                return fail(what, self.describe());
            }
        }
    }

    /// Waits for its end, as long as it takes but no longer than `patience`.
    pub fn wait(&mut self, what: &str, patience: Duration) -> Verdict<ExitStatus> {
        let until = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
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
    pub fn ended(&mut self) -> Verdict<Option<ExitStatus>> {
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
        let left = until.saturating_duration_since(Instant::now());
        let timeout =
            Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let ready = poll(&mut fds, Some(&timeout)).map_err(io::Error::from)?;
        if ready == 0 {
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

    /// What it is doing, for a finding.
    pub fn describe(&mut self) -> String {
        let _ = self.ended();
        let _ = self.output.take();
        let _ = self.errors.take();
        let mut text = match self.status {
            Some(status) => format!("`{}` {}", self.name, how_ended(status)),
            None => format!("`{}` runs on: {}", self.name, describe(&self.family())),
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

/// A running server of the student's.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub program: Program,
    /// Where it listens.
    pub address: SocketAddrV4,
}

impl Server {
    /// A new client.
    pub fn connect(&self) -> Verdict<Client> {
        match TcpStream::connect_timeout(&SocketAddr::V4(self.address), PATIENCE) {
            Ok(stream) => Client::over(stream),
            Err(error) => fail("a connection to be taken", error),
        }
    }

    /// Waits until the server is as `wanted`; otherwise the finding says what was `observed`.
    pub fn until<T: PartialEq + Debug>(
        &self,
        expected: &str,
        read: impl Fn(&Server) -> T,
        wanted: impl Fn(&T) -> bool,
        observed: impl Fn(&T) -> String,
    ) -> Verdict {
        let until = Instant::now() + PATIENCE;
        loop {
            let reading = read(self);
            if wanted(&reading) {
                return Ok(());
            }
            if Instant::now() >= until {
                return fail(expected, observed(&reading));
            }
            wait::pause(Duration::from_millis(5));
        }
    }
}

/// One connection to a student's server.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    fn over(stream: TcpStream) -> Verdict<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { stream, buffer: Vec::new() })
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> Verdict {
        match self.stream.write_all(bytes.as_ref()) {
            Ok(()) => Ok(()),
            Err(error) => fail("the server to read what a client sends", error),
        }
    }

    /// Ends what this client sends.
    pub fn finish(&self) -> Verdict {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// The next `n` bytes; `what` says what they are.
    pub fn exactly(&mut self, n: usize, what: &str) -> Verdict<Vec<u8>> {
        while self.buffer.len() < n {
            if !self.read_some(what)? {
                let got = quote(&String::from_utf8_lossy(&self.buffer));
                return fail(what, format!("the connection was closed after {got}"));
            }
        }
        Ok(self.buffer.drain(..n).collect())
    }

    /// The next line without its LF; `what` says what it is.
    pub fn line(&mut self, what: &str) -> Verdict<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            if self.buffer.len() > OUTPUT_MAX {
                return fail(
                    what,
                    format!("{} bytes without the end of a line", self.buffer.len()),
                );
            }
            if !self.read_some(what)? {
                let got = quote(&String::from_utf8_lossy(&self.buffer));
                return fail(what, format!("the connection was closed after {got}"));
            }
        }
    }

    /// The end of what the server sends.
    pub fn end(&mut self, what: &str) -> Verdict {
        loop {
            if !self.buffer.is_empty() {
                return fail(what, quote(&String::from_utf8_lossy(&self.buffer)));
            }
            if !self.read_some(what)? {
                return Ok(());
            }
        }
    }

    /// Reads once; gives whether anything came before the end.
    fn read_some(&mut self, what: &str) -> Verdict<bool> {
        let mut chunk = [0; 16 * 1024];
        loop {
            return match self.stream.read(&mut chunk) {
                Ok(0) => Ok(false),
                Ok(n) => {
                    self.buffer.extend_from_slice(&chunk[..n]);
                    Ok(true)
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let got = quote(&String::from_utf8_lossy(&self.buffer));
                    fail(what, format!("nothing more for {PATIENCE:?} after {got}"))
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
                Err(error) => fail(what, error),
            };
        }
    }
}

/// How a program has ended, in words.
pub fn how_ended(status: ExitStatus) -> String {
    match (status.code(), status.signal().map(Signal::try_from)) {
        (Some(101), _) => "panicked (exit code 101)".into(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(Ok(Signal::SIGXFSZ))) => {
            "was ended by SIGXFSZ: it wrote a file beyond the limit".into()
        }
        (None, Some(Ok(signal))) => format!("was ended by {signal}"),
        (None, _) => "ended".into(),
    }
}

/// What processes are doing: their states, and the system calls that their threads are in.
pub fn describe(family: &[Process]) -> String {
    let one = |process: &Process| {
        let calls = calls(process.pid);
        let calls =
            if calls.is_empty() { String::new() } else { format!(" in {}", calls.join(", ")) };
        let what = match process.state {
            'R' => "running",
            'Z' => "a zombie",
            'T' => "stopped",
            _ => "waiting",
        };
        format!("pid {} is {what}{calls}", process.pid)
    };
    let mut shown: Vec<String> = family.iter().take(6).map(one).collect();
    if family.len() > shown.len() {
        shown.push(format!("and {} more", family.len() - shown.len()));
    }
    if shown.is_empty() { "it is gone".into() } else { shown.join("; ") }
}

/// The names of the system calls that a process's threads are in, where the kernel tells.
fn calls(pid: i32) -> Vec<String> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let mut calls: Vec<String> = tasks
        .flatten()
        .filter_map(|task| std::fs::read_to_string(task.path().join("syscall")).ok())
        .filter_map(|line| name_of(line.split(' ').next()?.parse().ok()?))
        .map(str::to_owned)
        .collect();
    calls.sort();
    calls.dedup();
    calls
}

/// The waiting calls of x86-64 that students meet.
fn name_of(number: i64) -> Option<&'static str> {
    if cfg!(not(target_arch = "x86_64")) {
        return None;
    }
    Some(match number {
        0 => "read",
        1 => "write",
        7 => "poll",
        23 => "select",
        34 => "pause",
        35 | 230 => "nanosleep",
        43 | 288 => "accept",
        44 => "sendto",
        45 => "recvfrom",
        46 => "sendmsg",
        47 => "recvmsg",
        61 | 247 => "wait",
        72 => "fcntl",
        73 => "flock",
        130 => "sigsuspend",
        128 => "sigtimedwait",
        202 => "futex",
        232 | 281 => "epoll_wait",
        270 => "pselect",
        271 => "ppoll",
        _ => return None,
    })
}

/// Text in quotes, cut where it is long.
pub fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(80).collect();
    if text.chars().count() > 80 {
        shown.push('…');
    }
    format!("{shown:?}")
}
