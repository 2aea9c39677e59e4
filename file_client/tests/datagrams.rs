//! `--udp`: the program against the real service by datagram, and against a network that misbehaves by rule.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use file_service::datagram::answer;
use file_service::{Service, Settings, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// A service by datagram in a thread, and every request that came.
struct Server {
    addr: SocketAddr,
    root: TempDir,
    log: Arc<Mutex<Vec<String>>>,
}

/// What a test may do instead of sending the right reply: how many copies of it came before, the socket, the client, the request.
type Rule = dyn Fn(usize, &UdpSocket, SocketAddr, &str, &mut dyn FnMut() -> Vec<u8>) + Send;

impl Server {
    fn start() -> Server {
        Server::start_with(Box::new(|_, socket, client, _, answer| {
            socket.send_to(&answer(), client).unwrap();
        }))
    }

    fn start_with(rule: Box<Rule>) -> Server {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("hello.txt"), "hello\n").unwrap();
        fs::create_dir(root.path().join("sub")).unwrap();
        fs::write(root.path().join("sub/a b"), "blank").unwrap();
        let store = Store::open(root.path(), false, false).unwrap();
        let service = Service::new(store, Settings::default());
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let addr = socket.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let server = Server { addr, root, log: Arc::clone(&log) };
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            let (mut last, mut copy) = (String::new(), 0);
            loop {
                // What an earlier client left behind comes as an error.
                let Ok((n, client)) = socket.recv_from(&mut buffer) else { continue };
                let request = String::from_utf8(buffer[..n].to_vec()).unwrap();
                copy = if request == last { copy + 1 } else { 0 };
                log.lock().unwrap().push(request.clone());
                let mut answer = || answer(&service, client, &buffer[..n]).expect("a request");
                rule(copy, &socket, client, &request, &mut answer);
                last = request;
            }
        });
        server
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// The same without the copies of a request that a client sends again because it has not been answered soon enough: on a
    /// busy machine that may be any.
    fn requests(&self) -> Vec<String> {
        let mut requests = self.log();
        requests.dedup();
        requests
    }

    fn command(&self, directory: &TempDir, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_file_client"));
        command.args(["--udp", "--addr", &self.addr.to_string()]).args(args);
        command.current_dir(directory.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, directory: &TempDir, args: &[&str]) -> Output {
        self.command(directory, args).output().unwrap()
    }
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[track_caller]
fn assert_success(output: &Output) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{stderr}");
}

#[track_caller]
fn assert_fails(output: &Output, exit_code: i32, saying: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit_code), "{stderr}");
    assert!(stderr.contains(saying), "no '{saying}' in: {stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
}

fn is_empty(directory: impl AsRef<Path>) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

const HASH_OF_HELLO: &str = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";

#[test]
fn every_command_works_by_datagram() {
    let (server, local) = (Server::start(), directory());
    let output = server.run(&local, &["list"]);
    assert_success(&output);
    assert!(stdout(&output).contains("  hello.txt\n") && stdout(&output).contains("  sub/\n"));
    let listed: serde_json::Value =
        serde_json::from_slice(&server.run(&local, &["list", "sub", "--json"]).stdout).unwrap();
    assert_eq!(listed[0]["name"], "a b");

    let output = server.run(&local, &["hash", "h*"]);
    assert_success(&output);
    assert_eq!(stdout(&output), format!("{HASH_OF_HELLO}  hello.txt\n"));

    // Many pieces, the last of them empty.
    let big: Vec<u8> = (0..1200u32 * 100).map(|n| (n ^ n >> 8) as u8).collect();
    fs::write(server.root.path().join("big"), &big).unwrap();
    assert_success(&server.run(&local, &["get", "big", "sub/a b", "hello.txt"]));
    assert!(fs::read(local.path().join("big")).unwrap() == big);
    assert_eq!(fs::read(local.path().join("a b")).unwrap(), b"blank");
    assert_eq!(fs::read(local.path().join("hello.txt")).unwrap(), b"hello\n");
    assert_eq!(fs::read_dir(local.path()).unwrap().count(), 3);

    let output = server.run(&local, &["get", "hello.txt", "-o", "-"]);
    assert_success(&output);
    assert_eq!(stdout(&output), "hello\n");

    // A limit on the size of files cuts the first try short.
    let again = server.command(&local, &["get", "big", "-o", "again", "--resume"]);
    let cut = Command::new("sh")
        .args(["-c", "ulimit -f 50; exec \"$@\"", "sh"])
        .arg(again.get_program())
        .args(again.get_args())
        .current_dir(local.path())
        .output()
        .unwrap();
    assert_eq!(cut.status.code(), Some(1));
    assert_success(&server.run(&local, &["get", "big", "-o", "again", "--resume"]));
    assert!(fs::read(local.path().join("again")).unwrap() == big);
    assert_eq!(fs::read_dir(local.path()).unwrap().count(), 4);

    fs::write(server.root.path().join("[ab]"), "brackets").unwrap();
    fs::write(server.root.path().join("a"), "a").unwrap();
    let output = server.run(&local, &["get", "[ab]", "[a-a]", "-o", "-"]);
    assert_eq!(stdout(&output), "bracketsa");
}

