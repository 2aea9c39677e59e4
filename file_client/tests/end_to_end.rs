//! The program, and the client library under it, against a real server.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use file_service::client::{Client, Kind};
use file_service::{Service, Settings, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use server_core::NoOptions;
use tempfile::TempDir;

/// The smallest limit that the uploads here respect.
const MAX_FILE_SIZE: u64 = 64 << 20;

/// Serves `root` from a thread of this process, to the end of its days.
fn serve(root: &Path, writable: bool) -> SocketAddr {
    let listener = server_core::listen("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let store = Store::open(root, writable, false).unwrap();
    let settings = Settings { max_file_size: MAX_FILE_SIZE, ..Settings::default() };
    let service = Service::new(store, settings);
    thread::spawn(move || thread_server::run(listener, service, NoOptions {}));
    addr
}

fn client(addr: SocketAddr, directory: &TempDir, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_file_client"));
    command.args(["--addr", &addr.to_string()]).args(args).current_dir(directory.path());
    command
}

fn run(addr: SocketAddr, directory: &TempDir, args: &[&str]) -> Output {
    client(addr, directory, args).output().unwrap()
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
}

/// Bytes without a pattern that a misplaced piece could repeat.
fn content(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

#[test]
fn stored_file_comes_back_equal() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let addr = serve(root.path(), true);
    fs::create_dir(root.path().join("my folder")).unwrap();
    let big = content(2 << 20);
    fs::write(local.path().join("50% é.bin"), &big).unwrap();
    fs::write(local.path().join("empty"), "").unwrap();

    assert_success(&run(addr, &local, &["put", "50% é.bin", "empty", "--to", "my folder"]));
    assert_eq!(fs::read(root.path().join("my folder/50% é.bin")).unwrap(), big);
    let output = run(addr, &local, &["list", "my folder", "--json"]);
    assert_success(&output);
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(listed[0]["name"], "50% é.bin");
    assert_eq!(listed[0]["size"], 2 << 20);
    assert_eq!(listed[1]["name"], "empty");

    let back = tempfile::tempdir().unwrap();
    // A limit on the size of files cuts the first try short.
    let args = ["get", "my folder/50% é.bin", "--resume"];
    let cut = Command::new("sh")
        .args(["-c", "ulimit -f 1000; exec \"$@\"", "sh"])
        .args([env!("CARGO_BIN_EXE_file_client"), "--addr", &addr.to_string()])
        .args(args)
        .current_dir(back.path())
        .output()
        .unwrap();
    assert_fails(&cut, 1, "file too large");
    let part = fs::read_dir(back.path()).unwrap().next().unwrap().unwrap().path();
    assert!(big.starts_with(&fs::read(part).unwrap()));
    assert_success(&run(addr, &back, &["get", "my*/50*", "--resume"]));
    assert_success(&run(addr, &back, &["get", "my folder/empty"]));
    assert_eq!(fs::read(back.path().join("50% é.bin")).unwrap(), big);
    assert_eq!(fs::read(back.path().join("empty")).unwrap(), b"");
    assert_eq!(fs::read_dir(back.path()).unwrap().count(), 2);
}

/// Makes a node in a folder of ours with `mknod` or `mkfifo`. Tests never touch the nodes of the system.
fn make(program: &str, path: &Path, args: &[&str]) -> bool {
    let made = Command::new(program).arg(path).args(args).output();
    made.is_ok_and(|output| output.status.success())
}

#[test]
fn device_is_written_into() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(root.path().join("a"), "new").unwrap();
    let addr = serve(root.path(), true);
    // As /dev/null and /dev/full.
    for (name, minor) in [("null", "3"), ("full", "7")] {
        let node = local.path().join(name);
        if !make("mknod", &node, &["c", "1", minor])
            || OpenOptions::new().write(true).open(&node).is_err()
        {
            eprintln!("SKIPPED device_is_written_into: no device can be made and opened here");
            return;
        }
    }
    symlink("null", local.path().join("a")).unwrap();
    assert_success(&run(addr, &local, &["get", "a", "-o", "null"]));
    // Also by the name on the server, and through a link.
    assert_success(&run(addr, &local, &["get", "a"]));
    assert_fails(&run(addr, &local, &["get", "a", "-o", "full"]), 1, "cannot write full: no space");
    assert_fails(&run(addr, &local, &["get", "a", "-o", "null", "--resume"]), 2, "not a regular");
    for name in ["null", "full"] {
        let found = fs::symlink_metadata(local.path().join(name)).unwrap();
        assert!(found.file_type().is_char_device(), "{name}");
    }
    assert!(local.path().join("a").is_symlink());
    assert_eq!(fs::read_dir(local.path()).unwrap().count(), 3);
}

#[test]
fn fifo_reader_receives_the_file() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let big = content(1 << 20);
    fs::write(root.path().join("big"), &big).unwrap();
    let fifo = local.path().join("fifo");
    assert!(make("mkfifo", &fifo, &[]));
    let reader = thread::spawn({
        let fifo = fifo.clone();
        move || fs::read(fifo).unwrap()
    });
    let addr = serve(root.path(), true);
    assert_success(&run(addr, &local, &["get", "big", "-o", "fifo"]));
    assert_eq!(reader.join().unwrap(), big);
    assert!(fs::symlink_metadata(fifo).unwrap().file_type().is_fifo());
}

