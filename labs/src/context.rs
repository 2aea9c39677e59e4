//! What a check has to work with: the student's programs as processes, clients that trust nothing, and
//! waits that end with an event or with a finding.
//!
//! A check runs in a process of its own (see [`crate::grader`]), which is killed with everything that it has
//! started when it takes too long. It has one thread; whatever it waits for has a bound.

use harness::oracles;
use harness::proc::{self, Process};
use harness::wait;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt, sockopt::ReceiveTimestampns,
};
use nix::sys::time::TimeSpec;
use nix::unistd::Pid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, geteuid, getrlimit};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{self, Debug};
use std::fs::Permissions;
use std::io::{self, IoSliceMut, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// The code of a check.
pub type Check = fn(&TestContext) -> Verdict;

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
    GraderError(String),
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
        Stop::GraderError(error.to_string())
    }
}

impl From<nix::Error> for Stop {
    fn from(error: nix::Error) -> Stop {
        Stop::GraderError(error.to_string())
    }
}

/// How long something may take that should happen at once.
pub const TIMEOUT: Duration = Duration::from_secs(4);

/// How an observation begins of a program that came to a stub.
pub const UNWRITTEN: &str = "not written yet";

/// How much of a program's output is kept; what prints more is stopped.
pub const OUTPUT_MAX: usize = 1 << 20;

/// The user without any privilege.
const NOBODY: u32 = 65534;

/// The surroundings of one run of a check.
#[derive(Debug)]
pub struct TestContext {
    binaries: PathBuf,
    folder: PathBuf,
    seed: u64,
}

impl TestContext {
    /// With the programs in `binaries`, and `folder` for files, which is empty and will be removed.
    pub fn new(binaries: PathBuf, folder: PathBuf, seed: u64) -> TestContext {
        TestContext { binaries, folder, seed }
    }

    /// A folder of this check's own.
    pub fn directory(&self) -> &Path {
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
        self.program("server").args(options).start()?.listening()
    }

