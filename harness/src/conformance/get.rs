//! `GET` and `HASH`: what comes back, in which range, and from what.

use std::fs;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{noise, refused, unprivileged};
use crate::root::pattern;
use crate::wire::{Conn, Reply};
use crate::{Root, Subject};

/// Sizes around every place where a server may change its way of sending.
pub(super) const SIZES: [usize; 14] = [
    0, 1, 2, 4095, 4096, 4097, 8192, 65_535, 65_536, 65_537, 131_072, 262_145, 1_048_576, 1_500_003,
];

pub(super) fn files_of_every_size(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(1_500_003);
    for size in SIZES {
        server.root().write(format!("f{size}"), &content[..size]);
    }
    let mut conn = server.connect();
    for size in SIZES {
        assert!(conn.ask(format!("GET f{size}")).ok() == content[..size], "size {size}");
    }
    // And once more, pipelined.
    conn.send(SIZES.map(|size| format!("GET f{size}\n")).concat());
    for size in SIZES {
        assert!(conn.reply().ok() == content[..size], "size {size}, pipelined");
    }
}

pub(super) fn offset_and_length(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(200_000);
    let size = content.len();
    server.root().write("f", &content);
    let mut conn = server.connect();
    let offsets = [0, 1, 4096, 65_535, 65_536, 65_537, 134_463, 134_464, size - 1, size];
    for offset in offsets {
        let rest = &content[offset..];
        assert!(conn.ask(format!("GET f {offset}")).ok() == rest, "offset {offset}");
        for length in [0, 1, 100, 65_535, 65_536, 65_537, size, size + 1] {
            let expected = &rest[..length.min(rest.len())];
            let got = conn.ask(format!("GET f {offset} {length}")).ok();
            assert!(got == expected, "offset {offset}, length {length}");
        }
    }
}

pub(super) fn beyond_the_end(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("f", "12345");
    server.root().write("empty", "");
    let mut conn = server.connect();
    assert_eq!(conn.ask("GET f 5").ok(), b"");
    assert_eq!(conn.ask("GET f 5 9").ok(), b"");
    assert_eq!(conn.ask("GET empty 0").ok(), b"");
    for request in ["GET f 6", "GET f 6 0", "GET f 6 1", "GET empty 1"] {
        refused(&mut conn, request, "bad-range");
    }
}

pub(super) fn hashes(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(1_500_003);
    let mut conn = server.connect();
    for size in SIZES {
        server.root().write("f", &content[..size]);
        let digest = Sha256::digest(&content[..size]);
        let expected: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(conn.ask("HASH f").text(), format!("{expected}\n"), "size {size}");
    }
    server.root().write("d/abc", "abc");
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    assert_eq!(conn.ask("HASH /d/%61bc").text(), abc);
}

/// Puts one of everything that is not a regular file into a root; gives the names.
pub(super) fn oddities(root: &Root) -> Vec<&'static str> {
    root.mkdir("folder");
    root.fifo("fifo");
    root.socket("socket");
    root.link("fifo", "link-to-fifo");
    let mut names = vec!["folder", "fifo", "socket", "link-to-fifo"];
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    let (mode, null) = (Mode::from_raw_mode(0o666), makedev(1, 3));
    match mknodat(CWD, root.join("device"), FileType::CharacterDevice, mode, null) {
        Ok(()) => names.push("device"),
        Err(error) => eprintln!("SKIPPED the device among the oddities: {error}"),
    }
    names
}

pub(super) fn only_regular_files_are_read(subject: &Subject) {
    let server = subject.start(&[]);
    let names = oddities(server.root());
    let mut conn = server.connect();
    for name in names {
        // Opening a FIFO carelessly would block: then the reply never comes.
        refused(&mut conn, format!("GET {name}"), "not-a-file");
        refused(&mut conn, format!("GET {name} 0 10"), "not-a-file");
        refused(&mut conn, format!("HASH {name}"), "not-a-file");
        if name != "folder" {
            refused(&mut conn, format!("LIST {name}"), "not-a-directory");
            refused(&mut conn, format!("GET {name}/x"), "not-found");
        }
    }
    refused(&mut conn, "GET /", "not-a-file");
    refused(&mut conn, "HASH /", "not-a-file");
}

