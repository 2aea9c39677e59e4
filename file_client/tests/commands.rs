//! The program as a person or a script runs it, against a server that can be told to misbehave.

mod fake;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;

use fake::{Fake, Twist, ok, sha256};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

fn command(server: &Fake, folder: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_file_client"));
    command.args(["--addr", &server.addr.to_string()]).args(args).current_dir(folder.path());
    command.stdin(Stdio::null());
    command
}

/// Runs one command to its end.
fn run(server: &Fake, folder: &TempDir, args: &[&str]) -> Output {
    command(server, folder, args).output().unwrap()
}

/// Feeds commands through standard input.
fn script(server: &Fake, folder: &TempDir, lines: &str) -> Output {
    let mut child = command(server, folder, &[])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("an exit code")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn assert_success(output: &Output) {
    assert_eq!((code(output), stderr(output).as_str()), (0, ""));
}

#[track_caller]
fn assert_fails(output: &Output, exit_code: i32, saying: &[&str]) {
    let stderr = stderr(output);
    assert_eq!(code(output), exit_code, "{stderr}");
    for words in saying {
        assert!(stderr.contains(words), "no '{words}' in: {stderr}");
    }
    assert!(!stderr.contains("panicked"), "{stderr}");
}

/// All names in a folder, hidden ones too.
fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn list_for_people() {
    let server = Fake::honest(&[("a%20b.txt", &[0; 1536]), ("sub/x", b"")]);
    let output = run(&server, &folder(), &["list"]);
    assert_success(&output);
    assert_eq!(
        stdout(&output),
        "f  1.5 KiB  2023-11-14 22:13Z  a b.txt\nd        -  2023-11-14 22:13Z  sub/\n"
    );
    let output = run(&server, &folder(), &["list", "sub"]);
    assert_eq!(stdout(&output), "f  0 B  2023-11-14 22:13Z  x\n");
}

#[test]
fn list_for_programs() {
    let server = Fake::honest(&[("a%20%22b", b"12"), ("sub/x", b"")]);
    let output = run(&server, &folder(), &["list", "--json"]);
    assert_success(&output);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!([
        {"name": "a \"b", "kind": "file", "size": 2, "mtime": 1_700_000_000},
        {"name": "sub", "kind": "directory", "size": 0, "mtime": 1_700_000_000},
    ]);
    assert_eq!(listed, expected);
    let output = run(&server, &folder(), &["list", "nothing", "--json"]);
    assert_eq!(stdout(&output), "[]\n");
}

#[test]
fn names_and_messages_cannot_steer_the_terminal() {
    let server = Fake::twisted(&[], |request, _| match request.starts_with("LIST") {
        true => Twist::Reply(ok(b"f 1 0 a%1B[2Jb%0Ac\n")),
        false => Twist::Reply(b"ERR denied \x1b[2J\n".to_vec()),
    });
    let output = run(&server, &folder(), &["list"]);
    assert_eq!(stdout(&output), "f  1 B  1970-01-01 00:00Z  a\\x1b[2Jb\\x0ac\n");
    let output = run(&server, &folder(), &["hash", "x"]);
    assert_fails(&output, 1, &["\\x1b[2J (denied)"]);
}

#[test]
fn a_reader_that_leaves_is_no_crash() {
    let entries: String = (0..50_000).map(|n| format!("f 1 0 name-{n:06}\n")).collect();
    let server = Fake::twisted(&[], move |_, _| Twist::Reply(ok(entries.as_bytes())));
    let folder = folder();
    let mut child = command(&server, &folder, &["list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_success(&output);
}

#[test]
fn get_lands_verified_and_silent() {
    let server = Fake::honest(&[("sub/a%20b.txt", b"hello")]);
    let folder = folder();
    let output = run(&server, &folder, &["get", "sub/a b.txt"]);
    assert_success(&output);
    assert_eq!(stdout(&output), "");
    assert_eq!(names(&folder), ["a b.txt"]);
    assert_eq!(fs::read(folder.path().join("a b.txt")).unwrap(), b"hello");
    assert_eq!(server.log()[..2], ["GET sub/a%20b.txt", "HASH sub/a%20b.txt"]);

    let ordinary = folder.path().join("ordinary");
    fs::write(&ordinary, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&folder.path().join("a b.txt")), mode(&ordinary));
}

/// Whoever writes a small server of the protocol without HASH can use this client; it does not pretend.
#[test]
fn a_server_without_hash_is_believed_and_it_is_said() {
    let server = Fake::twisted(&[("a", b"hello")], |line, _| match line.starts_with("HASH") {
        true => Twist::Reply(b"ERR bad-command no such thing\n".to_vec()),
        false => Twist::Honest,
    });
    let folder = folder();
    for command in [&["get", "a"][..], &["put", "a", "--as", "b"]] {
        let output = run(&server, &folder, command);
        let told = format!("{}: not verified, the server has no HASH\n", command.last().unwrap());
        assert_eq!((code(&output), stderr(&output)), (0, told));
    }
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"hello");
    assert_eq!(server.files.lock().unwrap()["b"], b"hello");
}

#[test]
fn get_to_a_chosen_place() {
    let server = Fake::honest(&[("a", b"one"), ("b", b"two")]);
    let folder = folder();
    fs::create_dir(folder.path().join("dir")).unwrap();
    assert_success(&run(&server, &folder, &["get", "a", "-o", "c"]));
    assert_success(&run(&server, &folder, &["get", "a", "b", "-o", "dir"]));
    assert_eq!(names(&folder), ["c", "dir"]);
    assert_eq!(names(folder.path().join("dir")), ["a", "b"]);
    let output = run(&server, &folder, &["get", "a", "b", "-o", "-"]);
    assert_success(&output);
    assert_eq!(stdout(&output), "onetwo");

    let requests = server.log().len();
    assert_fails(&run(&server, &folder, &["get", "a", "b", "-o", "c"]), 2, &["existing folder"]);
    assert_fails(&run(&server, &folder, &["get", "a", "-o", "none/"]), 2, &["none/"]);
    assert_fails(&run(&server, &folder, &["get", "-o", "-", "--resume", "a"]), 2, &["--resume"]);
    assert_fails(&run(&server, &folder, &["get", "x/a", "y/a"]), 2, &["x/a and y/a"]);
    assert_fails(&run(&server, &folder, &["get", ".."]), 2, &["'..'"]);
    assert_eq!(server.log().len(), requests, "nothing was asked of the server");
    assert_fails(
        &run(&server, &folder, &["get", "a", "-o", "no/where"]),
        1,
        &["cannot write into no"],
    );
}

#[test]
fn one_missing_file_does_not_stop_the_rest() {
    let server = Fake::honest(&[("a", b"one"), ("c", b"three")]);
    let folder = folder();
    let output = run(&server, &folder, &["get", "a", "b", "c"]);
    assert_fails(&output, 1, &["b: no such file or folder (not-found)"]);
    assert_eq!(names(&folder), ["a", "c"]);
}

#[test]
fn a_file_that_changed_meanwhile_does_not_land() {
    let server = Fake::twisted(&[("a", b"old"), ("b", b"same")], |request, files| {
        if request == "HASH a" {
            files.entry("a".to_string()).or_default().push(b'!');
        }
        Twist::Honest
    });
    let folder = folder();
    let output = run(&server, &folder, &["get", "a", "b"]);
    assert_fails(&output, 3, &["a: verification failed"]);
    assert_eq!(names(&folder), ["b"]);
    let output = run(&server, &folder, &["get", "a", "-o", "-"]);
    assert_fails(&output, 3, &["a: verification failed", "do not use"]);
    assert_eq!(stdout(&output), "old!");
}

#[test]
fn a_lost_connection_leaves_no_half_file_and_the_rest_is_done() {
    let server = Fake::twisted(&[("b", b"two")], |request, _| match request {
        "GET a" => Twist::ReplyAndClose(b"OK 1000\nhalf".to_vec()),
        _ => Twist::Honest,
    });
    let folder = folder();
    fs::write(folder.path().join("a"), "before").unwrap();
    let output = run(&server, &folder, &["get", "a", "b"]);
    assert_fails(&output, 3, &["a: connection lost", "after 4 of 1000 bytes", "--resume"]);
    assert_eq!(names(&folder), ["a", "b"]);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"before");
}

