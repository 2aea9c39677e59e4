//! How an upload lands: conditions at that moment, locks, and what killed servers leave.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{CWD, Dir, FlockOperation, Mode, OFlags, flock, mkdirat, openat};
use rustix::io::Errno;

use super::http::tagged;
use super::{http_get, http_put, noise, stays, unprivileged};
use crate::wire::Conn;
use crate::{Root, Server, Subject, oracles};

/// Every way in which a file system may have an upload stored.
const WAYS: [&[&str]; 4] =
    [&[], &["--no-tmpfile"], &["--no-flock"], &["--no-tmpfile", "--no-flock"]];

const CREATE_ONLY: &str = "If-None-Match: *";

/// The header of a `PUT` of five bytes under a condition.
fn put_header(path: &str, condition: &str) -> String {
    format!("PUT /{path} HTTP/1.1\r\nHost: h\r\n{condition}\r\nContent-Length: 5\r\n\r\n")
}

/// An upload of five bytes under a condition, of which the server has read three.
#[track_caller]
fn under_way(server: &Server, path: &str, condition: &str, begin: &str) -> Conn {
    let mut conn = server.connect();
    conn.send(put_header(path, condition) + begin);
    assert!(oracles::until_read(&conn), "the server has closed");
    conn
}

/// Sends the rest of an upload and expects this status.
#[track_caller]
fn finish(conn: &mut Conn, end: &str, status: u16) {
    conn.send(end);
    conn.response(true).expect(status);
    conn.http(http_get("/no-such")).expect(404);
}

/// The condition that a file is the version that it is now: by its tag, where the file system allows a strong one, or by
/// its date.
#[track_caller]
fn this_version(server: &Server, path: &str) -> String {
    let (response, tag) = tagged(&mut server.connect(), &format!("/{path}"));
    match (tag.starts_with("W/"), response.field("last-modified")) {
        (true, Some(date)) => format!("If-Unmodified-Since: {date}"),
        _ => format!("If-Match: {tag}"),
    }
}

pub(super) fn create_only_uploads_race(subject: &Subject) {
    for options in WAYS {
        let server = subject.start(options);
        server.root().mkdir("d");
        server.root().link("d", "link");
        for (path, other) in [("new", "new"), ("d/new", "link/new")] {
            let mut first = under_way(&server, path, CREATE_ONLY, "fir");
            let mut second = under_way(&server, other, CREATE_ONLY, "sec");
            finish(&mut first, "st", 201);
            finish(&mut second, "nd", 412);
            assert_eq!(server.root().read(path), b"first", "{options:?}");
        }
        assert_eq!(server.root().names(), ["d", "d/new", "link", "new"], "{options:?}");
    }
}

pub(super) fn replacements_of_one_version_race(subject: &Subject) {
    for options in WAYS {
        let server = subject.start(options);
        server.root().write("d/f", "old");
        server.root().set_mtime("d/f", 1_000_000_000);
        let unmodified = "If-Unmodified-Since: Sun, 09 Sep 2001 01:46:40 GMT".to_string();
        for condition in [this_version(&server, "d/f"), unmodified] {
            let mut first = under_way(&server, "d/f", &condition, "fir");
            let mut second = under_way(&server, "d/f", &condition, "sec");
            finish(&mut first, "st", 204);
            finish(&mut second, "nd", 412);
            assert_eq!(server.root().read("d/f"), b"first", "{options:?} {condition}");
            server.root().set_mtime("d/f", 1_000_000_000);
        }
        assert_eq!(server.root().names(), ["d", "d/f"]);
    }
}