pub(super) fn a_file_that_shrinks(subject: &Subject) {
    let server = subject.start(&[]);
    let size = server.root().patterned("f", 24 << 20);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET f\n");
    assert_eq!(conn.ok_line(), size);
    // Most of it cannot have been sent, for this client has not read it.
    let file = fs::File::options().write(true).open(server.root().join("f")).expect("the file");
    file.set_len(1000).expect("to shrink it");
    conn.widen();
    // What was on its way may have been zeroed by the kernel, but no more than that can come.
    let end = conn.drain();
    assert!(end < size, "{end} bytes of a file of {size} that had shrunk: padding");
    // The server itself is none the worse for it.
    drop(conn);
    assert_eq!(server.ask("GET f").ok(), &pattern()[..1000]);
}

pub(super) fn a_file_that_is_replaced(subject: &Subject) {
    let server = subject.start(&[]);
    let size = server.root().patterned("f", 24 << 20);
    server.root().write("new", "new");
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET f\n");
    assert_eq!(conn.ok_line(), size);
    fs::rename(server.root().join("new"), server.root().join("f")).expect("to replace it");
    conn.widen();
    assert_eq!(conn.follow(&pattern(), 0, size), size, "the old version, whole");
    assert_eq!(conn.ask("GET f").text(), "new");
}

pub(super) fn what_is_not_there(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("file", "x");
    server.root().mkdir("folder");
    let mut conn = server.connect();
    for verb in ["GET", "HASH", "LIST"] {
        for path in ["none", "none/x", "folder/none", "file/x", "file/x/y", "...", "..x", "x.."] {
            refused(&mut conn, format!("{verb} {path}"), "not-found");
        }
    }
    refused(&mut conn, "LIST file", "not-a-directory");
    refused(&mut conn, "LIST file/", "not-a-directory");
    refused(&mut conn, "LIST file/x/", "not-found");
}

pub(super) fn what_is_forbidden(subject: &Subject) {
    let root = Arc::new(Root::new());
    let launch = unprivileged(subject, &root);
    root.write("file", "secret");
    root.write("closed/file", "secret");
    root.write("fixed/file", "open");
    root.chmod("file", 0o000);
    root.chmod("closed", 0o000);
    root.chmod("fixed", 0o555);
    root.chmod("fixed/file", 0o444);
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    let mut conn = server.connect();
    for request in ["GET file", "HASH file", "LIST closed", "GET closed/file", "GET closed/none"] {
        refused(&mut conn, request, "denied");
    }
    for path in ["fixed/new", "fixed/file", "closed/file", "closed/new"] {
        let reply = conn.put(path, "LIST\n");
        assert!(reply.is("denied"), "PUT {path}: {reply:?}");
        super::stays(&mut conn);
    }
    assert_eq!(conn.ask("GET fixed/file").text(), "open");
    drop(conn);
    let mut conn = server.connect();
    for path in ["/file", "/closed/", "/closed/file"] {
        conn.http(super::http_get(path)).expect(403);
    }
    drop(server);
    root.chmod("closed", 0o755);
}

pub(super) fn a_full_disk(subject: &Subject) {
    let root = Arc::new(Root::new());
    let mount = r#"mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@""#;
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount];
    let mut wrapper: Vec<_> = wrapper.into_iter().map(std::ffi::OsString::from).collect();
    wrapper.push(root.path().into());
    let launch = subject.launch().root(&root).through(wrapper);
    let server = launch.start().unwrap_or_else(|failure| panic!("{failure}"));
    let mut conn = server.connect();
    assert_eq!(conn.put("old", "old").ok(), b"");
    for path in ["new", "old"] {
        let reply = conn.put(path, noise(1 << 20));
        assert!(reply.is("no-space"), "PUT {path}: {reply:?}");
        super::stays(&mut conn);
    }
    let listing = conn.ask("LIST").text();
    assert!(listing.lines().count() == 1 && listing.starts_with("f 3 "), "{listing:?}");
    assert_eq!(conn.ask("GET old").text(), "old");
    // What the refused uploads took has been given back.
    assert_eq!(conn.put("new", noise(100_000)), Reply::Ok(Vec::new()));
    let request = b"PUT /old HTTP/1.1\r\nHost: h\r\nContent-Length: 1048576\r\n\r\n";
    drop(conn);
    let mut http = server.connect();
    http.send([&request[..], &noise(1 << 20)].concat());
    http.response(true).expect(507);
    drop(http);
    assert_eq!(server.ask("GET old").text(), "old");
}
