//! Which names are names at all, and that none of them leaves the root.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{OnDrop, http_get, http_put, refused, refused_put};
use crate::Subject;
use crate::wire::{Reply, show};

/// Paths that the rules refuse for every verb.
fn refused_paths() -> Vec<Vec<u8>> {
    let mut paths: Vec<Vec<u8>> = [
        ".",
        "..",
        "/.",
        "/..",
        "./a",
        "../a",
        "a/.",
        "a/..",
        "a/./b",
        "a/../b",
        "d/../a",
        "/../a",
        "//",
        "//a",
        "a//b",
        "///",
        "d//a",
        "%2e",
        "%2e%2e",
        "%2E%2e/a",
        ".%2e/a",
        "%2e./a",
        "..%2fa",
        "%2e%2e%2fa",
        "a%2fb",
        "a%2Fb",
        "%2F",
        "%2fa",
        "d%2f..%2fa",
        "%00",
        "a%00",
        "a%00b",
        "%01",
        "%09",
        "%0a",
        "%0D",
        "%1b[0m",
        "%1f",
        "%7f",
        "a%7F",
        "%",
        "a%",
        "a%4",
        "a%4/b",
        "%zz",
        "%4g",
        "%g4",
        "%+4",
        "%-1",
        "%%",
        "%%41",
        "%u0041",
    ]
    .map(|path| path.as_bytes().to_vec())
    .to_vec();
    for control in (0x01..0x20).filter(|b| *b != b'\n').chain([0x00, 0x7f]) {
        paths.push(vec![b'a', control, b'b']);
    }
    paths.push("x".repeat(256).into_bytes());
    paths.push("%78".repeat(256).into_bytes());
    paths.push(format!("d/{}", "é".repeat(128)).into_bytes());
    paths.push(format!("{}/a", "x".repeat(256)).into_bytes());
    paths
}

pub(super) fn refused_by_the_rules(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "a");
    server.root().write("d/a", "a");
    let before = server.root().names();
    let mut conn = server.connect();
    for path in refused_paths() {
        for verb in ["GET", "HASH", "LIST"] {
            refused(&mut conn, [verb.as_bytes(), b" ", &path].concat(), "bad-path");
        }
        conn.send([b"PUT ", &path[..], b" 5\nLIST\n"].concat());
        let reply = conn.reply();
        assert!(reply.is("bad-path"), "PUT {}: {reply:?}", show(&path));
    }
    // The slash at the end is for LIST alone.
    for path in ["d/", "a/", "none/", "/d/"] {
        refused(&mut conn, format!("GET {path}"), "bad-path");
        refused(&mut conn, format!("HASH {path}"), "bad-path");
        refused_put(&mut conn, path, b"x", "bad-path");
    }
    assert_eq!(server.root().names(), before);
}

pub(super) fn allowed_by_the_rules(subject: &Subject) {
    let server = subject.start(&[]);
    let long = "x".repeat(255);
    let names = [
        "a", "...", ".hidden", "a..", "..a", "a.b", "-", "~", "a:b", "a\\b", "..\\a", "é", "日本",
        "+", "?", "#", "&", "*", "\"", "'", "<b>", "[", "{}", "|", "\u{9b}", "CON", &long,
    ];
    let mut conn = server.connect();
    for name in names {
        assert_eq!(conn.put(name, name).ok(), b"", "PUT {name:?}");
        assert_eq!(conn.ask(format!("GET /{name}")).text(), name);
        let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
        assert_eq!(conn.ask(format!("GET {encoded}")).text(), name);
        assert_eq!(server.root().read(name), name.as_bytes());
    }
}

pub(super) fn the_root_itself(subject: &Subject) {
    let server = subject.start(&[]);
    let mut conn = server.connect();
    assert_eq!(conn.ask("LIST /").ok(), b"");
    refused(&mut conn, "GET /", "not-a-file");
    refused(&mut conn, "HASH /", "not-a-file");
    refused_put(&mut conn, "/", b"LIST\n", "not-a-file");
    assert!(server.root().path().is_dir());
}

