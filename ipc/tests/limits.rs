//! Refusals that name the limit that was met, in processes that set limits for themselves.

mod common;

use common::Peer;

/// The lines of a peer, or nothing if it cannot do what it should.
fn lines(role: &str, arguments: &[&str]) -> Option<Vec<String>> {
    let mut peer = Peer::start("limits", role, arguments);
    let lines: Vec<String> =
        std::iter::from_fn(|| Some(peer.line()).filter(|line| !line.is_empty())).collect();
    if let Some(skipped) = lines.iter().find(|line| line.starts_with("SKIPPED")) {
        eprintln!("{skipped}");
        return None;
    }
    assert_eq!(peer.finish(), Some(0), "{lines:?}");
    Some(lines)
}

/// Each line begins with its subject and contains the error and the limit.
fn check(lines: &[String], expected: &[(&str, &str, &str)]) {
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (subject, errno, limit)) in lines.iter().zip(expected) {
        let begins = line.starts_with(&format!("{subject}: Some({errno}) "));
        assert!(begins && line.contains(limit), "{subject}, {errno}, {limit}: {line}");
    }
}

#[test]
fn shortage_of_descriptors_is_named() {
    let subjects = [
        "pipe",
        "queue",
        "signalfd",
        "handler",
        "stream",
        "datagram",
        "memory",
        "semaphore",
        "memfd",
    ];
    check(
        &lines("descriptors", &[]).unwrap(),
        &subjects.map(|subject| (subject, "EMFILE", "RLIMIT_NOFILE")),
    );
}

#[test]
fn limited_file_size_is_named() {
    let subjects = ["memfd", "segment", "named semaphore", "shared semaphore"];
    check(
        &lines("file-size", &[]).unwrap(),
        &subjects.map(|subject| (subject, "EFBIG", "may have 10 bytes (RLIMIT_FSIZE)")),
    );
}

#[test]
fn shortage_of_queue_bytes_is_named() {
    let lines = lines("bytes", &[]).unwrap();
    check(&lines[..1], &[("queue", "EMFILE", "RLIMIT_MSGQUEUE")]);
    // Alone it has more than allowed: the amount is at fault.
    assert!(lines[1].starts_with("large queue: None"), "{lines:?}");
    assert!(lines[1].contains("RLIMIT_MSGQUEUE): 512 is not within 1 to 300"), "{lines:?}");
}

#[test]
fn wait_without_timer_still_ends() {
    let lines = lines("signals", &[]).unwrap();
    check(&lines[..1], &[("signal", "EAGAIN", "RLIMIT_SIGPENDING")]);
    assert!(lines[1].contains("nothing came within 40ms"), "{lines:?}");
    assert_eq!(lines[2], "waited true");
    assert_eq!(lines[3], format!("got {:?}", b"late"));
}

#[test]
fn shortage_of_objects_is_named() {
    let Some(lines) = lines("objects", &[]) else { return };
    check(
        &lines,
        &[
            ("POSIX queue", "ENOSPC", "may have 1 POSIX queues"),
            ("System V queue", "ENOSPC", "may have 1 System V queues"),
            ("segment", "ENOSPC", "may have 1 System V segments"),
            ("semaphore", "ENOSPC", "may have 2 System V semaphores"),
        ],
    );
}

#[test]
fn shortage_of_pipe_pages_is_named() {
    let Some(lines) = lines("pipes", &[]) else { return };
    check(&lines, &[("pipe", "EPERM", "fs/pipe-user-pages-soft")]);
}

#[test]
fn shortage_of_inodes_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let Some(lines) = lines("inodes", &[path]) else { return };
    let limit = format!("the file system of {path} may have 3 files (inodes)");
    check(&lines, &["fifo", "listener", "lock"].map(|subject| (subject, "ENOSPC", &*limit)));
}

#[test]
fn umask_takes_no_rights_from_owner() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(directory.path(), everybody).unwrap();
    let lines = lines("umask", &[directory.path().to_str().unwrap()]).unwrap();
    let kinds = ["queue", "lock", "System V queue", "System V semaphore"];
    assert_eq!(lines, kinds.map(|kind| format!("{kind}: made")));
}
