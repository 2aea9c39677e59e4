//! Files that are truncated while they are sent, and files whose size means nothing.

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use super::get::SIZES;
use super::{http_get, noise, refused};
use crate::wire::Conn;
use crate::{Root, Server, Subject, oracles, sockets, wait};

/// What every byte of a file is, so that another one is not the file's.
const FILL: u8 = b'A';

/// A request for `f` in either protocol.
fn requests() -> [Vec<u8>; 2] {
    [b"GET f\n".to_vec(), http_get("/f")]
}

/// A client that has asked for a new file `f` of this size, and whose server waits for it to read; and the file.
#[track_caller]
fn stalled(server: &Server, request: &[u8], size: usize) -> (Conn, File) {
    server.root().write("f", vec![FILL; size]);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send(request);
    wait::eventually("the server has sent what it can", || {
        let sent = sockets::connection(conn.peer(), conn.local());
        sent.and_then(|end| end.traffic).is_none_or(|traffic| traffic.written > 0)
            && oracles::asleep_during(&server.process_tree(), Duration::from_millis(20))
    });
    let file = File::options().write(true).open(server.root().join("f")).expect("the file");
    (conn, file)
}

/// Takes the header of a response in either protocol; the body is left.
#[track_caller]
fn skip_header(conn: &mut Conn) {
    if conn.line().starts_with(b"HTTP") {
        while conn.line() != b"\r" {}
    }
}

pub(super) fn a_truncated_download_is_reset(subject: &Subject) {
    let server = subject.start(&[]);
    let size = 1 << 20;
    for (round, request) in requests().iter().cycle().take(12).enumerate() {
        let (mut conn, file) = stalled(&server, request, size);
        let left = [5000, 0, 50_001, size as u64 / 2, size as u64 - 1][round % 5];
        file.set_len(left).expect("a shorter file");
        conn.widen();
        conn.finish();
        skip_header(&mut conn);
        let (body, was_reset) = conn.to_the_end();
        assert!(body.len() < size, "{left} bytes were left, {} were sent", body.len());
        assert!(was_reset, "an orderly end after {} of {size} bytes", body.len());
        // What was cut off may be zeros, but nothing else.
        assert!(body.iter().all(|&byte| byte == FILL || byte == 0), "foreign bytes");
    }
    server.ask("LIST").ok();
}

pub(super) fn what_is_held_back_is_not_padded(subject: &Subject) {
    let server = subject.start(&[]);
    let mut held_back = 0;
    for size in (5..40).map(|step| step * 16_384 + 100) {
        let (mut conn, file) = stalled(&server, b"GET f\n", size);
        let sent = sockets::connection(conn.peer(), conn.local()).and_then(|end| end.traffic);
        // Where the kernel does not tell, half of the sizes are certainly more than it has taken.
        let is_queued = sent.map_or(size < 400_000, |sent| sent.written as usize > size);
        file.set_len(size as u64 - 30_000).expect("a shorter file");
        if is_queued {
            continue; // nobody can recall that
        }
        conn.widen();
        conn.finish();
        skip_header(&mut conn);
        let (body, was_reset) = conn.to_the_end();
        assert!(body.len() < size && was_reset, "{} of {size} bytes, {was_reset}", body.len());
        held_back += 1;
    }
    assert!(held_back > 5, "{held_back} downloads were under way when the file was cut");
}

pub(super) fn copied_bytes_are_never_cleared(subject: &Subject) {
    let server = subject.start(&["--copy"]);
    let cuts = [
        (5000, 100),
        (9000, 1000),
        (70_000, 5000),
        (70_000, 0),
        (200_000, 50_001),
        (1 << 20, 5000),
        (1 << 20, 0),
    ];
    for (size, left) in cuts {
        for request in requests() {
            let (mut conn, file) = stalled(&server, &request, size);
            file.set_len(left).expect("a shorter file");
            conn.widen();
            conn.finish();
            skip_header(&mut conn);
            let (body, was_reset) = conn.to_the_end();
            let foreign = body.iter().position(|&byte| byte != FILL);
            assert_eq!(foreign, None, "a foreign byte in {size} bytes cut to {left}");
            assert!(body.len() == size || was_reset, "{} of {size} bytes, no reset", body.len());
        }
    }
    server.ask("LIST").ok();
}