#[test]
fn resume_goes_on_where_it_stopped() {
    let cut = AtomicBool::new(true);
    let server = Fake::twisted(&[("a", b"0123456789")], move |request, _| match request {
        "GET a" if cut.swap(false, Relaxed) => Twist::ReplyAndClose(b"OK 10\n0123".to_vec()),
        _ => Twist::Honest,
    });
    let folder = folder();
    let output = run(&server, &folder, &["get", "a", "--resume"]);
    assert_fails(&output, 3, &["4 B kept in a.part", "--resume"]);
    assert_eq!(names(&folder), ["a.part"]);
    assert_success(&run(&server, &folder, &["get", "a", "--resume"]));
    assert_eq!(names(&folder), ["a"]);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"0123456789");
    assert!(server.log().contains(&"GET a 4".to_string()), "{:?}", server.log());
}

#[test]
fn resume_notices_another_file() {
    let server = Fake::honest(&[("a", b"0123456789")]);
    let folder = folder();
    let part = folder.path().join("a.part");
    fs::write(&part, "xxxx").unwrap();
    let output = run(&server, &folder, &["get", "a", "--resume"]);
    assert_fails(&output, 3, &["verification failed", "start again"]);
    assert!(names(&folder).is_empty());

    // Shorter than its part: surely another file, so from the start at once.
    fs::write(&part, "more than ten bytes").unwrap();
    assert_success(&run(&server, &folder, &["get", "a", "--resume"]));
    assert_eq!(names(&folder), ["a"]);
    assert_eq!(fs::read(folder.path().join("a")).unwrap(), b"0123456789");
}