    /// As [`TestContext::server`], but never as root, whom no limit on processes binds: see [`Program::limit_processes`].
    /// The server may read the folder of this check.
    pub fn unprivileged_server<S: AsRef<OsStr>>(
        &self,
        options: impl IntoIterator<Item = S>,
    ) -> Verdict<Server> {
        let mut launch = self.program("server");
        if geteuid().is_root() {
            // What is built may lie where only root can go.
            let (copy, all) = (self.folder.join("server"), Permissions::from_mode(0o755));
            std::fs::copy(self.binaries.join("server"), &copy)?;
            std::fs::set_permissions(&copy, all.clone())?;
            std::fs::set_permissions(&self.folder, all)?;
            launch.command = Command::new(copy);
            launch.command.current_dir(&self.folder).process_group(0).uid(NOBODY).gid(NOBODY);
        }
        match launch.args(options).start() {
            Ok(program) => program.listening(),
            Err(Stop::GraderError(why)) => {
                Err(Stop::Skip(format!("cannot run a program as a user without privilege: {why}")))
            }
            Err(other) => Err(other),
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
        let patience = Timespec { tv_sec: TIMEOUT.as_secs() as i64, tv_nsec: 0 };
        if poll(&mut fds, Some(&patience)).map_err(io::Error::from)? == 0 {
            return fail(what, format!("nobody connected for {TIMEOUT:?}"));
        }
        let socket = rustix::net::accept_with(&self.socket, SocketFlags::CLOEXEC);
        Client::over(TcpStream::from(socket.map_err(io::Error::from)?))
    }
}

impl Listener {
    /// The program, which is to connect; it fails at once where the program has ended instead.
    pub fn accept_from(&self, program: &mut Program, what: &str) -> Verdict<Client> {
        let until = Instant::now() + TIMEOUT;
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            let slice = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };
            let ready = poll(&mut fds, Some(&slice)).map_err(io::Error::from)? > 0;
            if ready {
                return self.accept(what);
            }
            if program.try_wait()?.is_some() || Instant::now() >= until {
                return fail(what, program.describe());
            }
        }
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
    pub fn process_tree(&self) -> Vec<Process> {
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
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of its standard output, without its end.
    pub fn read_line(&mut self, what: &str) -> Verdict<String> {
        let until = Instant::now() + TIMEOUT;
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

    /// Takes the address from the first line of its output.
    pub fn listening(mut self) -> Verdict<Server> {
        let line =
            self.read_line("the address that it listens on, as the first line of its output")?;
        let address = line.rsplit(' ').next().and_then(|word| word.parse().ok());
        match address {
            Some(address) => Ok(Server { program: self, address }),
            None => {
                fail("the first line of output to end with an address, HOST:PORT", quote(&line))
            }
        }
    }

    /// Lets it begin no further process, or as many as before. Binds nobody who has privileges, see
    /// [`TestContext::unprivileged_server`].
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
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                Err(Stop::Skip(format!("cannot limit the processes of a program: {said}")))
            }
            Err(error) => Err(Stop::Skip(format!("prlimit cannot be run: {error}"))),
        }
    }

    /// What it is doing, for a finding.
    pub fn describe(&mut self) -> String {
        let _ = self.try_wait();
        let _ = self.output.take();
        let _ = self.errors.take();
        let family = self.process_tree();
        if family.iter().all(|process| process.state == 'Z') {
            // It has ended since it was asked.
            let _ = self.try_wait();
        }
        let mut text = match self.status {
            Some(status) => format!("`{}` {}", self.name, describe_exit(status)),
            None => format!("`{}` runs on: {}", self.name, describe_processes(&family)),
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
                    let slice = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
                    poll(&mut fds, Some(&slice)).map_err(io::Error::from)?;
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

    /// The next line of its standard output, without its end, if it comes within `patience`.
    pub fn read_line_within(&mut self, patience: Duration) -> Verdict<Option<String>> {
        let until = Instant::now() + patience;
        loop {
            let rest = &self.output.bytes[self.output.taken..];
            if let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..end]).into_owned();
                self.output.taken += end + 1;
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
        match TcpStream::connect_timeout(&SocketAddr::V4(self.address), TIMEOUT) {
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
        let until = Instant::now() + TIMEOUT;
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
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
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
    pub fn shutdown_write(&self) -> Verdict {
        match self.stream.shutdown(Shutdown::Write) {
            // The other side has reset the connection: what comes of that is seen by whoever reads.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => Ok(done?),
        }
    }

    /// The next `n` bytes; `what` says what they are.
    pub fn read_exactly(&mut self, n: usize, what: &str) -> Verdict<Vec<u8>> {
        while self.buffer.len() < n {
            if !self.read_some(what)? {
                let got = quote(&String::from_utf8_lossy(&self.buffer));
                return fail(what, format!("the connection was closed after {got}"));
            }
        }
        Ok(self.buffer.drain(..n).collect())
    }

    /// The next line without its LF; `what` says what it is.
    pub fn read_line(&mut self, what: &str) -> Verdict<String> {
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
    pub fn read_end(&mut self, what: &str) -> Verdict {
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
                    fail(what, format!("nothing more for {TIMEOUT:?} after {got}"))
                }
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
                Err(error) => fail(what, error),
            };
        }
    }

    /// The next `n` bytes, or those that come before the end or before a long silence.
    pub fn read_up_to(&mut self, n: usize) -> Verdict<Vec<u8>> {
        while self.buffer.len() < n {
            match self.read_some("bytes") {
                Ok(true) => {}
                Ok(false) | Err(Stop::Fail(_)) => break,
                Err(stop) => return Err(stop),
            }
        }
        Ok(self.buffer.drain(..n.min(self.buffer.len())).collect())
    }

    /// How many bytes were read with earlier ones and not taken yet.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Sends bytes in pieces of `size`, and waits after each until the other end has read it: so every piece is a read
    /// of its own there, which no number of small sends would make sure. Whoever closes meanwhile gets no more.
    pub fn send_in_pieces(&mut self, bytes: &[u8], size: usize) -> Verdict {
        let (Ok(SocketAddr::V4(peer)), Ok(SocketAddr::V4(own))) =
            (self.stream.peer_addr(), self.stream.local_addr())
        else {
            // It was reset already, which a send says in the words of a finding.
            return self.send(bytes);
        };
        for (at, piece) in bytes.chunks(size).enumerate() {
            self.send(piece)?;
            if !wait::within(TIMEOUT, || oracles::unread(peer, own).unwrap_or(0) == 0) {
                let what = format!("{size} bytes at a time to be read as they come");
                let sent = (at * size + piece.len()).min(bytes.len());
                return fail(
                    what,
                    format!("nobody read the last of the first {sent} bytes for {TIMEOUT:?}"),
                );
            }
        }
        Ok(())
    }
}