pub(super) fn changes_during_an_upload_count(subject: &Subject) {
    for options in WAYS {
        let server = subject.start(options);
        let root = server.root();
        let (created, replaced, removed) = ("created", "replaced", "removed");
        for path in [replaced, removed] {
            root.write(path, "old");
            root.set_mtime(path, 1_000_000_000);
        }
        let mut uploads = [
            under_way(&server, created, CREATE_ONLY, "abc"),
            under_way(&server, replaced, &this_version(&server, replaced), "abc"),
            under_way(&server, removed, "If-Match: *", "abc"),
        ];
        let mut plain = server.connect();
        for path in [created, replaced] {
            assert_eq!(plain.put(path, "plain").ok(), b"");
        }
        fs::remove_file(root.join(removed)).expect("a file to remove");
        for upload in &mut uploads {
            finish(upload, "de", 412);
        }
        assert_eq!(root.names(), [created, replaced]);
        for path in [created, replaced] {
            assert_eq!(root.read(path), b"plain");
        }
        // What held at the beginning need not; what holds at the end does.
        let mut upload = under_way(&server, created, "If-None-Match: \"other\"", "abc");
        assert_eq!(plain.put(created, "again").ok(), b"");
        finish(&mut upload, "de", 204);
        assert_eq!(root.read(created), b"abcde");
    }
}

pub(super) fn existence_goes_by_name(subject: &Subject) {
    let root = Arc::new(Root::new());
    let launch = unprivileged(subject, &root);
    root.write("file", "file");
    root.write("d/inner", "inner");
    root.write("unreadable", "unreadable");
    root.chmod("unreadable", 0o000);
    let links = [
        ("to-file", "file"),
        ("to-folder", "d"),
        ("to-nothing", "nowhere"),
        ("to-itself", "to-itself"),
        ("to-outside", "../outside/secret"),
    ];
    for (name, target) in links {
        root.link(target, name);
    }
    let before = root.names();
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    let mut conn = server.connect();
    for name in links.iter().map(|(name, _)| *name).chain(["file", "unreadable"]) {
        conn.http(put_header(name, CREATE_ONLY) + "fresh").expect(412);
    }
    assert_eq!(root.names(), before);
    for (name, target) in links {
        assert_eq!(fs::read_link(root.join(name)).expect(name).as_os_str(), target);
    }
    root.chmod("unreadable", 0o600);
    assert_eq!(root.read("unreadable"), b"unreadable");
    // They exist, so this condition holds, and the link is replaced.
    for (name, _) in links {
        conn.http(put_header(name, "If-Match: *") + "fresh").expect(204);
        assert_eq!(root.read(name), b"fresh");
    }
    assert_eq!(root.names(), before);
    assert_eq!(root.read("file"), b"file");
}

pub(super) fn a_link_has_the_tag_of_its_file(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    root.write("d/file", "file");
    root.link("../d/file", "d/link");
    let (condition, mut conn) = (this_version(&server, "d/link"), server.connect());
    conn.http(put_header("d/link", "If-Match: \"other\"") + "fresh").expect(412);
    conn.http(put_header("d/link", &condition) + "fresh").expect(204);
    assert_eq!((root.read("d/link"), root.read("d/file")), (b"fresh".to_vec(), b"file".to_vec()));
}

pub(super) fn errors_come_before_conditions(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().mkdir("d");
    server.root().fifo("fifo");
    server.root().write("file", "file");
    server.root().link("../outside", "out");
    let before = server.root().names();
    let mut conn = server.connect();
    for condition in [CREATE_ONLY, "If-Match: *", "If-Match: \"x\""] {
        for (path, status) in [
            ("none/f", 404),
            ("file/f", 404),
            ("d", 409),
            ("fifo", 409),
            ("out/secret", 400),
            ("a//b", 400),
        ] {
            let response = conn.http(put_header(path, condition) + "fresh");
            assert_eq!(response.status, status, "{path} {condition}: {response:?}");
        }
    }
    assert_eq!(server.root().names(), before);
}

pub(super) fn the_reply_to_an_upload_has_its_tag(subject: &Subject) {
    for options in WAYS {
        let server = subject.start(options);
        let mut conn = server.connect();
        for status in [201, 204] {
            let stored = conn.http(http_put("/f", b"stored")).expect(status);
            // A file may be too young for a tag; a tag that is there is the right one.
            if let Some(tag) = stored.field("etag") {
                let head = conn.http("HEAD /f HTTP/1.1\r\nHost: h\r\n\r\n").expect(200);
                assert_eq!(head.field("etag"), Some(tag), "{options:?}");
                if !tag.starts_with("W/") {
                    let condition = format!("If-Match: {tag}");
                    conn.http(put_header("f", &condition) + "fresh").expect(204);
                }
            }
        }
    }
}

