//! The program as a person or a script runs it, against a server that can be told to misbehave.

mod fake;

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc;

use fake::{Fake, Twist, ok, sha256};
use nix::libc::O_TMPFILE;
use nix::sys::signal::Signal;
use tempfile::TempDir;

fn command(server: &Fake, directory: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_file_client"));
    command.args(["--addr", &server.addr.to_string()]).args(args).current_dir(directory.path());
    command.stdin(Stdio::null());
    command
}

/// Runs one command to its end.
fn run(server: &Fake, directory: &TempDir, args: &[&str]) -> Output {
    command(server, directory, args).output().unwrap()
}

/// Feeds commands through standard input.
fn script(server: &Fake, directory: &TempDir, lines: &str) -> Output {
    let mut child = command(server, directory, &[])
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
fn names(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The one name in a folder that a partial file has, if any.
fn part(directory: &TempDir) -> Option<String> {
    let mut parts = names(directory);
    parts.retain(|name| name.ends_with(".part"));
    assert!(parts.len() <= 1, "{parts:?}");
    parts.pop()
}

fn directory() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn list_prints_a_table() {
    let server = Fake::honest(&[("a%20b.txt", &[0; 1536]), ("sub/x", b"")]);
    let output = run(&server, &directory(), &["list"]);
    assert_success(&output);
    assert_eq!(
        stdout(&output),
        "f  1.5 KiB  2023-11-14 22:13Z  a b.txt\nd        -  2023-11-14 22:13Z  sub/\n"
    );
    let output = run(&server, &directory(), &["list", "sub"]);
    assert_eq!(stdout(&output), "f  0 B  2023-11-14 22:13Z  x\n");
}

#[test]
fn list_json_prints_entries() {
    let server = Fake::honest(&[("a%20%22b", b"12"), ("sub/x", b"")]);
    let output = run(&server, &directory(), &["list", "--json"]);
    assert_success(&output);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = serde_json::json!([
        {"name": "a \"b", "encoded": "a%20%22b", "kind": "file", "size": 2, "mtime": 1_700_000_000},
        {"name": "sub", "encoded": "sub", "kind": "directory", "size": 0, "mtime": 1_700_000_000},
    ]);
    assert_eq!(listed, expected);
    let output = run(&server, &directory(), &["list", "nothing", "--json"]);
    assert_eq!(stdout(&output), "[]\n");
}

#[test]
fn json_names_are_distinct() {
    let server =
        Fake::twisted(&[], |_, _| Twist::Reply(ok(b"f 1 0 %25FF\nf 1 0 %FE\nf 1 0 %FF\n")));
    let output = run(&server, &directory(), &["list", "--json"]);
    assert_success(&output);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = [0, 1, 2].map(|at| [&listed[at]["name"], &listed[at]["encoded"]]);
    assert_eq!(names, [["%FF", "%25FF"], ["\u{fffd}", "%FE"], ["\u{fffd}", "%FF"]]);
}

#[test]
fn names_and_messages_are_escaped() {
    let server = Fake::twisted(&[], |request, _| match request.starts_with("LIST") {
        true => Twist::Reply(ok(b"f 1 0 a%1B[2Jb%0Ac\n")),
        false => Twist::Reply(b"ERR denied \x1b[2J\n".to_vec()),
    });
    let output = run(&server, &directory(), &["list"]);
    assert_eq!(stdout(&output), "f  1 B  1970-01-01 00:00Z  a\\x1b[2Jb\\x0ac\n");
    let output = run(&server, &directory(), &["hash", "x"]);
    assert_fails(&output, 1, &["\\x1b[2J (denied)"]);
}

#[test]
fn closed_output_ends_quietly() {
    let entries: String = (0..50_000).map(|n| format!("f 1 0 name-{n:06}\n")).collect();
    let server = Fake::twisted(&[], move |_, _| Twist::Reply(ok(entries.as_bytes())));
    let directory = directory();
    let mut child = command(&server, &directory, &["list"])
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
fn get_saves_verified_file_silently() {
    let server = Fake::honest(&[("sub/a%20b.txt", b"hello")]);
    let directory = directory();
    let output = run(&server, &directory, &["get", "sub/a b.txt"]);
    assert_success(&output);
    assert_eq!(stdout(&output), "");
    assert_eq!(names(&directory), ["a b.txt"]);
    assert_eq!(fs::read(directory.path().join("a b.txt")).unwrap(), b"hello");
    assert_eq!(server.log()[..2], ["GET sub/a%20b.txt", "HASH sub/a%20b.txt"]);

    let ordinary = directory.path().join("ordinary");
    fs::write(&ordinary, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&directory.path().join("a b.txt")), mode(&ordinary));
}

/// Whoever writes a small server of the protocol without HASH can use this client; it does not pretend.
#[test]
fn server_without_hash_prints_a_warning() {
    let server = Fake::twisted(&[("a", b"hello")], |line, _| match line.starts_with("HASH") {
        true => Twist::Reply(b"ERR bad-command no such thing\n".to_vec()),
        false => Twist::Honest,
    });
    let directory = directory();
    for command in [&["get", "a"][..], &["put", "a", "--as", "b"]] {
        let output = run(&server, &directory, command);
        let told = format!("{}: not verified, the server has no HASH\n", command.last().unwrap());
        assert_eq!((code(&output), stderr(&output)), (0, told));
    }
    assert_eq!(fs::read(directory.path().join("a")).unwrap(), b"hello");
    assert_eq!(server.files.lock().unwrap()["b"], b"hello");
}

#[test]
fn get_output_chooses_the_path() {
    let server = Fake::honest(&[("a", b"one"), ("b", b"two")]);
    let directory = directory();
    fs::create_dir(directory.path().join("dir")).unwrap();
    assert_success(&run(&server, &directory, &["get", "a", "-o", "c"]));
    assert_success(&run(&server, &directory, &["get", "a", "b", "-o", "dir"]));
    assert_eq!(names(&directory), ["c", "dir"]);
    assert_eq!(names(directory.path().join("dir")), ["a", "b"]);
    let output = run(&server, &directory, &["get", "a", "b", "-o", "-"]);
    assert_success(&output);
    assert_eq!(stdout(&output), "onetwo");

    let requests = server.log().len();
    assert_fails(&run(&server, &directory, &["get", "a", "b", "-o", "c"]), 2, &["existing folder"]);
    assert_fails(&run(&server, &directory, &["get", "a", "-o", "none/"]), 2, &["none/"]);
    assert_fails(&run(&server, &directory, &["get", "-o", "-", "--resume", "a"]), 2, &["--resume"]);
    assert_fails(&run(&server, &directory, &["get", "x/a", "y/a"]), 2, &["x/a and y/a"]);
    assert_fails(&run(&server, &directory, &["get", ".."]), 2, &["'..'"]);
    assert_eq!(server.log().len(), requests, "nothing was asked of the server");
    assert_fails(
        &run(&server, &directory, &["get", "a", "-o", "no/where"]),
        1,
        &["cannot write into no"],
    );
}

#[test]
fn missing_file_keeps_the_rest() {
    let server = Fake::honest(&[("a", b"one"), ("c", b"three")]);
    let directory = directory();
    let output = run(&server, &directory, &["get", "a", "b", "c"]);
    assert_fails(&output, 1, &["b: no such file or folder (not-found)"]);
    assert_eq!(names(&directory), ["a", "c"]);
}

#[test]
fn changed_file_is_not_saved() {
    let server = Fake::twisted(&[("a", b"old"), ("b", b"same")], |request, files| {
        if request == "HASH a" {
            files.entry("a".to_string()).or_default().push(b'!');
        }
        Twist::Honest
    });
    let directory = directory();
    let output = run(&server, &directory, &["get", "a", "b"]);
    assert_fails(&output, 3, &["a: verification failed"]);
    assert_eq!(names(&directory), ["b"]);
    let output = run(&server, &directory, &["get", "a", "-o", "-"]);
    assert_fails(&output, 3, &["a: verification failed", "do not use"]);
    assert_eq!(stdout(&output), "old!");
}

#[test]
fn lost_connection_leaves_no_partial_file() {
    let server = Fake::twisted(&[("b", b"two")], |request, _| match request {
        "GET a" => Twist::ReplyAndClose(b"OK 1000\nhalf".to_vec()),
        _ => Twist::Honest,
    });
    let directory = directory();
    fs::write(directory.path().join("a"), "before").unwrap();
    let output = run(&server, &directory, &["get", "a", "b"]);
    assert_fails(&output, 3, &["a: connection lost", "after 4 of 1000 bytes", "--resume"]);
    assert_eq!(names(&directory), ["a", "b"]);
    assert_eq!(fs::read(directory.path().join("a")).unwrap(), b"before");
}

/// A server of one file, whose first download is cut after four bytes.
fn cutting_once(name: &'static str, content: &'static [u8]) -> Fake {
    let cut = AtomicBool::new(true);
    Fake::twisted(&[(name, content)], move |request, _| {
        match request.starts_with("GET") && cut.swap(false, Relaxed) {
            true => {
                let head = format!("OK {}\n", content.len());
                Twist::ReplyAndClose([head.as_bytes(), &content[..4]].concat())
            }
            false => Twist::Honest,
        }
    })
}

#[test]
fn resume_continues_a_partial_file() {
    let server = cutting_once("a", b"0123456789");
    let directory = directory();
    let output = run(&server, &directory, &["get", "a", "--resume"]);
    let part = part(&directory).unwrap();
    assert_fails(&output, 3, &[&format!("4 B kept in {part}"), "--resume"]);
    assert_eq!(names(&directory), [part]);
    assert_success(&run(&server, &directory, &["get", "/a", "--resume"]));
    assert_eq!(names(&directory), ["a"]);
    assert_eq!(fs::read(directory.path().join("a")).unwrap(), b"0123456789");
    assert!(server.log().contains(&"GET /a 4".to_string()), "{:?}", server.log());
}

#[test]
fn resume_continues_a_long_name() {
    let server = cutting_once("a", b"0123456789");
    let directory = directory();
    let long = "é".repeat(127) + "x";
    assert_eq!(code(&run(&server, &directory, &["get", "a", "-o", &long, "--resume"])), 3);
    assert!(part(&directory).is_some(), "{:?}", names(&directory));
    assert_success(&run(&server, &directory, &["get", "a", "-o", &long, "--resume"]));
    assert_eq!(names(&directory), [long]);
    assert!(server.log().contains(&"GET a 4".to_string()), "{:?}", server.log());
}

#[test]
fn resume_restarts_for_another_file() {
    let server = cutting_once("a", b"0123456789");
    let directory = directory();
    assert_eq!(code(&run(&server, &directory, &["get", "a", "--resume"])), 3);
    let part = directory.path().join(part(&directory).unwrap());
    fs::write(&part, "xxxx").unwrap();
    let output = run(&server, &directory, &["get", "a", "--resume"]);
    assert_fails(&output, 3, &["verification failed", "start again"]);
    assert!(names(&directory).is_empty());

    // Shorter than its part: surely another file, so from the start at once.
    fs::write(&part, "more than ten bytes").unwrap();
    assert_success(&run(&server, &directory, &["get", "a", "--resume"]));
    assert_eq!(names(&directory), ["a"]);
    assert_eq!(fs::read(directory.path().join("a")).unwrap(), b"0123456789");
}

#[test]
fn resume_keeps_other_partial_files() {
    let server = cutting_once("a", b"0123456789");
    let directory = directory();
    assert_eq!(code(&run(&server, &directory, &["get", "a", "--resume"])), 3);
    let name = part(&directory).unwrap();
    let part = directory.path().join(&name);

    let held = fs::File::open(&part).unwrap();
    held.lock().unwrap();
    let output = run(&server, &directory, &["get", "a", "--resume"]);
    assert_fails(&output, 1, &[&format!("{name} is in use by another file_client")]);
    drop(held);

    // A second name for it: then it is a file of the user's own as well.
    fs::hard_link(&part, directory.path().join("mine")).unwrap();
    let output = run(&server, &directory, &["get", "a", "--resume"]);
    assert_fails(&output, 1, &[&format!("{name} was not begun by this client")]);
    assert_eq!(fs::read(directory.path().join("mine")).unwrap(), b"0123");
    fs::remove_file(&part).unwrap();

    std::os::unix::fs::symlink("elsewhere", &part).unwrap();
    let output = run(&server, &directory, &["get", "a", "--resume"]);
    assert_fails(&output, 1, &[&name]);
    assert_eq!(names(&directory), [&name, "mine"]);
    fs::remove_file(&part).unwrap();

    let output = run(&server, &directory, &["get", "absent", "--resume"]);
    assert_fails(&output, 1, &["not-found"]);
    assert_eq!(names(&directory), ["mine"], "an empty part is nothing to keep");
}

#[test]
fn own_file_named_part_stays() {
    let server = cutting_once("a", b"0123456789");
    let directory = directory();
    for content in ["", "mine", "mine, and longer than the other"] {
        fs::write(directory.path().join("a.part"), content).unwrap();
        for name in ["a", "absent"] {
            let _ = run(&server, &directory, &["get", name, "-o", "a", "--resume"]);
            assert_eq!(fs::read_to_string(directory.path().join("a.part")).unwrap(), content);
        }
    }
    assert_eq!(names(&directory), ["a", "a.part"]);
}

#[test]
fn get_expands_patterns_on_server() {
    let files: [(&str, &[u8]); 6] = [
        ("a.txt", b"a"),
        ("b.txt", b"b"),
        (".c.txt", b"c"),
        ("d.md", b"d"),
        ("sub1/x.txt", b"x"),
        ("sub2/y.txt", b"y"),
    ];
    let server = Fake::honest(&files);
    let directory = directory();
    assert_success(&run(&server, &directory, &["get", "?.txt"]));
    assert_eq!(names(&directory), ["a.txt", "b.txt"]);
    assert_success(&run(&server, &directory, &["get", "sub*/[x-z].txt"]));
    assert_eq!(names(&directory), ["a.txt", "b.txt", "x.txt", "y.txt"]);
    let output = run(&server, &directory, &["get", "*.pdf", "d.md"]);
    assert_fails(&output, 1, &["no file on the server matches '*.pdf'"]);
    assert!(names(&directory).contains(&"d.md".to_string()));
    let output = run(&server, &directory, &["get", "a**"]);
    assert_fails(&output, 1, &["a**: no such file or folder (not-found)"]);
}

#[test]
fn hostile_name_is_not_saved() {
    let server = Fake::twisted(&[("good", b"good")], |request, _| match request {
        "LIST /" => Twist::Reply(ok(
            b"f 4 0 ..\nf 4 0 ..%2Fevil\nf 4 0 %2Ftmp%2Fevil\nf 4 0 a%0Ab\nf 4 0 good\n",
        )),
        request if request.starts_with("GET") && request != "GET good" => Twist::Reply(ok(b"evil")),
        _ => Twist::Honest,
    });
    let outer = directory();
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
    let directory = directory();
    for name in ["a b", "c.txt", "d.txt"] {
        fs::write(directory.path().join(name), name).unwrap();
    }
    fs::create_dir(directory.path().join("e.txt")).unwrap();
    assert_success(&run(&server, &directory, &["put", "a b"]));
    assert_eq!(server.content("a%20b").unwrap(), b"a b");
    assert_success(&run(&server, &directory, &["put", "c.txt", "--as", "new/name"]));
    assert_eq!(server.content("new/name").unwrap(), b"c.txt");
    assert_success(&run(&server, &directory, &["put", "*.txt", "--to", "in/"]));
    assert_eq!(server.content("in/c.txt").unwrap(), b"c.txt");
    assert_eq!(server.content("in/d.txt").unwrap(), b"d.txt");
    assert_eq!(server.log()[..2], ["PUT a%20b 3", "HASH a%20b"]);
}

#[test]
fn put_failure_names_the_reason() {
    let server = Fake::twisted(&[], |request, files| {
        if request.starts_with("PUT big ") {
            return Twist::ReplyAndClose(b"ERR too-large the file is above the limit\n".to_vec());
        }
        if request == "HASH bad" {
            files.insert("bad".to_string(), b"damaged".to_vec());
        }
        Twist::Honest
    });
    let directory = directory();
    fs::write(directory.path().join("big"), vec![1; 8 << 20]).unwrap();
    for name in ["bad", "good"] {
        fs::write(directory.path().join(name), name).unwrap();
    }
    fs::create_dir(directory.path().join("dir")).unwrap();
    let output = run(&server, &directory, &["put", "big", "bad", "absent", "dir", "good"]);
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
    assert_fails(&run(&server, &directory, &["put", "bad"]), 3, &["verification failed"]);
    assert_fails(&run(&server, &directory, &["put", "bad", "good", "--as", "x"]), 2, &["--to"]);
    assert_fails(&run(&server, &directory, &["put", "bad", "--as", "x", "--to", "y"]), 2, &[]);
    assert_fails(
        &run(&server, &directory, &["put", "bad", "./bad"]),
        2,
        &["would both become bad"],
    );
    assert_fails(&run(&server, &directory, &["put", "*.none"]), 1, &["no local file matches"]);
}

#[test]
fn hash_output_equals_sha256sum() {
    let server = Fake::honest(&[("a", b"one"), ("b", b"two")]);
    let output = run(&server, &directory(), &["hash", "a", "b"]);
    assert_success(&output);
    assert_eq!(stdout(&output), format!("{}  a\n{}  b\n", sha256(b"one"), sha256(b"two")));
}

#[test]
fn unreachable_server_is_reported() {
    let directory = directory();
    fs::write(directory.path().join("a"), "a").unwrap();
    // Port 1 of a loopback address that nothing uses.
    for args in [&["list"][..], &["get", "a", "b"], &["put", "a"], &["hash", "*"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_file_client"))
            .args(["--addr", "127.77.77.77:1"])
            .args(args)
            .current_dir(directory.path())
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
fn refusal_on_connect_is_reported() {
    let server = Fake::twisted(&[], |_, _| {
        Twist::ReplyAndClose(b"ERR busy no room for another client now\n".to_vec())
    });
    let output = run(&server, &directory(), &["list"]);
    assert_fails(&output, 1, &["no room for another client now (busy)"]);
}

#[test]
fn malformed_reply_is_reported() {
    let server = Fake::twisted(&[], |_, _| Twist::Reply(b"HTTP/1.1 400 Bad Request\r\n".to_vec()));
    assert_fails(&run(&server, &directory(), &["list"]), 3, &["malformed reply", "HTTP/1.1 400"]);
}

#[test]
fn silent_server_times_out() {
    let server = Fake::twisted(&[], |_, _| Twist::ReplyAndStall(Vec::new()));
    let output = run(&server, &directory(), &["--timeout", "1", "list"]);
    assert_fails(&output, 3, &["no byte moved for 1 s"]);
}

#[test]
fn wrong_usage_exits_with_2() {
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
        let output = run(&server, &directory(), args);
        assert_fails(&output, 2, &["error:"]);
    }
    assert!(server.log().is_empty());
    assert_success(&run(&server, &directory(), &["--help"]));
}

#[test]
fn piped_commands_are_run() {
    let server = Fake::honest(&[("a%20b", b"hello"), ("c", b"c")]);
    let directory = directory();
    let lines = "# a comment\n\n get 'a b'\nhash c\nput 'a b' --as d\nquit\nnonsense\n";
    let output = script(&server, &directory, lines);
    assert_success(&output);
    assert_eq!(stdout(&output), format!("{}  c\n", sha256(b"c")));
    assert_eq!(names(&directory), ["a b"]);
    assert_eq!(server.content("d").unwrap(), b"hello");
    assert_eq!(server.log().last().unwrap(), "QUIT");
}

#[test]
fn script_stops_at_first_failure() {
    let server = Fake::honest(&[("a", b"a")]);
    for (lines, exit_code) in
        [("get none\nget a\n", 1), ("nonsense\nget a\n", 2), ("get 'a\nget a\n", 2), ("get a b", 1)]
    {
        let directory = directory();
        let output = script(&server, &directory, lines);
        assert_eq!(code(&output), exit_code, "{lines}");
    }
    assert!(!server.log().contains(&"QUIT".to_string()));
    let help = script(&server, &directory(), "help\nget --help\nhelp put\n");
    assert_success(&help);
    assert!(stdout(&help).contains("--resume"), "{}", stdout(&help));
}

#[test]
fn script_reconnects_after_idle_close() {
    let server = Fake::twisted(&[("a", b"a")], |request, _| match request.starts_with("HASH") {
        true => Twist::ReplyAndClose(ok(format!("{}\n", sha256(b"a")).as_bytes())),
        false => Twist::Honest,
    });
    let directory = directory();
    let mut child = command(&server, &directory, &[])
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
    assert_eq!(names(&directory), ["a", "b"]);
}

/// A server on which the download of `a` stalls half way, and what reports that it was asked for.
fn stalling() -> (Fake, mpsc::Receiver<()>) {
    let (asked, stalled) = mpsc::channel();
    let server = Fake::twisted(&[("b", b"b")], move |request, _| match request {
        "GET a" => {
            asked.send(()).unwrap();
            Twist::ReplyAndStall(b"OK 1000\nhalf".to_vec())
        }
        _ => Twist::Honest,
    });
    (server, stalled)
}

/// Sends a signal by its number, which nix has no name for if it is a real-time signal.
fn send(child: &Child, signal: i32) {
    let line = format!("kill -{signal} {}", child.id());
    assert!(Command::new("sh").args(["-c", &line]).status().unwrap().success());
}

/// Starts a download that stalls half way, sends the signal, and returns what became of it.
fn interrupted(signal: i32, args: &[&str], directory: &TempDir) -> Output {
    let (server, stalled) = stalling();
    let child = command(&server, directory, args).stderr(Stdio::piped()).spawn().unwrap();
    stalled.recv().unwrap();
    send(&child, signal);
    child.wait_with_output().unwrap()
}

#[test]
fn signals_leave_no_partial_file() {
    let named = [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGABRT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGTERM,
        Signal::SIGSTKFLT,
        Signal::SIGXCPU,
        Signal::SIGXFSZ,
        Signal::SIGVTALRM,
        Signal::SIGPROF,
        Signal::SIGIO,
        Signal::SIGPWR,
    ];
    // The first and the last of the real-time signals.
    for signal in named.map(|signal| signal as i32).into_iter().chain([34, 64]) {
        let directory = directory();
        let output = interrupted(signal, &["get", "a", "b"], &directory);
        assert_fails(&output, 128 + signal, &["interrupted"]);
        assert!(names(&directory).is_empty(), "{:?}", names(&directory));
    }
}

/// No program can clean up after these, so there must be nothing to clean up.
#[test]
fn killed_client_leaves_nothing() {
    let directory = directory();
    let anonymous = fs::OpenOptions::new().write(true).custom_flags(O_TMPFILE).open(&directory);
    if let Err(error) = anonymous {
        eprintln!("SKIPPED killed_client_leaves_nothing: no anonymous files here: {error}");
        return;
    }
    for signal in [Signal::SIGKILL, Signal::SIGILL] {
        let output = interrupted(signal as i32, &["get", "a"], &directory);
        assert_eq!(output.status.signal(), Some(signal as i32));
        assert!(names(&directory).is_empty(), "{:?}", names(&directory));
    }
}

#[test]
fn resume_survives_ctrl_c() {
    let directory = directory();
    let output = interrupted(Signal::SIGINT as i32, &["get", "a", "--resume"], &directory);
    assert_fails(&output, 130, &["interrupted"]);
    // Whether the half had arrived when the signal did is a matter of luck.
    assert_eq!(names(&directory), Vec::from_iter(part(&directory)));
}

/// As `nohup` does it.
#[test]
fn ignored_signal_stays_ignored() {
    let (server, stalled) = stalling();
    let directory = directory();
    let client = command(&server, &directory, &["get", "a"]);
    let child = through_shell("trap '' HUP", &client).stderr(Stdio::piped()).spawn().unwrap();
    stalled.recv().unwrap();
    // Of two pending signals, that with the lower number arrives first.
    send(&child, Signal::SIGHUP as i32);
    send(&child, Signal::SIGTERM as i32);
    assert_fails(&child.wait_with_output().unwrap(), 143, &["interrupted"]);
}

#[test]
fn file_size_limit_is_an_error() {
    let server = Fake::honest(&[("big", &[1; 1 << 20])]);
    let directory = directory();
    for args in [&["get", "big"][..], &["get", "big", "--resume"], &["get", "b*", "-o", "-"]] {
        let client = command(&server, &directory, args);
        let output = through_shell("ulimit -f 1", &client)
            .stdout(fs::File::create(directory.path().join("output")).unwrap())
            .output()
            .unwrap();
        assert_fails(&output, 1, &["cannot write", "file too large"]);
        let part = part(&directory);
        assert_eq!(part.is_some(), args.contains(&"--resume"), "{:?}", names(&directory));
        if let Some(part) = part {
            fs::remove_file(directory.path().join(part)).unwrap();
        }
        assert_eq!(names(&directory), ["output"]);
    }
}

/// The command, after a shell has done `before`.
fn through_shell(before: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &format!("{before}; exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .stdin(Stdio::null());
    shell
}

/// Nobody reads what the client writes, so it cannot clean up and must not wait for that.
#[test]
fn signal_ends_a_blocked_writer() {
    let server = Fake::honest(&[("big", &[1; 1 << 20])]);
    let directory = directory();
    let mut child = command(&server, &directory, &["get", "big", "-o", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = child.stdout.take().unwrap();
    output.read_exact(&mut [0; 10]).unwrap();
    send(&child, Signal::SIGTERM as i32);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

#[test]
fn unknown_command_lists_the_others() {
    let server = Fake::honest(&[]);
    for (line, meant) in
        [("lst", Some("list")), ("GET a", Some("get")), ("help qiut", Some("quit")), ("zzz", None)]
    {
        let output = script(&server, &directory(), &format!("{line}\n"));
        let all = "Commands: list (ls), get, put, hash, quit (exit), help; `help` explains them\n";
        assert_fails(&output, 2, &["unknown command '", all]);
        let question = meant.map(|meant| format!("did you mean '{meant}'?"));
        assert!(stderr(&output).contains(question.as_deref().unwrap_or("'zzz'\n")), "{line}");
    }
}
