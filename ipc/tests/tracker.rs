//! The tracker: what it removes when its starter is killed, and what it leaves alone.

mod common;

use std::io::Write;
use std::path::Path;

use common::Peer;
use ipc::Key;
use ipc::queue::{PosixQueue, SysvQueue};
use ipc::semaphore::{NamedSemaphore, OnDeath, SysvSemaphore};
use ipc::shared::{Location, Value};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The kinds of names that exist.
fn existing(name: &str, directory: &Path) -> Vec<&'static str> {
    let key = Key::of_name(name).unwrap();
    [
        ("segment", Path::new("/dev/shm").join(name.trim_start_matches('/')).exists()),
        ("semaphore", NamedSemaphore::open(name).is_ok()),
        ("queue", PosixQueue::open(name).is_ok()),
        ("System V segment", Value::<u32>::open(Location::SystemV(key.number())).is_ok()),
        ("System V semaphore", SysvSemaphore::open(key, OnDeath::Keep).is_ok()),
        ("System V queue", SysvQueue::open(key, 8).is_ok()),
        ("FIFO", directory.join("fifo").exists()),
        ("directory", directory.exists()),
    ]
    .into_iter()
    .filter_map(|(kind, exists)| exists.then_some(kind))
    .collect()
}

fn tracker_of(peer: &Peer) -> i32 {
    let children = format!("/proc/{0}/task/{0}/children", peer.pid());
    std::fs::read_to_string(children).unwrap().trim().parse().unwrap()
}

#[test]
fn killed_creator_leaves_no_names() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("below");
    let name = format!("/ipc-test-tracker-{}", std::process::id());
    let mut peer = Peer::start("tracker", "create", &[&name, directory.to_str().unwrap()]);
    assert_eq!(peer.line(), "made");
    assert_eq!(existing(&name, &directory).len(), 8);
    // As Ctrl-C does, which every process of the terminal gets.
    kill(Pid::from_raw(tracker_of(&peer)), Signal::SIGINT).unwrap();
    peer.kill();
    common::wait_for(|| existing(&name, &directory).is_empty().then_some(()));
}

#[test]
fn dropped_tracker_removes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("below");
    let name = format!("/ipc-test-forget-{}", std::process::id());
    let mut peer = Peer::start("tracker", "forget", &[&name, directory.to_str().unwrap()]);
    assert_eq!((peer.line(), peer.line()), ("made".to_owned(), "forgotten".to_owned()));
    assert_eq!(existing(&name, &directory).len(), 8);
    // The creator removes what is its own.
    assert_eq!(peer.finish(), Some(0));
    assert_eq!(existing(&name, &directory), ["directory"]);
}

#[test]
fn holder_keeps_tracker_waiting() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("below");
    let name = format!("/ipc-test-hold-{}", std::process::id());
    let mut peer = Peer::start("tracker", "hold", &[&name, directory.to_str().unwrap()]);
    let number = peer.line();
    let tracker = tracker_of(&peer);
    // This process becomes the child: opening it again makes one more write end of the same pipe.
    let link = format!("/proc/{}/fd/{number}", peer.pid());
    let holder = std::fs::OpenOptions::new().write(true).open(link).unwrap();
    peer.kill();
    // A tracker that does not wait has ended by then, or is about to.
    common::wait_asleep(tracker);
    assert!(existing(&name, &directory).contains(&"queue"));
    drop(holder);
    common::wait_for(|| existing(&name, &directory).is_empty().then_some(()));
}

#[test]
fn half_a_name_is_no_obstacle() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("below");
    let name = format!("/ipc-test-half-{}", std::process::id());
    let mut peer = Peer::start("tracker", "hold", &[&name, directory.to_str().unwrap()]);
    let link = format!("/proc/{}/fd/{}", peer.pid(), peer.line());
    let mut pipe = std::fs::OpenOptions::new().write(true).open(link).unwrap();
    // A path may be longer than what a pipe takes in one piece, and its writer may be killed meanwhile.
    pipe.write_all(b"{\"Path\":[47,").unwrap();
    peer.kill();
    drop(pipe);
    common::wait_for(|| existing(&name, &directory).is_empty().then_some(()));
}
