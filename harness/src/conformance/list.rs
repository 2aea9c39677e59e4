//! `LIST`: which entries, in which order, in which form.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::get::oddities;
use super::refused;
use crate::Subject;

/// A moment that no clock of a test machine shows.
const THEN: u64 = 1_234_567_890;

pub(super) fn format_and_order(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    for (name, size) in
        [("a", 0), ("B", 1), ("a.b", 22), ("a-b", 333), ("Z", 4), ("é", 5), ("~", 6)]
    {
        root.write(name, vec![b'x'; size]);
        root.set_mtime(name, THEN + size as u64);
    }
    // By the bytes of the name, not of its encoded form: a space comes before `!`, though `%20`
    // comes after it.
    for name in ["a b", "a!"] {
        root.write(name, "");
        root.set_mtime(name, 0);
    }
    root.write("a.d/inner", "x");
    root.set_mtime("a.d", 1);
    let mut conn = server.connect();
    let expected = [
        "f 1 1234567891 B",
        "f 4 1234567894 Z",
        "f 0 1234567890 a",
        "f 0 0 a%20b",
        "f 0 0 a!",
        "f 333 1234568223 a-b",
        "f 22 1234567912 a.b",
        "d 0 1 a.d",
        "f 6 1234567896 ~",
        "f 5 1234567895 é",
    ];
    let expected: String = expected.iter().map(|line| format!("{line}\n")).collect();
    for request in ["LIST", "LIST /"] {
        assert_eq!(conn.ask(request).text(), expected);
    }
}

pub(super) fn folders_and_slashes(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("d/e/f", "12");
    server.root().set_mtime("d/e/f", THEN);
    server.root().mkdir("empty");
    let mut conn = server.connect();
    for path in ["d/e", "/d/e", "d/e/", "/d/e/", "%64/e"] {
        assert_eq!(conn.ask(format!("LIST {path}")).text(), "f 2 1234567890 f\n", "{path}");
    }
    for path in ["empty", "empty/", "/empty"] {
        assert_eq!(conn.ask(format!("LIST {path}")).ok(), b"");
    }
    for path in ["//", "d//", "d//e", "//d", "d/e//", "/d/e//"] {
        refused(&mut conn, format!("LIST {path}"), "bad-path");
    }
}

pub(super) fn names_are_encoded(subject: &Subject) {
    let server = subject.start(&[]);
    let cases: [(&[u8], &str); 16] = [
        (b"\xc3\xa9", "é"),
        (b"\xe2\x82", "%E2%82"),
        (b"\xed\xa0\x80", "%ED%A0%80"),
        (b"\xf0\x9f\x98\x80", "😀"),
        (b"\xfe\xff", "%FE%FF"),
        (b" lead", "%20lead"),
        (b"a b  c", "a%20b%20%20c"),
        (b"a\xffb\xc3\xa9c\xc3", "a%FFbéc%C3"),
        (b"100%", "100%25"),
        (b"%41", "%2541"),
        (b"&<>\"'", "&<>\"'"),
        (b"+?#;=", "+?#;="),
        (b"\\", "\\"),
        (b"\xc2\xa0", "\u{a0}"),
        (b"\xc0\xaf", "%C0%AF"),
        (b"\xf5\x80\x80\x80", "%F5%80%80%80"),
    ];
    let mut expected = Vec::new();
    for (name, encoded) in cases {
        server.root().write(OsStr::from_bytes(name), encoded);
        server.root().set_mtime(OsStr::from_bytes(name), THEN);
        expected.push((name, format!("f {} {THEN} {encoded}\n", encoded.len())));
    }
    expected.sort();
    let mut conn = server.connect();
    let listing = conn.ask("LIST").text();
    assert_eq!(listing, expected.into_iter().map(|(_, line)| line).collect::<String>());
    // Every name can be sent back as it came.
    for line in listing.lines() {
        let name = line.rsplit_once(' ').expect("four fields").1;
        assert_eq!(conn.ask(format!("GET {name}")).text(), name);
        assert_eq!(conn.ask(format!("GET /{name}")).text(), name);
    }
}