pub(super) fn links(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    root.write("d/file", "file");
    for (target, name) in [
        ("d/file", "good"),
        ("good", "good-twice"),
        ("d", "way"),
        ("../d/file", "d/up"),
        ("nowhere", "dangling"),
        ("loop", "loop"),
        ("ring-b", "ring-a"),
        ("ring-a", "ring-b"),
        ("../outside/secret", "out"),
        ("../outside", "out-folder"),
        ("..", "out-parent"),
        ("../served/d/file", "out-and-in"),
        ("/etc/hostname", "out-absolute"),
        ("/", "out-slash"),
        ("/proc/self/root", "out-magic"),
    ] {
        root.link(target, name);
    }
    root.link(root.join("d/file"), "absolute");
    root.link(root.join("d"), "absolute-folder");
    let mut conn = server.connect();
    for path in ["good", "good-twice", "way/file", "way/up", "d/up"] {
        assert_eq!(conn.ask(format!("GET {path}")).text(), "file", "{path}");
        conn.ask(format!("HASH {path}")).ok();
    }
    conn.ask("LIST way").ok();
    conn.ask("LIST way/").ok();
    refused(&mut conn, "LIST good", "not-a-directory");
    refused(&mut conn, "GET way", "not-a-file");
    for verb in ["GET", "HASH", "LIST"] {
        for path in ["dangling", "dangling/x", "way/none", "good/x"] {
            refused(&mut conn, format!("{verb} {path}"), "not-found");
        }
        for path in [
            "loop",
            "loop/x",
            "ring-a",
            "out",
            "out-folder",
            "out-folder/secret",
            "out-folder/none",
            "out-parent/outside/secret",
            "out-and-in",
            "out-absolute",
            "out-slash",
            "out-slash/etc",
            "out-magic/etc",
            "absolute",
            "absolute-folder",
            "absolute-folder/file",
        ] {
            refused(&mut conn, format!("{verb} {path}"), "bad-path");
        }
    }
    for path in ["out-folder/x", "out-slash/x", "absolute-folder/x", "loop/x", "out-parent/x"] {
        refused_put(&mut conn, path, b"x", "bad-path");
    }
    refused_put(&mut conn, "dangling/x", b"x", "not-found");
    assert_eq!(fs::read_dir(root.outside()).expect("outside").count(), 1);
}

/// Spellings of the file outside, for both protocols.
fn ways_out() -> Vec<String> {
    let mut ways = Vec::new();
    let ups = [
        "..",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%2e.",
        "..%00",
        "..%01",
        "%252e%252e",
        "..\\..",
        "....",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "\u{ff0e}\u{ff0e}",
        "out",
        "out/.",
        "d/..",
        "d/../..",
    ];
    for up in ups {
        for slash in ["/", "%2f", "%2F", "\\", "%5c", "//", "/./", "%252f", "%c0%af"] {
            for start in ["", "/", "//", "d/", "/d/../", "./"] {
                ways.push(format!("{start}{up}{slash}outside{slash}secret"));
                ways.push(format!("{start}{up}{slash}secret"));
            }
        }
    }
    ways.push("/etc/passwd".into());
    ways.push("//etc/passwd".into());
    ways.push("/proc/self/environ".into());
    ways.push("file:///etc/passwd".into());
    ways
}