pub(super) fn two_processes_lose_no_update(subject: &Subject) {
    for options in [&[][..], &["--no-tmpfile"]] {
        crate::counter(&[subject.clone(), subject.clone()], options);
    }
}

/// Locks a directory as another server's landing does.
fn locked(root: &Root, directory: &str) -> File {
    let directory = File::open(root.join(directory)).expect("the directory");
    flock(&directory, FlockOperation::LockExclusive).expect("a lock");
    directory
}

pub(super) fn a_held_lock_delays_only_its_uploads(subject: &Subject) {
    for options in [&[][..], &["--no-tmpfile"], &["--sync"]] {
        let server = subject.start(options);
        let root = server.root();
        root.write("d/f", "old");
        root.write("f", "old");
        let lock = locked(root, "d");
        // More than a server has threads for such work, if it can have so many clients.
        let mut waiting: Vec<Conn> = (0..subject.at_once(12) - 1)
            .map(|number| {
                let mut conn = server.connect();
                conn.send(match number {
                    0 => put_header("d/f", "If-Match: *"),
                    _ => "PUT d/f 5\n".to_owned(),
                });
                conn.send("fresh");
                assert!(oracles::until_read(&conn));
                conn
            })
            .collect();
        let mut other = server.connect();
        for _ in 0..3 {
            assert!(other.ask("LIST").text().contains("f 3 "));
            assert_eq!(other.ask("LIST d").text().lines().count(), 1);
            assert_eq!(other.put("f", "old").ok(), b"");
        }
        drop(other);
        // A new name needs no lock.
        server.connect().http(put_header("d/new", CREATE_ONLY) + "fresh").expect(201);
        fs::remove_file(root.join("d/new")).expect("the new file");
        for conn in &waiting {
            assert!(conn.is_quiet_for(Duration::from_millis(20)), "it is answered under the lock");
        }
        assert_eq!(root.read("d/f"), b"old");
        drop(lock);
        let first = waiting.remove(0).response(true);
        first.expect(204);
        for mut conn in waiting {
            assert_eq!(conn.reply().ok(), b"");
            stays(&mut conn);
        }
        assert_eq!(root.read("d/f"), b"fresh");
        assert_eq!(root.names(), ["d", "d/f", "f"]);
    }
}

pub(super) fn a_lock_kept_too_long_fails_the_upload(subject: &Subject) {
    for options in [&[][..], &["--no-tmpfile"], &["--sync"]] {
        let server = subject.start(&[&["--transfer-timeout", "0.5"], options].concat());
        let root = server.root();
        root.write("d/f", "old");
        let _lock = locked(root, "d");
        let mut conn = server.connect();
        assert_eq!(conn.put("d/f", "fresh").code(), "timeout", "{options:?}");
        conn.closed();
        let mut conn = server.connect();
        conn.http(put_header("d/f", "If-Match: *") + "fresh").expect(408);
        conn.closed();
        // What cannot land in any case is refused without the lock.
        server.connect().http(put_header("d/f", "If-Match: \"other\"") + "fresh").expect(412);
        server.log_until("why", |log| log.contains("locked"));
        assert_eq!(root.read("d/f"), b"old");
        assert_eq!(root.names(), ["d", "d/f"]);
    }
}

pub(super) fn uploads_land_without_locks(subject: &Subject) {
    for options in [&["--no-flock"][..], &["--no-flock", "--no-tmpfile"]] {
        let server = subject.start(options);
        let root = server.root();
        root.mkdir("d");
        for path in ["f", "d/f"] {
            for content in ["one", "two"] {
                assert_eq!(server.connect().put(path, content).ok(), b"");
                assert_eq!(root.read(path), content.as_bytes());
            }
        }
        // A server cannot find out whether the server of an upload still runs, so it removes none.
        let mut conn = server.connect();
        conn.send("PUT d/live 4\nli");
        assert!(oracles::until_read(&conn));
        let second = subject.start_on(root, options);
        second.ask("LIST d").ok();
        conn.send("ve");
        assert_eq!(conn.reply().ok(), b"");
        assert_eq!(root.read("d/live"), b"live");
        assert_eq!(root.names(), ["d", "d/f", "d/live", "f"], "{options:?}");
    }
}