#[test]
fn resume_respects_what_is_not_its_own() {
    let server = Fake::honest(&[("a", b"0123456789")]);
    let folder = folder();
    let part = folder.path().join("a.part");

    let held = fs::File::create(&part).unwrap();
    held.lock().unwrap();
    let output = run(&server, &folder, &["get", "a", "--resume"]);
    assert_fails(&output, 1, &["a.part is in use by another file_client"]);
    drop(held);
    fs::remove_file(&part).unwrap();

    std::os::unix::fs::symlink("elsewhere", &part).unwrap();
    let output = run(&server, &folder, &["get", "a", "--resume"]);
    assert_fails(&output, 1, &["a.part"]);
    assert_eq!(names(&folder), ["a.part"]);
    fs::remove_file(&part).unwrap();

    let output = run(&server, &folder, &["get", "absent", "--resume"]);
    assert_fails(&output, 1, &["not-found"]);
    assert!(names(&folder).is_empty(), "an empty part is nothing to keep");
}

#[test]
fn get_matches_names_on_the_server() {
    let files: [(&str, &[u8]); 6] = [
        ("a.txt", b"a"),
        ("b.txt", b"b"),
        (".c.txt", b"c"),
        ("d.md", b"d"),
        ("sub1/x.txt", b"x"),
        ("sub2/y.txt", b"y"),
    ];
    let server = Fake::honest(&files);
    let folder = folder();
    assert_success(&run(&server, &folder, &["get", "?.txt"]));
    assert_eq!(names(&folder), ["a.txt", "b.txt"]);
    assert_success(&run(&server, &folder, &["get", "sub*/[x-z].txt"]));
    assert_eq!(names(&folder), ["a.txt", "b.txt", "x.txt", "y.txt"]);
    let output = run(&server, &folder, &["get", "*.pdf", "d.md"]);
    assert_fails(&output, 1, &["no file on the server matches '*.pdf'"]);
    assert!(names(&folder).contains(&"d.md".to_string()));
    assert_fails(&run(&server, &folder, &["get", "a**"]), 2, &["pattern 'a**'"]);
}

#[test]
fn hostile_names_stay_outside() {
    let server = Fake::twisted(&[("good", b"good")], |request, _| match request {
        "LIST /" => Twist::Reply(ok(
            b"f 4 0 ..\nf 4 0 ..%2Fevil\nf 4 0 %2Ftmp%2Fevil\nf 4 0 a%0Ab\nf 4 0 good\n",
        )),
        request if request.starts_with("GET") && request != "GET good" => Twist::Reply(ok(b"evil")),
        _ => Twist::Honest,
    });
    let outer = folder();
    let inner = outer.path().join("inner");
    fs::create_dir(&inner).unwrap();
    let output = command(&server, &outer, &["get", "*"]).current_dir(&inner).output().unwrap();
    assert_fails(&output, 3, &["the server lists '../evil'"]);
    assert_eq!(names(&outer), ["inner"]);
    assert_eq!(names(&inner), ["good"]);
}