pub(super) fn copied_files_are_whole(subject: &Subject) {
    let server = subject.start(&["--copy"]);
    let content = noise(1_500_003);
    for size in SIZES {
        server.root().write(format!("f{size}"), &content[..size]);
    }
    let mut conn = server.connect();
    conn.send(SIZES.map(|size| format!("GET f{size}\n")).concat());
    for size in SIZES {
        assert!(conn.reply().ok() == content[..size], "size {size}");
    }
    for (offset, length) in [(1, 65_535), (1, 65_536), (65_537, 200_000), (1_500_000, 3)] {
        let got = conn.ask(format!("GET f1500003 {offset} {length}")).ok();
        assert!(got == content[offset..][..length], "{length} bytes at {offset}");
    }
    drop(conn);
    let mut conn = server.connect();
    for size in SIZES {
        let target = format!("/f{size}");
        assert!(conn.http(http_get(&target)).expect(200).body == content[..size], "size {size}");
        conn.http(format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n\r\n")).expect(200);
    }
}

/// The file `name` is refused in every way that would promise its length.
#[track_caller]
fn is_refused(server: &Server, name: &str) {
    let mut conn = server.connect();
    for request in ["GET f", "GET f 0", "GET f 0 5", "GET f 1 5", "HASH f"] {
        refused(&mut conn, request.replace('f', name), "not-a-file");
    }
    refused(&mut conn, format!("LIST {name}"), "not-a-directory");
    drop(conn);
    let mut conn = server.connect();
    conn.http(http_get(&format!("/{name}"))).expect(409);
    conn.http(format!("HEAD /{name} HTTP/1.1\r\nHost: h\r\n\r\n")).expect(409);
}

/// Nothing that could not be fetched is listed.
#[track_caller]
fn lists_no_files(server: &Server, directory: &str) {
    let listing = server.ask(&format!("LIST {directory}")).text();
    assert!(listing.lines().all(|line| line.starts_with("d ")), "{listing}");
}

pub(super) fn a_size_that_is_a_fiction(subject: &Subject) {
    // Of size 0; of a page, where the content is shorter.
    for (root, name) in
        [("/proc/self", "status"), ("/proc", "version"), ("/sys/kernel", "uevent_seqnum")]
    {
        if !std::path::Path::new(root).join(name).is_file() {
            eprintln!("SKIPPED: {root}/{name} does not exist here");
            continue;
        }
        let launch = subject.launch().in_root().args(["--root", root]);
        let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
        is_refused(&server, name);
        lists_no_files(&server, "/");
        server.log_until("the reason", |log| log.contains("pseudo file system"));
    }
}

pub(super) fn a_fiction_below_the_root(subject: &Subject) {
    let root = Arc::new(Root::new());
    root.mkdir("p");
    root.write("f", "a file below which another is mounted");
    root.write("empty", "");
    root.link("p/version", "l");
    let mount = r#"mount --bind /proc "$0"/p && mount --bind /proc/version "$0"/f && exec "$@""#;
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount];
    let mut wrapper: Vec<_> = wrapper.into_iter().map(std::ffi::OsString::from).collect();
    wrapper.push(root.path().into());
    let launch = subject.launch().root(&root).through(wrapper);
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    for name in ["f", "l", "p/version", "p/self/status"] {
        is_refused(&server, name);
    }
    lists_no_files(&server, "/p");
    let listing = server.ask("LIST").text();
    assert!(!listing.lines().any(|line| line.ends_with(" l")), "{listing}");
    assert_eq!(server.ask("GET empty").ok(), b"");
}