#[test]
fn piped_commands_are_run() {
    let (server, local) = (Server::start(), directory());
    let mut child =
        server.command(&local, &[]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hash hello.txt\nlist sub\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert!(stdout(&output).starts_with(HASH_OF_HELLO) && stdout(&output).ends_with("a b\n"));
}

#[test]
fn refusal_is_printed() {
    let (server, local) = (Server::start(), directory());
    assert_fails(
        &server.run(&local, &["get", "absent"]),
        1,
        "absent: no such file or folder (not-found)",
    );
    assert_fails(&server.run(&local, &["hash", "sub"]), 1, "(not-a-file)");
    fs::File::create(server.root.path().join("huge")).unwrap().set_len((1 << 20) + 1).unwrap();
    let asked = server.requests().len();
    assert_fails(&server.run(&local, &["get", "huge"]), 1, "(too-large)");
    assert_eq!(server.requests().len(), asked + 1, "what cannot be verified is not fetched");
    let asked = server.requests().len();
    let here = local.path().join("here");
    fs::write(&here, "x").unwrap();
    assert_fails(&server.run(&local, &["put", "here"]), 2, "leave --udp out");
    assert_fails(&server.run(&local, &["hash", &"x/".repeat(2500)]), 3, "fits no datagram");
    assert_eq!(server.requests().len(), asked, "nothing was asked of the server");
    fs::remove_file(here).unwrap();
    assert!(is_empty(&local));
}

#[test]
fn lost_datagram_is_requested_again() {
    // The third is answered, and so is whatever comes after it because the answer takes its time.
    let server = Server::start_with(Box::new(|copy, socket, client, _, answer| {
        if copy >= 2 {
            socket.send_to(&answer(), client).unwrap();
        }
    }));
    let output = server.run(&directory(), &["hash", "hello.txt", "sub/a b"]);
    assert_success(&output);
    let (log, requests) = (server.log(), server.requests());
    assert_eq!(requests.len(), 2, "copies are equal: {log:?}");
    for request in &requests {
        assert!(log.iter().filter(|copy| *copy == request).count() >= 3, "{log:?}");
    }
    let id = |request: &str| request.split(' ').next().unwrap().to_owned();
    assert_ne!(id(&requests[0]), id(&requests[1]), "a new request has a new identifier");
}

#[test]
fn unrelated_datagram_is_ignored() {
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = Server::start_with(Box::new(move |_, socket, client, request, answer| {
        let id: u64 = request.split(' ').next().unwrap().parse().unwrap();
        let forgery = format!("{id} OK 65\n{}\n", "0".repeat(64)).into_bytes();
        let send = |datagram: &[u8]| assert!(socket.send_to(datagram, client).is_ok());
        // From elsewhere, with the right identifier.
        stranger.send_to(&forgery, client).unwrap();
        // From the right address, with another one, or none.
        send(&[format!("{}", id ^ 1).as_bytes(), b" OK 0\n"].concat());
        send(b"0 ERR internal no\n");
        send(b"");
        send(b"\n");
        send(b"OK 0\n");
        send(format!("0{id} OK 0\n").as_bytes());
        send(&[0xff; 20_000]);
        send(&answer());
        send(&answer());
    }));
    let output = server.run(&directory(), &["hash", "hello.txt"]);
    assert_success(&output);
    assert!(stdout(&output).starts_with(HASH_OF_HELLO), "{}", stdout(&output));
}

#[test]
fn malformed_datagram_is_reported() {
    for (reply, saying) in [
        (&b"OK 66\n0"[..], "1 bytes instead of 66"),
        (b"OK 1\n01", "2 bytes instead of 1"),
        (b"OK 1\nx", "not a hash"),
        (b"OK 65", "without an end of line"),
        (b"YES 65\n", "malformed reply"),
        (b"ERR gone \x1b[2J\n", "\\x1b[2J (gone)"),
    ] {
        let server = Server::start_with(Box::new(move |_, socket, client, request, _| {
            let id = request.split(' ').next().unwrap();
            socket.send_to(&[id.as_bytes(), b" ", reply].concat(), client).unwrap();
        }));
        let exit_code = if reply.starts_with(b"ERR") { 1 } else { 3 };
        assert_fails(&server.run(&directory(), &["hash", "hello.txt"]), exit_code, saying);
    }
}

#[test]
fn silent_server_ends_all_files() {
    let server = Server::start_with(Box::new(|_, _, _, _, _| ()));
    let local = directory();
    let output = server.run(&local, &["--timeout", "1", "get", "hello.txt", "sub/a b"]);
    assert_fails(&output, 3, "hello.txt: no reply within 1.");
    // What the client has sent is there, but this server may be later to take it than the client is to give up.
    let next = UdpSocket::bind("127.0.0.1:0").unwrap();
    next.send_to(b"0 LIST\n", server.addr).unwrap();
    let start = Instant::now();
    let log = loop {
        assert!(start.elapsed() < Duration::from_secs(60), "the server takes nothing");
        let mut log = server.log();
        if log.last().is_some_and(|last| last == "0 LIST\n") {
            log.pop();
            break log;
        }
        thread::yield_now();
    };
    assert!((1..=4).contains(&log.len()), "{log:?}");
    assert!(log.iter().all(|request| *request == log[0]), "the second file is not tried: {log:?}");
    assert!(is_empty(&local));
}

#[test]
fn unreachable_server_is_reported() {
    let local = directory();
    let server = Server::start();
    // An address of this machine where no test has a server.
    let addr = UdpSocket::bind("127.7.1.1:0").unwrap().local_addr().unwrap();
    let server = Server { addr, ..server };
    assert_fails(&server.run(&local, &["list"]), 3, "connection refused; does a server with --udp");
}

#[test]
fn file_changed_between_pieces_is_not_saved() {
    let root = Arc::new(Mutex::new(None::<std::path::PathBuf>));
    let server = Server::start_with(Box::new({
        let root = Arc::clone(&root);
        move |_, socket, client, request, answer| {
            socket.send_to(&answer(), client).unwrap();
            if request.contains(" GET ") {
                let root = root.lock().unwrap();
                fs::write(root.as_ref().unwrap().join("file"), [b'2'; 3000]).unwrap();
            }
        }
    }));
    *root.lock().unwrap() = Some(server.root.path().to_owned());
    fs::write(server.root.path().join("file"), [b'1'; 3000]).unwrap();
    let local = directory();
    assert_fails(&server.run(&local, &["get", "file"]), 3, "verification failed");
    assert!(is_empty(&local));
}

#[test]
fn interrupt_ends_the_wait() {
    let (sender, asked) = std::sync::mpsc::channel();
    let server = Server::start_with(Box::new(move |_, socket, client, request, answer| {
        if request.contains(" GET ") {
            let _ = sender.send(());
        } else {
            socket.send_to(&answer(), client).unwrap();
        }
    }));
    let local = directory();
    let child =
        server.command(&local, &["get", "hello.txt"]).stderr(Stdio::piped()).spawn().unwrap();
    asked.recv().unwrap();
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_fails(&output, 130, "interrupted");
    assert!(is_empty(&local), "the temporary is gone");
}