pub(super) fn leftovers_behind_links_are_removed(subject: &Subject) {
    let root = Arc::new(Root::new());
    root.write("real/deep/f", "old");
    root.write("f", "old");
    root.mkdir("elsewhere");
    root.link("real", "link");
    root.link("../link/deep", "real/round");
    root.link("..", "real/up");
    let before = root.names();
    for path in ["link/deep/f", "link/round/f", "real/up/f", "link/round/new", "real/up/new"] {
        killed_during(subject, &root, path);
        // Where the link leads now does not matter.
        let link = root.join("link");
        fs::remove_file(&link).expect("the link");
        root.link("elsewhere", "link");
        drop(subject.start_on(&root, &["--no-tmpfile"]));
        fs::remove_file(&link).expect("the link");
        root.link("real", "link");
        assert_eq!(root.names(), before, "{path}");
        for options in WAYS {
            let server = subject.start_on(&root, options);
            assert_eq!(server.connect().put(path, "old").ok(), b"", "{path} {options:?}");
            drop(server);
            if path.ends_with("new") {
                fs::remove_file(root.join(path)).expect("a new file");
            }
            assert_eq!(root.names(), before, "{path} {options:?}");
        }
    }
}

/// Kills a server that is receiving this upload into a temporary.
#[track_caller]
fn killed_during(subject: &Subject, root: &Arc<Root>, path: &str) {
    let server = subject.start_on(root, &["--no-tmpfile"]);
    // The first request line is shorter, so that the second may be as long as those of HTTP.
    let mut conn = server.connect();
    conn.http(http_get("/none")).expect(404);
    conn.send(http_put(&format!("/{path}"), &noise(300_000))[..200_000].as_ref());
    assert!(oracles::until_read(&conn));
    server.kill();
}

pub(super) fn leftovers_below_long_paths_are_removed(subject: &Subject) {
    // The longest path of a directory that the kernel takes has 4,095 bytes.
    for length in [900, 1_200, 2_500, 4_050, 4_095] {
        let root = Arc::new(Root::new());
        let (parent, directory) = deep(&root, length);
        let path = format!("{parent}/f");
        let before = root.names();
        killed_during(subject, &root, &path);
        assert_eq!(names(&directory).len(), 1, "the temporary of {length}");
        for options in WAYS {
            let server = subject.start_on(&root, options);
            assert_eq!(names(&directory), [""; 0], "{length} {options:?}");
            let mut conn = server.connect();
            conn.http(http_get("/none")).expect(404);
            for status in [201, 204] {
                conn.http(http_put(&format!("/{path}"), b"new")).expect(status);
                assert_eq!(names(&directory), ["f"], "{length} {options:?}");
            }
            rustix::fs::unlinkat(&directory, "f", rustix::fs::AtFlags::empty()).expect("the file");
            drop(server);
            assert_eq!(root.names(), before, "{length} {options:?}");
        }
    }
}

/// Creates directories below each other whose path has `length` bytes; returns it and the last one.
fn deep(root: &Root, length: usize) -> (String, OwnedFd) {
    let mut components = vec!["d".repeat(99); length.div_ceil(100)];
    components[0] = "d".repeat(length - 100 * (components.len() - 1));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut directory = openat(CWD, root.path(), flags, Mode::empty()).expect("the root");
    for component in &components {
        mkdirat(&directory, component, Mode::RWXU).expect("a directory");
        directory = openat(&directory, component, flags, Mode::empty()).expect("the directory");
    }
    let path = components.join("/");
    assert_eq!(path.len(), length);
    (path, directory)
}

/// The names in a directory that no path may reach.
fn names(directory: &OwnedFd) -> Vec<String> {
    let entries = Dir::read_from(directory).expect("a directory");
    let entries = entries.collect::<Result<Vec<_>, Errno>>().expect("its entries");
    let name = |bytes: &[u8]| std::ffi::OsStr::from_bytes(bytes).to_string_lossy().into_owned();
    let mut names: Vec<String> =
        entries.iter().map(|entry| name(entry.file_name().to_bytes())).collect();
    names.retain(|name| name != "." && name != "..");
    names.sort();
    names
}