#[test]
fn put_stores_and_verifies() {
    let server = Fake::honest(&[]);
    let folder = folder();
    for name in ["a b", "c.txt", "d.txt"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    fs::create_dir(folder.path().join("e.txt")).unwrap();
    assert_success(&run(&server, &folder, &["put", "a b"]));
    assert_eq!(server.content("a%20b").unwrap(), b"a b");
    assert_success(&run(&server, &folder, &["put", "c.txt", "--as", "new/name"]));
    assert_eq!(server.content("new/name").unwrap(), b"c.txt");
    assert_success(&run(&server, &folder, &["put", "*.txt", "--to", "in/"]));
    assert_eq!(server.content("in/c.txt").unwrap(), b"c.txt");
    assert_eq!(server.content("in/d.txt").unwrap(), b"d.txt");
    assert_eq!(server.log()[..2], ["PUT a%20b 3", "HASH a%20b"]);
}

#[test]
fn put_says_what_is_wrong() {
    let server = Fake::twisted(&[], |request, files| {
        if request.starts_with("PUT big ") {
            return Twist::ReplyAndClose(b"ERR too-large the file is above the limit\n".to_vec());
        }
        if request == "HASH bad" {
            files.insert("bad".to_string(), b"damaged".to_vec());
        }
        Twist::Honest
    });
    let folder = folder();
    fs::write(folder.path().join("big"), vec![1; 8 << 20]).unwrap();
    for name in ["bad", "good"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    fs::create_dir(folder.path().join("dir")).unwrap();
    let output = run(&server, &folder, &["put", "big", "bad", "absent", "dir", "good"]);
    assert_fails(
        &output,
        1,
        &[
            "big: the file is above the limit (too-large)",
            "bad: verification failed",
            "cannot read absent: no such file",
            "cannot read dir: not a regular file",
        ],
    );
    assert_eq!(server.content("good").unwrap(), b"good");
    assert_fails(&run(&server, &folder, &["put", "bad"]), 3, &["verification failed"]);
    assert_fails(&run(&server, &folder, &["put", "bad", "good", "--as", "x"]), 2, &["--to"]);
    assert_fails(&run(&server, &folder, &["put", "bad", "--as", "x", "--to", "y"]), 2, &[]);
    assert_fails(&run(&server, &folder, &["put", "bad", "./bad"]), 2, &["would both become bad"]);
    assert_fails(&run(&server, &folder, &["put", "*.none"]), 1, &["no local file matches"]);
}

#[test]
fn hash_prints_what_sha256sum_prints() {
    let server = Fake::honest(&[("a", b"one"), ("b", b"two")]);
    let output = run(&server, &folder(), &["hash", "a", "b"]);
    assert_success(&output);
    assert_eq!(stdout(&output), format!("{}  a\n{}  b\n", sha256(b"one"), sha256(b"two")));
}

#[test]
fn nobody_there() {
    let folder = folder();
    fs::write(folder.path().join("a"), "a").unwrap();
    // Port 1 of a loopback address that nothing uses.
    for args in [&["list"][..], &["get", "a", "b"], &["put", "a"], &["hash", "*"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_file_client"))
            .args(["--addr", "127.77.77.77:1"])
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_fails(
            &output,
            3,
            &["cannot connect to 127.77.77.77:1: connection refused; is a server"],
        );
        assert_eq!(stderr(&output).lines().count(), 1, "said once: {}", stderr(&output));
    }
}

#[test]
fn a_refusal_on_arrival_is_told() {
    let server = Fake::twisted(&[], |_, _| {
        Twist::ReplyAndClose(b"ERR busy no room for another client now\n".to_vec())
    });
    let output = run(&server, &folder(), &["list"]);
    assert_fails(&output, 1, &["no room for another client now (busy)"]);
}

#[test]
fn nonsense_from_the_server_is_told() {
    let server = Fake::twisted(&[], |_, _| Twist::Reply(b"HTTP/1.1 400 Bad Request\r\n".to_vec()));
    assert_fails(&run(&server, &folder(), &["list"]), 3, &["malformed reply", "HTTP/1.1 400"]);
}

#[test]
fn a_silent_server_is_given_up() {
    let server = Fake::twisted(&[], |_, _| Twist::ReplyAndStall(Vec::new()));
    let output = run(&server, &folder(), &["--timeout", "1", "list"]);
    assert_fails(&output, 3, &["no byte moved for 1 s"]);
}

#[test]
fn wrong_usage() {
    let server = Fake::honest(&[]);
    for args in [
        &["nonsense"][..],
        &["get"],
        &["put"],
        &["hash"],
        &["list", "--nonsense"],
        &["list", "--addr", "nowhere"],
        &["list", "--timeout", "-1"],
    ] {
        let output = run(&server, &folder(), args);
        assert_fails(&output, 2, &["error:"]);
    }
    assert!(server.log().is_empty());
    assert_success(&run(&server, &folder(), &["--help"]));
}

#[test]
fn commands_from_a_pipe() {
    let server = Fake::honest(&[("a%20b", b"hello"), ("c", b"c")]);
    let folder = folder();
    let lines = "# a comment\n\n get 'a b'\nhash c\nput 'a b' --as d\nquit\nnonsense\n";
    let output = script(&server, &folder, lines);
    assert_success(&output);
    assert_eq!(stdout(&output), format!("{}  c\n", sha256(b"c")));
    assert_eq!(names(&folder), ["a b"]);
    assert_eq!(server.content("d").unwrap(), b"hello");
    assert_eq!(server.log().last().unwrap(), "QUIT");
}

#[test]
fn a_script_stops_at_its_first_failure() {
    let server = Fake::honest(&[("a", b"a")]);
    for (lines, exit_code) in
        [("get none\nget a\n", 1), ("nonsense\nget a\n", 2), ("get 'a\nget a\n", 2), ("get a b", 1)]
    {
        let folder = folder();
        let output = script(&server, &folder, lines);
        assert_eq!(code(&output), exit_code, "{lines}");
    }
    assert!(!server.log().contains(&"QUIT".to_string()));
    let help = script(&server, &folder(), "help\nget --help\nhelp put\n");
    assert_success(&help);
    assert!(stdout(&help).contains("--resume"), "{}", stdout(&help));
}

#[test]
fn a_script_survives_a_server_that_closes_idle_connections() {
    let server = Fake::twisted(&[("a", b"a")], |request, _| match request.starts_with("HASH") {
        true => Twist::ReplyAndClose(ok(format!("{}\n", sha256(b"a")).as_bytes())),
        false => Twist::Honest,
    });
    let folder = folder();
    let mut child = command(&server, &folder, &[])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(b"get a\n").unwrap();
    server.closed.recv().unwrap();
    lines.write_all(b"get a -o b\n").unwrap();
    drop(lines);
    assert_success(&child.wait_with_output().unwrap());
    assert_eq!(names(&folder), ["a", "b"]);
}

/// Starts a download that stalls half way, sends `signal`, and returns what became of it.
fn interrupted(signal: Signal, args: &[&str], folder: &TempDir) -> Output {
    let (asked, stalled) = mpsc::channel();
    let server = Fake::twisted(&[("b", b"b")], move |request, _| match request {
        "GET a" => {
            asked.send(()).unwrap();
            Twist::ReplyAndStall(b"OK 1000\nhalf".to_vec())
        }
        _ => Twist::Honest,
    });
    let child = command(&server, folder, args).stderr(Stdio::piped()).spawn().unwrap();
    stalled.recv().unwrap();
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn signals_leave_nothing_half_done() {
    for (signal, exit_code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let folder = folder();
        let output = interrupted(signal, &["get", "a", "b"], &folder);
        assert_fails(&output, exit_code, &["interrupted"]);
        assert!(names(&folder).is_empty(), "{:?}", names(&folder));
    }
}

#[test]
fn resume_survives_ctrl_c() {
    let folder = folder();
    fs::write(folder.path().join("a.part"), "").unwrap();
    let output = interrupted(Signal::SIGINT, &["get", "a", "--resume"], &folder);
    assert_fails(&output, 130, &["interrupted"]);
    // Whether the half had arrived when the signal did is a matter of luck.
    for name in names(&folder) {
        assert_eq!(name, "a.part");
    }
}
