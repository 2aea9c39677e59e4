//! The command `ipc`: what it finds, and what it removes and does not.

mod common;

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use common::Peer;

struct Output {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Output {
    /// The line about an object.
    fn line_naming(&self, name: &str) -> &str {
        let names = |line: &&str| line.split_whitespace().any(|word| word == name);
        self.out.lines().find(names).unwrap_or_else(|| panic!("nothing about {name}: {}", self.out))
    }
}

fn ipc(directory: &Path, arguments: &[&str]) -> Output {
    let output = command(directory, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Output { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipc"));
    command.args(arguments).stdin(Stdio::null()).env("TMPDIR", directory);
    command.env_remove("XDG_RUNTIME_DIR");
    command
}

/// A process that has one of everything, and the names of that; all gone when this is dropped.
struct Owner {
    peer: Peer,
    names: Vec<String>,
    directory: tempfile::TempDir,
}

impl Owner {
    fn start() -> Self {
        let mut peer = Peer::start("process", "leave", &[]);
        let names: Vec<String> = peer.line().split(' ').map(str::to_owned).collect();
        let directory = tempfile::tempdir().unwrap();
        let mut owner = Self { peer, names, directory };
        assert_eq!(owner.names.len(), 6, "{:?}", owner.names);
        if let Err(error) = ipc::queue::PosixQueue::list() {
            eprintln!("SKIPPED: POSIX queues cannot be listed here: {error}");
            ipc::queue::PosixQueue::remove(&owner.names.remove(0)).unwrap();
        }
        owner
    }

    /// `ipc OPTIONS NAMES`.
    fn ipc(&self, options: &[&str]) -> Output {
        let names = self.names.iter().map(String::as_str);
        let arguments: Vec<&str> = options.iter().copied().chain(names).collect();
        ipc(self.directory.path(), &arguments)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.peer.kill();
        self.ipc(&["--remove", "--yes"]);
    }
}

#[test]
fn doctor_tries_every_mechanism() {
    let directory = tempfile::tempdir().unwrap();
    let run = command(directory.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
    let own = format!("ipc-doctor-{}-", run.id());
    let output = run.wait_with_output().unwrap();
    let bare = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{bare}");
    for heading in ["LIMITS", "MECHANISMS", "OBJECTS OF "] {
        assert!(bare.lines().any(|line| line.starts_with(heading)), "{heading}: {bare}");
    }
    let tried = bare.lines().skip_while(|line| *line != "MECHANISMS").skip(1);
    let tried: Vec<&str> = tried.take_while(|line| !line.is_empty()).collect();
    assert_eq!(tried.len(), 18);
    assert!(tried.iter().all(|line| line.ends_with(" works")), "{tried:?}");

    let named = ipc(directory.path(), &["doctor"]);
    assert_eq!((named.code, named.err.as_str()), (Some(0), ""));
    let headings = |text: &str| text.lines().filter(|line| !line.starts_with(' ')).count();
    assert_eq!(headings(&bare), headings(&named.out));
    assert!(!named.out.contains(&own), "{}", named.out);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn killed_process_objects_are_removed() {
    let (mut dead, living) = (Owner::start(), Owner::start());
    let output = ipc(dead.directory.path(), &[]);
    for name in dead.names.iter().chain(&living.names) {
        assert!(!output.line_naming(name).contains("left behind"), "{}", output.line_naming(name));
    }
    dead.peer.kill();
    let output = ipc(dead.directory.path(), &[]);
    for name in &dead.names {
        assert!(
            output.line_naming(name).ends_with("; left behind"),
            "{}",
            output.line_naming(name)
        );
    }
    for name in &living.names {
        assert!(!output.line_naming(name).contains("left behind"), "{}", output.line_naming(name));
    }

    // Never without consent.
    let output = dead.ipc(&["doctor", "--remove"]);
    assert_eq!(output.code, Some(2));
    assert!(output.err.contains("--yes"), "{}", output.err);
    // Never what is in use, named or not.
    let output = living.ipc(&["doctor", "--remove", "--yes"]);
    assert_eq!(output.code, Some(1), "{}", output.out);
    for name in &living.names {
        let line = format!("  {name}: nothing of that name was left behind");
        assert!(output.out.lines().any(|output| output == line), "{line}: {}", output.out);
    }
    let output = dead.ipc(&["--remove", "--yes"]);
    assert_eq!(output.code, Some(0), "{} {}", output.out, output.err);
    let removed = output.out.lines().filter(|line| line.ends_with(": removed"));
    assert_eq!(removed.count(), dead.names.len());

    let output = ipc(dead.directory.path(), &[]);
    for name in &dead.names {
        assert!(!output.out.split_whitespace().any(|word| word == name), "{name}: {}", output.out);
    }
    for name in &living.names {
        output.line_naming(name);
    }
}

#[test]
fn stale_socket_file_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let (stale, living) = (below.join("stale"), directory.path().join("living"));
    drop(UnixListener::bind(&stale).unwrap());
    common::wait_for(|| UnixStream::connect(&stale).err());
    let listener = UnixListener::bind(&living).unwrap();
    let stale = stale.to_str().unwrap();
    let output =
        ipc(directory.path(), &["doctor", "--remove", "--yes", stale, living.to_str().unwrap()]);
    assert!(output.line_naming(stale).ends_with("nobody listens; left behind"), "{}", output.out);
    assert_eq!(output.code, Some(1), "the living one is none of those left behind");
    assert!(living.exists() && !Path::new(stale).exists());
    listener.set_nonblocking(true).unwrap();
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "a living server is not bothered");
}

#[test]
fn wrong_usage_exits_with_2() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [&["--yes"][..], &["doctor", "--yes"], &["doctor", "/name"], &["nurse"]] {
        let output = ipc(directory.path(), arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}");
        assert!(output.out.is_empty() && !output.err.is_empty());
    }
}

#[test]
fn closed_stdout_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(directory.path(), &["doctor"]);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