pub(super) fn no_spelling_leads_out(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().mkdir("d");
    server.root().link("..", "out");
    server.root().link("../outside", "d/out");
    let (mut conn, mut requests) = (server.connect(), 0);
    for path in ways_out() {
        for verb in ["GET", "LIST", "HASH"] {
            conn.send(format!("{verb} {path}\n"));
            requests += 1;
        }
        conn.send(format!("PUT {path}.new 3\nnew"));
        requests += 1;
        while requests > 0 {
            match conn.reply() {
                Reply::Ok(body) => {
                    // A strange name is allowed to exist, by PUT, but it is no way out.
                    assert!(!body.windows(6).any(|window| window == b"SECRET"), "{path}");
                    assert!(body.is_empty(), "{path}: {}", show(&body));
                }
                Reply::Err { code, .. } => {
                    assert!(code == "bad-path" || code == "not-found", "{path}: {code}");
                }
            }
            requests -= 1;
        }
    }
    drop(conn);
    let mut http = server.connect();
    for path in ways_out().into_iter().step_by(5) {
        let target = if path.starts_with('/') { path.clone() } else { format!("/{path}") };
        let response = http.http(http_get(&target));
        assert!(!response.body.windows(6).any(|window| window == b"SECRET"), "{target}");
        assert!(response.status >= 300, "{target}: {response:?}");
        // A target that is no target at all ends the connection.
        if response.status == 400 {
            http = server.connect();
        }
    }
    assert_eq!(fs::read_dir(server.root().outside()).expect("outside").count(), 1);
    let beside = server.root().path().parent().expect("a parent");
    assert_eq!(fs::read_dir(beside).expect("the parent").count(), 2);
}

pub(super) fn a_folder_swapped_with_a_link(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    root.write("d/secret", "inside");
    root.link("../outside", "swap");
    let outside_before = fs::read(root.outside().join("secret")).expect("the secret");
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            // The name `d` is at every moment either the folder or a link to the outside.
            let (folder, link) = (root.join("d"), root.join("swap"));
            let mut swaps = 0u32;
            while !done.load(Ordering::Relaxed) {
                renameat_with(CWD, &folder, CWD, &link, RenameFlags::EXCHANGE).expect("to swap");
                swaps += 1;
            }
            swaps
        });
        let _stop = OnDrop(|| done.store(true, Ordering::Relaxed));
        let mut conn = server.connect();
        let (mut inside, mut refusals) = (0, 0);
        // As many rounds as there is time for: the swapping slows down whoever looks the name up.
        let start = Instant::now();
        for round in 0..2000 {
            if start.elapsed() > Duration::from_secs(2) {
                break;
            }
            conn.send("GET d/secret\nPUT d/new 3\nnew");
            match conn.reply() {
                Reply::Ok(body) => {
                    assert_eq!(body, b"inside", "a read escaped in round {round}");
                    inside += 1;
                }
                Reply::Err { code, .. } => {
                    assert_eq!(code, "bad-path");
                    refusals += 1;
                }
            }
            if let Reply::Err { code, .. } = conn.reply() {
                assert_eq!(code, "bad-path");
            }
            if round % 10 == 0
                && let Reply::Ok(listing) = conn.ask("LIST d")
            {
                let lines = String::from_utf8_lossy(&listing).into_owned();
                let own = |line: &str| line.ends_with(" new") || line.contains("f 6 ");
                assert!(lines.lines().all(own), "a listing escaped: {lines}");
            }
        }
        drop(conn);
        let mut http = server.connect();
        while start.elapsed() < Duration::from_secs(3) {
            let response = http.http(http_get("/d/secret"));
            assert!(response.status != 200 || response.body == b"inside", "{response:?}");
            let response = http.http(http_put("/d/new", b"new"));
            assert!(matches!(response.status, 200 | 201 | 204 | 400), "{response:?}");
        }
        drop(http);
        done.store(true, Ordering::Relaxed);
        let swaps = swapper.join().expect("the swapper");
        eprintln!("{swaps} swaps, {inside} reads inside, {refusals} refused");
    });
    assert_eq!(fs::read_dir(root.outside()).expect("outside").count(), 1, "a write escaped");
    assert_eq!(fs::read(root.outside().join("secret")).expect("the secret"), outside_before);
    let folder = if root.join("d").is_symlink() { "swap" } else { "d" };
    let left: Vec<_> = fs::read_dir(root.join(folder)).expect("the folder").flatten().collect();
    assert!(left.len() <= 2, "leftovers: {left:?}");
    assert_eq!(root.read(format!("{folder}/secret")), b"inside");
}
