//! The command `ipc`: what it finds, and what it removes and does not.

mod common;

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use common::Peer;

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    /// The line about an object.
    fn about(&self, name: &str) -> &str {
        let names = |line: &&str| line.split_whitespace().any(|word| word == name);
        self.out.lines().find(names).unwrap_or_else(|| panic!("nothing about {name}: {}", self.out))
    }
}

fn ipc(folder: &Path, arguments: &[&str]) -> Said {
    let output = command(folder, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipc"));
    command.args(arguments).stdin(Stdio::null()).env("TMPDIR", folder);
    command.env_remove("XDG_RUNTIME_DIR");
    command
}

/// A process that has one of everything, and the names of that; all gone when this is dropped.
struct Owner {
    peer: Peer,
    names: Vec<String>,
    folder: tempfile::TempDir,
}

impl Owner {
    fn start() -> Self {
        let mut peer = Peer::start("process", "leave", &[]);
        let names: Vec<String> = peer.line().split(' ').map(str::to_owned).collect();
        let folder = tempfile::tempdir().unwrap();
        let mut owner = Self { peer, names, folder };
        assert_eq!(owner.names.len(), 6, "{:?}", owner.names);
        if let Err(error) = ipc::queue::PosixQueue::list() {
            eprintln!("SKIPPED: POSIX queues cannot be listed here: {error}");
            ipc::queue::PosixQueue::remove(&owner.names.remove(0)).unwrap();
        }
        owner
    }

    /// `ipc OPTIONS NAMES`.
    fn ipc(&self, options: &[&str]) -> Said {
        let names = self.names.iter().map(String::as_str);
        let arguments: Vec<&str> = options.iter().copied().chain(names).collect();
        ipc(self.folder.path(), &arguments)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.peer.kill();
        self.ipc(&["--remove", "--yes"]);
    }
}

#[test]
fn every_mechanism_is_tried_and_nothing_stays() {
    let folder = tempfile::tempdir().unwrap();
    let run = command(folder.path(), &[]).stdout(Stdio::piped()).spawn().unwrap();
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

    let named = ipc(folder.path(), &["doctor"]);
    assert_eq!((named.code, named.err.as_str()), (Some(0), ""));
    let headings = |text: &str| text.lines().filter(|line| !line.starts_with(' ')).count();
    assert_eq!(headings(&bare), headings(&named.out));
    assert!(!named.out.contains(&own), "{}", named.out);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_a_killed_process_left_is_found_and_removed() {
    let (mut left, used) = (Owner::start(), Owner::start());
    let said = ipc(left.folder.path(), &[]);
    for name in left.names.iter().chain(&used.names) {
        assert!(!said.about(name).contains("left behind"), "{}", said.about(name));
    }
    left.peer.kill();
    let said = ipc(left.folder.path(), &[]);
    for name in &left.names {
        assert!(said.about(name).ends_with("; left behind"), "{}", said.about(name));
    }
    for name in &used.names {
        assert!(!said.about(name).contains("left behind"), "{}", said.about(name));
    }

    // Never without consent.
    let said = left.ipc(&["doctor", "--remove"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("--yes"), "{}", said.err);
    // Never what is in use, named or not.
    let said = used.ipc(&["doctor", "--remove", "--yes"]);
    assert_eq!(said.code, Some(1), "{}", said.out);
    for name in &used.names {
        let line = format!("  {name}: nothing of that name was left behind");
        assert!(said.out.lines().any(|said| said == line), "{line}: {}", said.out);
    }
    let said = left.ipc(&["--remove", "--yes"]);
    assert_eq!(said.code, Some(0), "{} {}", said.out, said.err);
    let removed = said.out.lines().filter(|line| line.ends_with(": removed"));
    assert_eq!(removed.count(), left.names.len());

    let said = ipc(left.folder.path(), &[]);
    for name in &left.names {
        assert!(!said.out.split_whitespace().any(|word| word == name), "{name}: {}", said.out);
    }
    for name in &used.names {
        said.about(name);
    }
}

#[test]
fn a_socket_file_without_a_socket_is_found_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("below");
    std::fs::create_dir(&below).unwrap();
    let (stale, living) = (below.join("stale"), folder.path().join("living"));
    drop(UnixListener::bind(&stale).unwrap());
    common::until(|| UnixStream::connect(&stale).err());
    let listener = UnixListener::bind(&living).unwrap();
    let stale = stale.to_str().unwrap();
    let said =
        ipc(folder.path(), &["doctor", "--remove", "--yes", stale, living.to_str().unwrap()]);
    assert!(said.about(stale).ends_with("nobody listens; left behind"), "{}", said.out);
    assert_eq!(said.code, Some(1), "the living one is none of those left behind");
    assert!(living.exists() && !Path::new(stale).exists());
    listener.set_nonblocking(true).unwrap();
    let nobody = listener.accept().unwrap_err();
    assert_eq!(nobody.kind(), std::io::ErrorKind::WouldBlock, "a living server is not bothered");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--yes"][..], &["doctor", "--yes"], &["doctor", "/name"], &["nurse"]] {
        let said = ipc(folder.path(), arguments);
        assert_eq!(said.code, Some(2), "{arguments:?}");
        assert!(said.out.is_empty() && !said.err.is_empty());
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = command(folder.path(), &["doctor"]);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
