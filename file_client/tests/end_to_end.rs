//! The program, and the client library under it, against a real server.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;

use file_service::client::{Client, Kind};
use file_service::{Service, Settings, Store};
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

fn run(addr: SocketAddr, directory: &TempDir, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_file_client"))
        .args(["--addr", &addr.to_string()])
        .args(args)
        .current_dir(directory.path())
        .output()
        .unwrap()
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
    fs::write(back.path().join("50% é.bin.part"), &big[..1_000_000]).unwrap();
    assert_success(&run(addr, &back, &["get", "my*/50*", "--resume"]));
    assert_success(&run(addr, &back, &["get", "my folder/empty"]));
    assert_eq!(fs::read(back.path().join("50% é.bin")).unwrap(), big);
    assert_eq!(fs::read(back.path().join("empty")).unwrap(), b"");
    assert_eq!(fs::read_dir(back.path()).unwrap().count(), 2);
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
