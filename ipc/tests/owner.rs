//! Objects that a forked copy of their creator drops.

mod common;

use common::Peer;

#[test]
fn forked_copy_removes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut peer = Peer::start("owner", "fork", &[directory.path().to_str().unwrap()]);
    assert_eq!(peer.line(), "notified by SIGUSR1");
    assert_eq!(peer.line(), "handled 1");
    let kept = peer.line();
    assert_eq!(
        kept,
        "after the copy: datagram, fifo, listener, packets, posix queue, sysv queue, named semaphore, sysv \
         semaphore, value"
    );
    assert_eq!(peer.line(), "after the owner:");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn copy_with_same_pid_removes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut peer = Peer::start("owner", "same-pid", &[directory.path().to_str().unwrap()]);
    let line = peer.line();
    if line.starts_with("SKIPPED") {
        eprintln!("{line}");
        return;
    }
    assert_eq!(line, "pid 1, copy 1, kept true");
    assert_eq!(peer.finish(), Some(0));
}
