//! The one table of models, and the program that it drives.

use benches::{MODELS, Placement, Server, VARIANTS};
use file_service::client::Client;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::{env, fs};

fn serve() -> Command {
    Command::new(env!("CARGO_BIN_EXE_serve"))
}

fn output(args: &[&str]) -> (Output, String, String) {
    let output = serve().args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

#[test]
fn model_names_are_crate_names() {
    for entry in MODELS {
        let name = entry.model.name;
        let manifest = fs::read_to_string(workspace().join(name).join("Cargo.toml")).unwrap();
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
    }
}

#[test]
fn every_server_crate_is_listed() {
    for entry in fs::read_dir(workspace()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with("_server") {
            assert!(benches::find(&name).is_some(), "{name} is not in MODELS");
        }
    }
}

#[test]
fn every_variant_answers() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("file"), b"content").unwrap();
    for variant in VARIANTS {
        let server =
            Server::start(serve(), variant, root.path(), &[], Placement::Unpinned).unwrap();
        let mut client = Client::connect(server.addr()).unwrap();
        assert_eq!(client.get("file").unwrap(), b"content", "{}", variant.label);
    }
}

#[test]
fn server_ends_with_its_parent() {
    let root = tempfile::tempdir().unwrap();
    let variant = &VARIANTS[0];
    // The parent is a thread here: the kernel makes no difference.
    let (folder, start) = (root.path().to_owned(), |folder: PathBuf| {
        Server::start(serve(), variant, &folder, &[], Placement::Unpinned).unwrap()
    });
    let server = std::thread::spawn(move || start(folder)).join().unwrap();
    // Its pid stays a zombie of ours until the server is dropped; its listener goes at once.
    let pidfd = rustix::process::pidfd_open(server.pid(), rustix::process::PidfdFlags::empty());
    let pidfd = pidfd.unwrap();
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    let timeout = rustix::event::Timespec { tv_sec: 15, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(1));
}

#[test]
fn no_name_lists_models() {
    let (result, stdout, stderr) = output(&[]);
    assert!(result.status.success() && stderr.is_empty(), "{stderr}");
    for entry in MODELS {
        assert!(stdout.contains(entry.model.name), "{stdout}");
        assert!(stdout.contains(entry.model.unit), "{stdout}");
    }
}

#[test]
fn unknown_name_exits_with_2() {
    let (result, stdout, stderr) = output(&["no\nserver"]);
    assert_eq!(result.status.code(), Some(2));
    assert!(stdout.is_empty());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn errors_name_the_model() {
    let (result, _, stderr) = output(&["thread_server", "--bogus"]);
    assert_eq!(result.status.code(), Some(2));
    assert!(stderr.starts_with("thread_server: "), "{stderr}");
}