pub(super) fn what_no_request_could_address_is_left_out(subject: &Subject) {
    let server = subject.start(&[]);
    for name in ["a\nf 1 1 forged", "\x1b[31m", "tab\t", "del\x7f", "\r"] {
        server.root().write(name, "");
        server.root().mkdir(&format!("{name}.d"));
    }
    oddities(server.root());
    server.root().set_mtime("folder", THEN);
    assert_eq!(server.ask("LIST").text(), format!("d 0 {THEN} folder\n"));
}

pub(super) fn links(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    root.write("d/file", "12345");
    root.write("top", "123");
    root.set_mtime("d/file", THEN);
    root.set_mtime("top", THEN + 1);
    for (target, name) in [
        ("d/file", "good"),
        ("good", "good-twice"),
        ("d/../d/./file", "good-winding"),
        ("d", "good-folder"),
        ("../top", "d/good-up"),
        ("../../served/top", "d/out-and-in"),
        ("../outside/secret", "out"),
        ("d/../../outside/secret", "out-winding"),
        ("..", "out-folder"),
        ("/", "out-absolute"),
        ("nowhere", "dangling"),
        ("top/x", "through-a-file"),
        ("loop", "loop"),
        ("loop-b", "loop-a"),
        ("loop-a", "loop-b"),
    ] {
        root.link(target, name);
    }
    // Even where it leads back inside.
    root.link(root.join("top"), "absolute");
    root.set_mtime("d", THEN + 2);
    let mut conn = server.connect();
    let expected = [
        "d 0 1234567892 d",
        "f 5 1234567890 good",
        "d 0 1234567892 good-folder",
        "f 5 1234567890 good-twice",
        "f 5 1234567890 good-winding",
        "f 3 1234567891 top",
    ];
    assert_eq!(conn.ask("LIST").text().lines().collect::<Vec<_>>(), expected);
    let expected = ["f 5 1234567890 file", "f 3 1234567891 good-up"];
    assert_eq!(conn.ask("LIST d").text().lines().collect::<Vec<_>>(), expected);
    assert_eq!(conn.ask("LIST good-folder").text().lines().collect::<Vec<_>>(), expected);
}

pub(super) fn a_large_folder(subject: &Subject) {
    let server = subject.start(&[]);
    let names: Vec<String> =
        (0..3000).map(|n| format!("entry-{n:04}-{}", "x".repeat(60))).collect();
    for name in &names {
        server.root().write(name, "");
        server.root().set_mtime(name, THEN);
    }
    let expected: String = names.iter().map(|name| format!("f 0 {THEN} {name}\n")).collect();
    let mut conn = server.connect();
    conn.send("LIST\nLIST /\n");
    assert!(conn.reply().text() == expected);
    assert!(conn.reply().text() == expected);
}

pub(super) fn a_folder_that_changes(subject: &Subject) {
    let server = subject.start(&[]);
    for number in 0..50 {
        server.root().write(format!("fixed-{number:02}"), "x");
    }
    server.root().write("moving-a", "x");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (a, b) = (server.root().join("moving-a"), server.root().join("moving-b"));
            while !done.load(Ordering::Relaxed) {
                fs::rename(&a, &b).and_then(|()| fs::rename(&b, &a)).expect("to rename");
            }
        });
        let _stop = super::OnDrop(|| done.store(true, Ordering::Relaxed));
        let mut conn = server.connect();
        for _ in 0..50 {
            let listing = conn.ask("LIST").text();
            for line in listing.lines() {
                let fields: Vec<&str> = line.split(' ').collect();
                let whole = matches!(fields[..], ["f", "1", time, name] if
                    time.parse::<u64>().is_ok() && (name.len() == 8));
                assert!(whole, "{line:?}");
            }
            let fixed = listing.lines().filter(|line| line.contains("fixed-")).count();
            assert_eq!(fixed, 50, "{listing}");
        }
    });
}
