//! What is tested: a server binary and what its model can do.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::{Launch, Root, Server};

/// A server to be tested: its binary, the arguments that choose a variant of it, and what its
/// model can do.
#[derive(Clone, Debug)]
pub struct Subject {
    binary: PathBuf,
    args: Vec<OsString>,
    clients: usize,
    process_per_client: bool,
    obstacle: Option<String>,
    children_listen: bool,
    waits: bool,
    helpers: bool,
    report: Option<&'static str>,
}

impl Subject {
    /// A server that holds any number of conversations at once, in one process.
    pub fn new(binary: impl Into<PathBuf>) -> Subject {
        Subject {
            binary: binary.into(),
            args: Vec::new(),
            clients: usize::MAX,
            process_per_client: false,
            obstacle: None,
            children_listen: false,
            waits: false,
            helpers: false,
            report: None,
        }
    }

    /// Adds arguments that every start of this server gets.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Subject {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Says how many conversations the server holds at once: 1 for an iterative server, the number
    /// of workers where each conversation keeps one.
    pub fn clients(mut self, clients: usize) -> Subject {
        self.clients = clients;
        self
    }

    /// Says that every connection gets a process of its own.
    pub fn process_per_client(mut self) -> Subject {
        self.process_per_client = true;
        self
    }

    /// Says that the children hold the listening socket, too: they accept for themselves.
    pub fn children_listen(mut self) -> Subject {
        self.children_listen = true;
        self
    }

    /// Says that a client beyond the limit waits in the backlog until another leaves, and is not told `busy`.
    pub fn excess_clients_wait(mut self) -> Subject {
        self.waits = true;
        self
    }

    /// Says that helper threads do the file work that may take long, so that a server answers while it is stuck.
    pub fn helpers(mut self) -> Subject {
        self.helpers = true;
        self
    }

    /// Says that the server writes a report to standard output at an orderly end, which begins with this.
    pub fn reports(mut self, heading: &'static str) -> Subject {
        self.report = Some(heading);
        self
    }

    /// Whether the children hold the listening socket, too.
    pub fn do_children_listen(&self) -> bool {
        self.children_listen
    }

    /// Whether a client beyond the limit waits and is not told `busy`.
    pub fn do_excess_clients_wait(&self) -> bool {
        self.waits
    }

    /// Whether helper threads do the file work that may take long.
    pub fn has_helpers(&self) -> bool {
        self.helpers
    }

    /// The server's output without the report.
    pub fn without_report<'a>(&self, output: &'a str) -> &'a str {
        let begins = |heading: &str| output.find(&format!("\n{heading}")).map(|at| at + 1);
        &output[..self.report.and_then(begins).unwrap_or(output.len())]
    }

    /// Says what bars this server from running on this machine, if anything does: then every case is
    /// skipped, and says so.
    pub fn barred_by(mut self, obstacle: Option<String>) -> Subject {
        self.obstacle = obstacle;
        self
    }

    /// How many conversations the server holds at once, at most `wanted`.
    pub fn at_once(&self, wanted: usize) -> usize {
        wanted.min(self.clients)
    }

    /// Whether a case that has this need cannot be run against the server: the reason, or nothing.
    pub fn lacks(&self, need: Need) -> Option<String> {
        if self.obstacle.is_some() {
            return self.obstacle.clone();
        }
        match need {
            Need::Nothing => None,
            Need::Clients(n) if self.clients >= n => None,
            Need::Clients(n) => {
                Some(format!("needs {n} clients at once, the model holds {}", self.clients))
            }
            Need::ProcessPerClient if self.process_per_client => None,
            Need::ProcessPerClient => Some("the model has no process per client".into()),
            Need::PrivateMount if can_mount() => None,
            Need::Fuse if crate::fuse::can_mount() => None,
            Need::Fuse => Some("may not mount a file system of its own (FUSE) here".into()),
            Need::PrivateMount => Some("may not mount a small file system here".into()),
            Need::OwnUser if can_limit_threads() => None,
            Need::OwnUser => Some("may not limit the threads of another user here".into()),
        }
    }

    /// How to start the server: the variant's arguments, a fresh root.
    pub fn launch(&self) -> Launch {
        Launch::new(&self.binary).args(&self.args)
    }

    /// Starts the server on a fresh root with further options.
    #[track_caller]
    pub fn start(&self, options: &[&str]) -> Server {
        self.launch().args(options).start().unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// Starts the server on an existing root with further options.
    #[track_caller]
    pub fn start_on(&self, root: &Arc<Root>, options: &[&str]) -> Server {
        let launch = self.launch().args(options).root(root);
        launch.start().unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The binary's path.
    pub fn binary(&self) -> &PathBuf {
        &self.binary
    }
}

/// What a case needs of the server or of the machine. A case whose need is not met is skipped, and
/// says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing: one client at a time.
    Nothing,
    /// So many conversations at the same time.
    Clients(usize),
    /// A process per connection.
    ProcessPerClient,
    /// The right to mount a small file system in a mount namespace of its own.
    PrivateMount,
    /// The right to start the server as a user of its own, whose threads the system limits.
    OwnUser,
    /// The right to mount a file system of the test's own process in such a namespace.
    Fuse,
}

/// Whether this process may make a mount namespace and mount a file system in it.
fn can_mount() -> bool {
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs"]);
    unshare.arg(std::env::temp_dir());
    unshare.stderr(std::process::Stdio::null());
    unshare.status().is_ok_and(|status| status.success())
}

/// A user that no other test of this process gets, and hardly one of another. The system counts threads by user.
pub(crate) fn own_user() -> u32 {
    static USERS: AtomicU32 = AtomicU32::new(0);
    20_000 + (std::process::id() * 64 + USERS.fetch_add(1, Ordering::Relaxed)) % 40_000
}

/// Whether this process may start another as a user of its own, and the system then keeps that user's limit.
fn can_limit_threads() -> bool {
    let user = own_user();
    let forks = |limit: &str| {
        let mut shell = Command::new("prlimit");
        shell.args([limit, "sh", "-c", "true | true"]).uid(user).gid(user);
        shell.stderr(std::process::Stdio::null());
        shell.status().is_ok_and(|status| status.success())
    };
    forks("--nproc=100:100") && !forks("--nproc=1:1")
}