/// The client's wait for a reader has an end, also when it has a connection already.
#[test]
fn signal_ends_wait_for_reader() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(root.path().join("a"), "new").unwrap();
    assert!(make("mkfifo", &local.path().join("fifo"), &[]));
    let addr = serve(root.path(), true);
    for name in ["a", "[a-b]"] {
        let child = client(addr, &local, &["get", name, "-o", "fifo"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // The kernel's name for the wait; other kernels may have none, and the test is weaker then.
        let place = format!("/proc/{}/wchan", child.id());
        let deadline = Instant::now() + Duration::from_secs(5);
        while fs::read_to_string(&place).is_ok_and(|wait| !wait.contains("wait_for_partner"))
            && Instant::now() < deadline
        {
            thread::yield_now();
        }
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), Signal::SIGINT).unwrap();
        assert_fails(&child.wait_with_output().unwrap(), 130, "interrupted");
    }
    assert_eq!(fs::read_dir(local.path()).unwrap().count(), 1);
}

#[test]
fn link_stays_when_target_lands() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for name in ["a", "b"] {
        fs::write(root.path().join(name), "new").unwrap();
    }
    let addr = serve(root.path(), true);
    let path = |name: &str| local.path().join(name);
    fs::create_dir(path("sub")).unwrap();
    fs::write(path("sub/file"), "old").unwrap();
    symlink("sub/file", path("link")).unwrap();
    symlink("sub/none", path("dangling")).unwrap();
    fs::hard_link(path("sub/file"), path("sub/second name")).unwrap();
    for resume in [&[][..], &["--resume"]] {
        for (link, file) in [("link", "sub/file"), ("dangling", "sub/none")] {
            let output = run(addr, &local, &[&["get", "a", "-o", link], resume].concat());
            assert_success(&output);
            assert!(path(link).is_symlink());
            assert_eq!(fs::read(path(file)).unwrap(), b"new");
        }
        fs::write(path("sub/file"), "old").unwrap();
        fs::remove_file(path("sub/none")).unwrap();
    }
    assert_eq!(fs::read(path("sub/second name")).unwrap(), b"old");
    assert_eq!(fs::read_dir(path("sub")).unwrap().count(), 2);

    symlink("b", path("a")).unwrap();
    assert_fails(&run(addr, &local, &["get", "a", "b"]), 2, "a and b would both become");
    assert!(!path("b").exists());
}

#[test]
fn replaced_file_keeps_its_mode() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(root.path().join("a"), "new").unwrap();
    let addr = serve(root.path(), true);
    let file = local.path().join("a");
    for resume in [&[][..], &["--resume"]] {
        for mode in [0o600, 0o640, 0o755, 0o400] {
            let _ = fs::remove_file(&file);
            fs::write(&file, "old").unwrap();
            // Only root may give a file away.
            let given = chown(&file, Some(12345), Some(12346)).is_ok();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_success(&run(addr, &local, &[&["get", "a"], resume].concat()));
            assert_eq!(fs::read(&file).unwrap(), b"new");
            let found = fs::metadata(&file).unwrap();
            assert_eq!(found.mode() & 0o7777, mode);
            assert!(!given || (found.uid(), found.gid()) == (12345, 12346));
        }
    }
}

