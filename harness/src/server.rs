//! A running server, seen from outside.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process,
    kill_process_group, pidfd_open, prlimit, waitid,
};

use crate::proc::{self, Process};
use crate::wait::{TIMEOUT, within};
use crate::wire::Conn;
use crate::{Root, oracles, sockets};

/// How many bytes of a server's log may wait to be read.
const LOG_ROOM: usize = 1 << 20;

/// A server process with everything it has started.
///
/// Dropping it kills the whole process group and reaps the server. While a test is failing, the
/// drop prints the server's log as well.
pub struct Server {
    child: Child,
    address: SocketAddrV4,
    root: Arc<Root>,
    output: Capture,
    log: Capture,
}

impl Server {
    /// The address it listens on.
    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The folder it serves.
    pub fn root(&self) -> &Arc<Root> {
        &self.root
    }

    /// A new connection.
    #[track_caller]
    pub fn connect(&self) -> Conn {
        Conn::connect(self.address)
    }

    /// One request on a connection of its own.
    #[track_caller]
    pub fn ask(&self, request: &str) -> crate::wire::Reply {
        self.connect().ask(request)
    }

    /// The process id of the process that was started.
    pub fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// The server and every process it has started that still exists, zombies too.
    pub fn process_tree(&self) -> Vec<Process> {
        proc::process_tree(self.pid())
    }

    /// The processes of the tree that are not the one that was started.
    pub fn children(&self) -> Vec<Process> {
        let mut children = self.process_tree();
        children.retain(|process| process.pid != self.pid());
        children
    }

    /// The child that serves the connection: it alone holds the server's end. Who forked it, or passed the connection on to
    /// it, lets go of its own copy in a moment of its own, perhaps after the child has answered. So this waits for that.
    #[track_caller]
    pub fn child_of(&self, conn: &Conn) -> i32 {
        let mut holders = Vec::new();
        let alone = within(TIMEOUT, || {
            holders = oracles::connection_holders(&self.process_tree(), self.address, conn.local());
            matches!(holders[..], [child] if child != self.pid())
        });
        assert!(alone, "held by {holders:?}, where {} is the parent", self.pid());
        holders[0]
    }

    /// Whether the process that was started has not ended.
    pub fn is_running(&self) -> bool {
        proc::process(self.pid()).is_some_and(|process| process.state != 'Z')
    }

    /// Processor time that the server uses while `window` passes.
    pub fn cpu_during(&self, window: Duration) -> Duration {
        oracles::cpu_during(&self.process_tree(), window)
    }

    /// Everything written to standard output so far.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Everything written to standard error so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Everything written to standard error, after the server and its children have ended.
    #[track_caller]
    pub fn whole_log(&self) -> String {
        let log = self.log.wait(TIMEOUT, |_, ended| ended);
        log.unwrap_or_else(|log| panic!("somebody keeps the log open:\n{log}"))
    }

    /// Waits until the log is as `wanted`.
    #[track_caller]
    pub fn log_until(&self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        match self.log.wait(TIMEOUT, |log, _| wanted(log)) {
            Ok(log) => log,
            Err(log) => panic!("the log never showed {what}:\n{log}"),
        }
    }

    /// Sends a signal to the process that was started.
    pub fn signal(&self, signal: Signal) {
        // Fails only once the process is reaped, and that happens in drop.
        let _ = kill_process(pid(&self.child), signal);
    }

    /// Sends a signal to every process of the group, as a terminal does for Ctrl-C.
    pub fn signal_group(&self, signal: Signal) {
        let _ = kill_process_group(pid(&self.child), signal);
    }

    /// Kills the server and all its processes, without a chance to clean up, and waits for the end.
    #[track_caller]
    pub fn kill(&self) {
        self.signal_group(Signal::KILL);
        self.wait_exit();
        let gone = || self.process_tree().iter().all(Process::has_ended);
        assert!(within(TIMEOUT, gone), "killed processes live on: {:?}", self.process_tree());
    }