/// How a program has ended, in words.
pub fn describe_exit(status: ExitStatus) -> String {
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
pub fn describe_processes(family: &[Process]) -> String {
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

impl TestContext {
    /// A datagram socket on a free port of this host: 127.0.0.1, another address of the loopback network, or
    /// 0.0.0.0 for all of them. It may send to a broadcast address.
    pub fn datagram_socket(&self, host: Ipv4Addr) -> Verdict<DatagramSocket> {
        let socket = std::net::UdpSocket::bind(SocketAddrV4::new(host, 0))?;
        socket.set_nonblocking(true)?;
        socket.set_broadcast(true)?;
        setsockopt(&socket, ReceiveTimestampns, &true)?;
        match socket.local_addr()? {
            SocketAddr::V4(address) => Ok(DatagramSocket { socket, address }),
            SocketAddr::V6(_) => Err(io::Error::from(io::ErrorKind::Unsupported).into()),
        }
    }
}

/// A datagram socket of the check's own: it plays the client, the server, a stranger, or the network between.
#[derive(Debug)]
pub struct DatagramSocket {
    socket: std::net::UdpSocket,
    address: SocketAddrV4,
}

/// What has come to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddrV4,
    /// All of it.
    pub bytes: Vec<u8>,
    /// When it came, as the kernel has noted it: that may be long before it was seen here.
    pub at: Instant,
}

impl DatagramSocket {
    /// Where it receives.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Sends a datagram. Whether anybody receives it is not known.
    pub fn send(&self, bytes: impl AsRef<[u8]>, to: SocketAddrV4) -> Verdict {
        match self.socket.send_to(bytes.as_ref(), to) {
            // What has become of an earlier one.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
            sent => Ok(sent.map(drop)?),
        }
    }

    /// What has come already, or comes within `patience`.
    pub fn receive(&self, patience: Duration) -> Verdict<Option<Datagram>> {
        let until = Instant::now() + patience;
        loop {
            match self.take() {
                Ok(datagram) => return Ok(Some(datagram)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Ok(None);
                    }
                    let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
                    let left = Timespec {
                        tv_sec: left.as_secs() as i64,
                        tv_nsec: left.subsec_nanos().into(),
                    };
                    poll(&mut fds, Some(&left)).map_err(io::Error::from)?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The next that has come already.
    fn take(&self) -> io::Result<Datagram> {
        let mut buffer = vec![0; 1 << 16];
        let mut notes = nix::cmsg_space!(TimeSpec);
        let mut places = [IoSliceMut::new(&mut buffer)];
        let (socket, flags) = (self.socket.as_raw_fd(), MsgFlags::empty());
        let got = recvmsg::<SockaddrIn>(socket, &mut places, Some(&mut notes), flags)?;
        let (now, clock) = (Instant::now(), SystemTime::now());
        let came = got.cmsgs()?.find_map(|note| match note {
            ControlMessageOwned::ScmTimestampns(time) => {
                Some(SystemTime::UNIX_EPOCH + Duration::from(time))
            }
            _ => None,
        });
        // The kernel's note is by the clock of the day.
        let age = came.and_then(|came| clock.duration_since(came).ok()).unwrap_or_default();
        let at = now.checked_sub(age).unwrap_or(now);
        let from = got.address.ok_or(io::ErrorKind::Unsupported)?.into();
        let length = got.bytes;
        buffer.truncate(length);
        Ok(Datagram { from, bytes: buffer, at })
    }

    /// Throws away what has come, and gives how many they were; in a flood no more than a thousand.
    pub fn drain(&self) -> Verdict<u32> {
        for number in 0..1000 {
            if self.receive(Duration::ZERO)?.is_none() {
                return Ok(number);
            }
        }
        Ok(1000)
    }

    /// Takes datagrams from `peer` alone from now on: who else sends is told that nobody is there (ICMP, port
    /// unreachable), while the port stays this socket's.
    pub fn receive_only_from(&self, peer: SocketAddrV4) -> Verdict {
        Ok(rustix::net::connect(&self.socket, &peer).map_err(io::Error::from)?)
    }
}

/// The waiting calls that the threads of a process are in, by the threads' numbers, where the kernel tells. The
/// thread that began in `main` has the number of the process.
pub fn thread_syscalls(pid: i32) -> BTreeMap<i32, &'static str> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return BTreeMap::new() };
    let call = |task: std::fs::DirEntry| {
        let line = std::fs::read_to_string(task.path().join("syscall")).ok()?;
        let call = name_of(line.split(' ').next()?.parse().ok()?)?;
        Some((task.file_name().to_str()?.parse().ok()?, call))
    };
    tasks.flatten().filter_map(call).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_of_the_time_when_it_came() {
        let context = TestContext::new(PathBuf::new(), PathBuf::new(), 1);
        let (one, other) = (
            context.datagram_socket(Ipv4Addr::LOCALHOST),
            context.datagram_socket(Ipv4Addr::LOCALHOST),
        );
        let (one, other) = (one.unwrap(), other.unwrap());
        let exchange = |pause: Duration| {
            one.send("now", other.address()).unwrap();
            let sent = Instant::now();
            wait::pause(pause);
            let got = other.receive(TIMEOUT).unwrap().unwrap();
            assert_eq!((got.from, &got.bytes[..]), (one.address(), &b"now"[..]));
            (sent, got.at)
        };
        // The kernel begins to note times a moment after it was first asked to.
        let noted = || {
            let (sent, came) = exchange(Duration::from_millis(50));
            came <= sent + Duration::from_millis(25)
        };
        assert!(wait::within(4 * TIMEOUT, noted), "they come when they are looked for");
    }
}