#[test]
fn literal_name_wins_over_pattern() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let addr = serve(root.path(), true);
    let odd = ["[draft.txt", "a**b", "x[!.txt", "[].txt", "[d/in", "a[1].txt", "e[1]/in", "*"];
    for directory in [&root, &local] {
        for name in ["[d", "e[1]", "e1"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        for name in odd.iter().chain(&["a1.txt", "e1/in", "e1/only"]) {
            fs::write(directory.path().join(name), format!("{name} of {directory:?}")).unwrap();
        }
    }
    for name in odd {
        let output = run(addr, &local, &["get", name, "-o", "-"]);
        assert_success(&output);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{name} of {root:?}"));
        let hash = run(addr, &local, &["hash", name]);
        assert_success(&hash);
        assert!(hash.stdout.ends_with(format!("  {name}\n").as_bytes()));
        assert_success(&run(addr, &local, &["put", name, "--as", name]));
        let stored = fs::read_to_string(root.path().join(name)).unwrap();
        assert_eq!(stored, format!("{name} of {local:?}"));
    }
    // A component that is a name stays one next to a pattern.
    for (pattern, file) in [("[d/i*", "[d/in"), ("e[1]/i*", "e[1]/in"), ("[e]1/onl*", "e1/only")] {
        let output = run(addr, &local, &["hash", pattern]);
        assert_success(&output);
        assert!(output.stdout.ends_with(format!("  {file}\n").as_bytes()), "{pattern}");
        assert_success(&run(addr, &local, &["put", pattern, "--as", "stored"]));
        let stored = fs::read_to_string(root.path().join("stored")).unwrap();
        assert_eq!(stored, format!("{file} of {local:?}"));
    }
    fs::remove_file(root.path().join("a[1].txt")).unwrap();
    let output = run(addr, &local, &["get", "a[1].txt", "-o", "-"]);
    assert_eq!(output.stdout, format!("a1.txt of {root:?}").as_bytes(), "then it is a pattern");
    assert_fails(&run(addr, &local, &["put", "[none"]), 1, "cannot read [none: no such file");
}

#[test]
fn made_up_size_is_not_believed() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let addr = serve(root.path(), true);
    // Sizes of 0, of a page, and of 0 with more content than is held in memory.
    for file in ["/proc/version", "/sys/devices/system/cpu/online", "/proc/kallsyms"] {
        let Ok(content) = fs::read(file) else {
            eprintln!("SKIPPED made_up_size_is_not_believed for {file}: it cannot be read here");
            continue;
        };
        assert_ne!(fs::metadata(file).unwrap().len(), content.len() as u64, "{file}");
        assert_success(&run(addr, &local, &["put", file, "--as", "stored"]));
        assert!(fs::read(root.path().join("stored")).unwrap() == content, "{file}");
    }
}

#[test]
fn refusal_of_real_server_is_printed() {
    let (root, local) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(root.path().join("folder")).unwrap();
    fs::write(local.path().join("small"), "small").unwrap();
    let too_large = fs::File::create(local.path().join("large")).unwrap();
    too_large.set_len(MAX_FILE_SIZE + 1).unwrap();

    let addr = serve(root.path(), true);
    assert_fails(&run(addr, &local, &["get", "absent"]), 1, "(not-found)");
    assert_fails(&run(addr, &local, &["get", "folder"]), 1, "(not-a-file)");
    assert_fails(&run(addr, &local, &["get", "../x"]), 1, "(bad-path)");
    assert_fails(&run(addr, &local, &["put", "small", "--to", "none"]), 1, "(not-found)");
    // The refusal that closes the connection does not harm the next file.
    assert_fails(&run(addr, &local, &["put", "large", "small"]), 1, "(too-large)");
    assert_eq!(fs::read(root.path().join("small")).unwrap(), b"small");

    let addr = serve(root.path(), false);
    assert_fails(&run(addr, &local, &["put", "small"]), 1, "(read-only)");
}

#[test]
fn client_library_completes_a_conversation() {
    let root = tempfile::tempdir().unwrap();
    let mut client = Client::connect(serve(root.path(), true)).unwrap();
    let big = content(3 << 20);
    client.put("a b", &big).unwrap();
    assert_eq!(client.get("a b").unwrap(), big);
    assert_eq!(client.get_range("a b", 100, Some(5)).unwrap(), big[100..105]);
    assert_eq!(client.get_range("a b", 3 << 20, None).unwrap(), b"");
    assert_eq!(client.get_range("a b", u64::MAX >> 1, None).unwrap_err().code(), Some("bad-range"));
    assert_eq!(client.hash("a b").unwrap().len(), 64);
    let entries = client.list(None).unwrap();
    assert_eq!((entries[0].kind, entries[0].size), (Kind::File, 3 << 20));
    assert_eq!(entries[0].name, "a b");

    // A refused body is taken to its end, and the conversation goes on.
    assert_eq!(client.put("no/where", &big).unwrap_err().code(), Some("not-found"));
    assert_eq!(client.get("a b").unwrap(), big);
    // A body above the limit is not even sent, and the answer is the server's.
    let refused = client.put_from("x", MAX_FILE_SIZE + 1, &mut io::repeat(0), &mut |_, _| ());
    assert_eq!(refused.unwrap_err().code(), Some("too-large"));
    assert!(client.is_stale());
}