    /// Waits for the process that was started to end, and says how it did.
    #[track_caller]
    pub fn wait_exit(&self) -> Exit {
        let exit = self.exit_within(TIMEOUT);
        exit.unwrap_or_else(|| panic!("the server has not ended within {TIMEOUT:?}"))
    }

    /// Waits up to `deadline` for the process that was started to end.
    pub fn exit_within(&self, deadline: Duration) -> Option<Exit> {
        exit_within(&self.child, deadline)
    }

    /// Sets the limit on open descriptors of every process of the tree, and of those it will
    /// start.
    pub fn limit_descriptors(&self, limit: u64) {
        for process in self.process_tree() {
            let pid = Pid::from_raw(process.pid).expect("a process id");
            let maximum = proc::descriptor_limits(process.pid).map(|(_, hard)| hard);
            let limit = Rlimit { current: Some(limit), maximum };
            // A process may have ended in between.
            let _ = prlimit(Some(pid), Resource::Nofile, limit);
        }
    }
}

impl Server {
    /// Sets the soft limit on threads and processes of every process of the tree, which runs as this user.
    #[track_caller]
    pub fn limit_threads(&self, user: u32, limit: u64) {
        for process in self.process_tree() {
            // For another user's process that takes the same user, even for the superuser.
            let mut prlimit = Command::new("prlimit");
            prlimit.args(["--pid", &process.pid.to_string(), &format!("--nproc={limit}:")]);
            let status = prlimit.uid(user).gid(user).stderr(Stdio::null()).status();
            let ended = || proc::process(process.pid).is_none_or(|process| process.has_ended());
            assert!(status.is_ok_and(|status| status.success()) || ended(), "{process:?}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The server is not reaped before this point, so its id and its group's are still its own.
        let _ = kill_process_group(pid(&self.child), Signal::KILL);
        let _ = self.child.wait();
        if thread::panicking() {
            let _ = self.log.wait(Duration::from_secs(1), |_, ended| ended);
            eprintln!("--- log of the server on {} ---\n{}---", self.address, self.log.text());
        }
    }
}

/// How to start a server.
#[derive(Clone)]
pub struct Launch {
    binary: PathBuf,
    args: Vec<OsString>,
    address: String,
    root: Option<Arc<Root>>,
    name_root: bool,
    wrapper: Vec<OsString>,
    stdin: Option<Arc<File>>,
    user: Option<u32>,
    output: Option<Arc<OwnedFd>>,
    log: Option<Arc<OwnedFd>>,
}

impl Launch {
    /// The server `binary` on a free port of 127.0.0.1, with a fresh root.
    pub fn new(binary: impl Into<PathBuf>) -> Launch {
        Launch {
            // The server may be started in another folder than this one.
            binary: std::path::absolute(binary.into()).expect("a current folder"),
            args: Vec::new(),
            address: "127.0.0.1:0".into(),
            root: None,
            name_root: true,
            wrapper: Vec::new(),
            stdin: None,
            user: None,
            output: None,
            log: None,
        }
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Launch {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Another binary than the one given first.
    pub fn binary(mut self, binary: impl Into<PathBuf>) -> Launch {
        self.binary = binary.into();
        self
    }

    /// The address to listen on.
    pub fn address(mut self, address: impl fmt::Display) -> Launch {
        self.address = address.to_string();
        self
    }

    /// An existing root.
    pub fn root(mut self, root: &Arc<Root>) -> Launch {
        self.root = Some(Arc::clone(root));
        self
    }

    /// Says nothing of the root: the server starts in it and must serve its current folder.
    pub fn in_root(mut self) -> Launch {
        self.name_root = false;
        self
    }

    /// A command that prepares something and then executes the server, whose command line follows
    /// as its last arguments.
    pub fn through<A: AsRef<OsStr>>(mut self, wrapper: impl IntoIterator<Item = A>) -> Launch {
        self.wrapper = wrapper.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
        self
    }

    /// What standard input is; `/dev/null` otherwise.
    pub fn stdin(mut self, file: File) -> Launch {
        self.stdin = Some(Arc::new(file));
        self
    }

    /// Runs as this user and group.
    pub fn user(mut self, id: u32) -> Launch {
        self.user = Some(id);
        self
    }

    /// Has it write its standard output here, where nobody may be reading it. So its address is that of its listening
    /// socket.
    pub fn output(mut self, output: impl Into<OwnedFd>) -> Launch {
        self.output = Some(Arc::new(output.into()));
        self
    }

    /// Has it write its standard error here.
    pub fn log(mut self, log: impl Into<OwnedFd>) -> Launch {
        self.log = Some(Arc::new(log.into()));
        self
    }

    /// Starts the server and waits for the line that tells its address.
    pub fn start(&self) -> Result<Server, Failure> {
        let (mut child, output, log, root) = self.spawn();
        if self.output.is_some() {
            let mut listener = None;
            within(TIMEOUT, || {
                listener = sockets::listener_of(child.id() as i32);
                listener.is_some() || exit_within(&child, Duration::ZERO).is_some()
            });
            return match listener {
                Some(address) => Ok(Server { child, address, root, output, log }),
                None => Err(failure(&mut child, &output, &log)),
            };
        }
        let first = output.wait(TIMEOUT, |text, ended| text.contains('\n') || ended);
        let text = first.unwrap_or_else(|text| text);
        let line = text.lines().next().unwrap_or_default();
        // A server of datagrams says so behind its address.
        let address = line
            .strip_prefix("listening on ")
            .and_then(|rest| rest.strip_suffix(" (UDP)").unwrap_or(rest).parse().ok());
        if let Some(SocketAddr::V4(address)) = address {
            return Ok(Server { child, address, root, output, log });
        }
        Err(failure(&mut child, &output, &log))
    }

    /// Starts a server that is expected to refuse, waits for its end and says how it went.
    #[track_caller]
    pub fn refuse(&self) -> Failure {
        let (mut child, output, log, _root) = self.spawn();
        if exit_within(&child, TIMEOUT).is_none() {
            let failure = failure(&mut child, &output, &log);
            panic!("expected the server to refuse its command line\n{failure}");
        }
        failure(&mut child, &output, &log)
    }

    fn spawn(&self) -> (Child, Capture, Capture, Arc<Root>) {
        let root = self.root.clone().unwrap_or_default();
        let mut line = self.wrapper.clone();
        line.push(self.binary.clone().into_os_string());
        let mut command = Command::new(&line[0]);
        // The own arguments come first: they may begin with the name of a model.
        command.args(&line[1..]).args(&self.args).args(["--addr", &self.address]);
        if self.name_root {
            command.arg("--root").arg(root.path());
        } else {
            command.current_dir(root.path());
        }
        if let Some(id) = self.user {
            command.uid(id).gid(id);
        }
        command.process_group(0);
        let stream = |own: &Option<Arc<OwnedFd>>| match own {
            Some(own) => own.try_clone().expect("a copy of a descriptor").into(),
            None => Stdio::piped(),
        };
        command.stdout(stream(&self.output)).stderr(stream(&self.log));
        match &self.stdin {
            Some(file) => command.stdin(file.try_clone().expect("a descriptor")),
            None => command.stdin(Stdio::null()),
        };
        // A binary that a case has copied is busy while a child that another test's thread has forked meanwhile still
        // has the descriptor that it was written by: until that child's exec.
        let mut spawned = command.spawn();
        within(TIMEOUT, || {
            let busy = matches!(&spawned, Err(e) if e.kind() == io::ErrorKind::ExecutableFileBusy);
            if busy {
                spawned = command.spawn();
            }
            !busy
        });
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => panic!("starting {}: {error}", line[0].display()),
        };
        let output = child.stdout.take().map_or_else(Capture::none, Capture::of);
        // A server does not wait for the reader of its log: with the usual 64 KiB it would lose lines of a burst.
        if let Some(log) = &child.stderr {
            let _ = rustix::pipe::fcntl_setpipe_size(log, LOG_ROOM);
        }
        let log = child.stderr.take().map_or_else(Capture::none, Capture::of);
        (child, output, log, root)
    }
}

/// What remains of a server that has ended, or that never said where it listens.
#[derive(Debug)]
pub struct Failure {
    /// How it ended, if it did so by itself.
    pub exit: Option<Exit>,
    /// What it wrote to standard output.
    pub output: String,
    /// What it wrote to standard error.
    pub log: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.exit {
            Some(exit) => writeln!(f, "the server ended: {exit:?}")?,
            None => writeln!(f, "the server neither said where it listens nor ended")?,
        }
        write!(f, "standard output: {:?}\nstandard error:\n{}", self.output, self.log)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<WaitIdStatus> for Exit {
    fn from(status: WaitIdStatus) -> Exit {
        let signal = || status.terminating_signal().unwrap_or_default();
        status.exit_status().map_or_else(|| Exit::Signal(signal()), Exit::Code)
    }
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// Waits for the end of a child and leaves it unreaped, so that nobody else can get its id.
fn exit_within(child: &Child, deadline: Duration) -> Option<Exit> {
    let pidfd = pidfd_open(pid(child), PidfdFlags::empty()).expect("a descriptor for the child");
    let start = Instant::now();
    loop {
        let left = deadline.saturating_sub(start.elapsed());
        let mut fds = [PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, Timespec::try_from(left).ok().as_ref()) {
            Ok(0) => return None,
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => panic!("waiting for the server: {error}"),
        }
    }
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let status = waitid(WaitId::Pid(pid(child)), options).expect("a child to wait for");
    status.map(Exit::from)
}

/// Ends what is left of a server and collects what it wrote.
fn failure(child: &mut Child, output: &Capture, log: &Capture) -> Failure {
    let exit = exit_within(child, Duration::ZERO);
    let _ = kill_process_group(pid(child), Signal::KILL);
    let _ = child.wait();
    let whole =
        |capture: &Capture| capture.wait(TIMEOUT, |_, ended| ended).unwrap_or_else(|text| text);
    Failure { exit, output: whole(output), log: whole(log) }
}

/// A pipe that is read to its end by a thread, into memory.
struct Capture {
    shared: Arc<(Mutex<Captured>, Condvar)>,
}

#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    ended: bool,
}

impl Capture {
    fn of(mut pipe: impl Read + Send + 'static) -> Capture {
        let shared = Arc::new((Mutex::new(Captured::default()), Condvar::new()));
        let capture = Capture { shared: Arc::clone(&shared) };
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                let got = pipe.read(&mut buffer).unwrap_or(0);
                let mut captured = shared.0.lock().unwrap_or_else(PoisonError::into_inner);
                captured.bytes.extend_from_slice(&buffer[..got]);
                captured.ended = got == 0;
                shared.1.notify_all();
                if captured.ended {
                    return;
                }
            }
        });
        capture
    }

    /// Of nothing.
    fn none() -> Capture {
        let captured = Captured { bytes: Vec::new(), ended: true };
        Capture { shared: Arc::new((Mutex::new(captured), Condvar::new())) }
    }

    fn text(&self) -> String {
        let captured = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&captured.bytes).into_owned()
    }

    /// Waits until `wanted` (asked with the text so far, and whether it is all) is content; gives
    /// the text in any case.
    fn wait(
        &self,
        deadline: Duration,
        wanted: impl Fn(&str, bool) -> bool,
    ) -> Result<String, String> {
        let start = Instant::now();
        let mut captured = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let text = String::from_utf8_lossy(&captured.bytes).into_owned();
            if wanted(&text, captured.ended) {
                return Ok(text);
            }
            let left = deadline.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(text);
            }
            let woken = self.shared.1.wait_timeout(captured, left);
            captured = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
