//! `PUT`: the whole file or nothing, whatever happens meanwhile.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::get::oddities;
use super::{http_put, noise, refused_put, said_to_the_end, stays};
use crate::wait::eventually;
use crate::wire::{Conn, Reply};
use crate::{Root, Server, Subject, oracles};

pub(super) fn files_of_every_size(subject: &Subject) {
    let server = subject.start(&[]);
    let content = noise(5_000_003);
    server.root().mkdir("d/e");
    let mut conn = server.connect();
    // Up and down, so that a longer file is replaced by a shorter one too.
    for size in [0, 1, 4096, 65_536, 65_537, 1 << 20, 5_000_003, 70_000, 3, 0] {
        for path in ["f", "/d/e/f"] {
            assert_eq!(conn.put(path, &content[..size]).ok(), b"");
            let path = path.trim_start_matches('/');
            assert!(server.root().read(path) == content[..size], "{path} of size {size}");
        }
    }
    assert_eq!(server.root().names(), ["d", "d/e", "d/e/f", "f"]);
}

pub(super) fn names_as_long_as_they_may_be(subject: &Subject) {
    let server = subject.start(&[]);
    let name = "n".repeat(255);
    let mut conn = server.connect();
    assert_eq!(conn.put(&name, "long").ok(), b"");
    assert_eq!(conn.put("caf%E9%20%25", "odd").ok(), b"");
    assert_eq!(conn.put("%c3%a9", "accent").ok(), b"");
    assert_eq!(conn.ask(format!("GET {name}")).text(), "long");
    assert_eq!(conn.ask("GET caf%e9%20%25").text(), "odd");
    assert_eq!(conn.ask("GET é").text(), "accent");
    assert_eq!(server.root().read("é"), b"accent");
}

pub(super) fn a_refused_upload_is_read_to_its_end(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("file", "file");
    server.root().link("../outside", "out");
    server.root().link("loop", "loop");
    let before = server.root().names();
    let mut conn = server.connect();
    for (path, code) in [
        ("none/x", "not-found"),
        ("file/x", "not-found"),
        ("file/x/y", "not-found"),
        ("../x", "bad-path"),
        ("%2e%2e/x", "bad-path"),
        ("a//b", "bad-path"),
        ("file/", "bad-path"),
        ("x/", "bad-path"),
        ("a%zz", "bad-path"),
        ("a%0Ab", "bad-path"),
        ("out/x", "bad-path"),
        ("loop/x", "bad-path"),
    ] {
        for body in ["", "x", "QUIT\nQUIT\nGET file\n"] {
            refused_put(&mut conn, path, body.as_bytes(), code);
        }
        refused_put(&mut conn, path, &noise(300_000), code);
    }
    assert_eq!(server.root().names(), before);
    assert_eq!(server.root().read("file"), b"file");
    assert_eq!(fs::read_dir(server.root().outside()).expect("outside").count(), 1);
}

pub(super) fn only_regular_files_are_replaced(subject: &Subject) {
    let server = subject.start(&[]);
    let mut names = oddities(server.root());
    // A link is no obstacle, whatever it leads to.
    names.retain(|name| !name.starts_with("link"));
    names.push("/");
    let mut conn = server.connect();
    for name in names {
        refused_put(&mut conn, name, b"LIST\n", "not-a-file");
    }
}

pub(super) fn a_link_is_replaced(subject: &Subject) {
    let server = subject.start(&[]);
    let root = server.root();
    root.write("target", "target");
    root.write("d/inner", "inner");
    let links = [
        ("to-file", "target"),
        ("to-folder", "d"),
        ("to-nothing", "nowhere"),
        ("to-outside", "../outside/secret"),
        ("to-outside-new", "../outside/new"),
        ("to-itself", "to-itself"),
    ];
    let mut conn = server.connect();
    for (name, target) in links {
        root.link(target, name);
        assert_eq!(conn.put(name, name).ok(), b"", "PUT {name}");
        let kind = fs::symlink_metadata(root.join(name)).expect(name).file_type();
        assert!(kind.is_file(), "{name} is still a link");
        assert_eq!(root.read(name), name.as_bytes());
    }
    assert_eq!(root.read("target"), b"target");
    assert_eq!(root.read("d/inner"), b"inner");
    let outside = root.outside();
    assert_eq!(fs::read(outside.join("secret")).expect("secret"), Root::SECRET.as_bytes());
    assert!(!outside.join("new").exists());
    // A folder is reached through a link, as long as that stays inside.
    root.link("d", "way");
    assert_eq!(conn.put("way/new", "new").ok(), b"");
    assert_eq!(root.read("d/new"), b"new");
}

pub(super) fn too_large_is_refused_at_once(subject: &Subject) {
    let server = subject.start(&["--max-file-size", "1000"]);
    server.root().write("old", "old");
    let mut conn = server.connect();
    assert_eq!(conn.put("most", noise(1000)).ok(), b"");
    drop(conn);
    for length in ["1001", "1000000", "9223372036854775807"] {
        let mut conn = server.connect();
        // Nothing of the body has been sent: the answer does not wait for it.
        assert_eq!(conn.ask(format!("PUT old {length}")).code(), "too-large");
        conn.closed();
    }
    assert_eq!(server.root().read("old"), b"old");
    assert_eq!(server.root().names(), ["most", "old"]);
}

pub(super) fn too_large_is_read_without_a_reset(subject: &Subject) {
    let server = subject.start(&["--max-file-size", "1000"]);
    let body = noise(6 << 20);
    for _ in 0..5 {
        // This client listens only when it has sent everything.
        let request = [format!("PUT x {}\n", body.len()).as_bytes(), &body].concat();
        let mut conn = said_to_the_end(&server, request);
        assert_eq!(conn.reply().code(), "too-large");
        conn.closed();
        let mut conn = said_to_the_end(&server, http_put("/x", &body));
        conn.response(true).expect(413);
        conn.closed();
    }
}

pub(super) fn draining_ends(subject: &Subject) {
    let server = subject.start(&["--max-file-size", "1000"]);
    // One client goes on sending for ever, one is silent and does not close.
    let mut talker = server.connect();
    talker.send("PUT x 1000000000000\n");
    let start = Instant::now();
    while talker.try_send(vec![b'x'; 10_000]).is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20), "still listening after 20 seconds");
        crate::wait::pause(Duration::from_millis(10));
    }
    let mut silent = server.connect();
    assert_eq!(silent.ask("PUT x 1000000000000").code(), "too-large");
    assert_eq!(silent.rest(), b"");
    let (local, peer) = (silent.local(), silent.peer());
    eventually("the connection is let go though its client stays", || {
        oracles::connection_holders(&server.process_tree(), peer, local).is_empty()
    });
}

pub(super) fn an_upload_cut_short_leaves_nothing(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("old", "old");
    server.root().mkdir("d");
    let before = server.root().names();
    for body in [&b""[..], b"x", &noise(200_000)] {
        for path in ["old", "new", "d/new"] {
            let file = format!("PUT {path} 1000000\n");
            let http =
                format!("PUT /{path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
            for request in [file, http] {
                let mut conn = server.connect();
                conn.send([request.as_bytes(), body].concat());
                conn.finish();
                // What it says is its own affair, but by the time it closes all is gone.
                let said = conn.rest();
                assert!(!said.starts_with(b"OK"), "an upload cut short was taken for whole");
                assert_eq!(server.root().names(), before, "{request:?} {}", body.len());
            }
        }
    }
    let mut conn = server.connect();
    conn.send(b"PUT d/new 1000000\nxyz");
    oracles::until_read(&conn);
    conn.reset();
    stays(&mut server.connect());
    eventually("nothing is left of the upload", || server.root().names() == before);
    assert_eq!(server.root().read("old"), b"old");
}

pub(super) fn an_upload_under_way_is_invisible(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("old", "old");
    server.root().write("d/x", "x");
    let before = server.root().names();
    let mut observer = server.connect();
    // Names alone: even an upload without a name may change the time of its folder.
    let listed = |observer: &mut Conn, folder: &str| -> Vec<String> {
        let listing = observer.ask(format!("LIST {folder}")).text();
        listing.lines().filter_map(|line| Some(line.rsplit_once(' ')?.1.to_string())).collect()
    };
    let mut uploads = Vec::new();
    for path in ["old", "new", "d/new"] {
        let mut upload = server.connect();
        upload.send([format!("PUT {path} 200001\n").as_bytes(), &noise(200_000)].concat());
        assert!(oracles::until_read(&upload));
        uploads.push((path, upload));
    }
    assert_eq!(listed(&mut observer, "/"), ["d", "old"]);
    assert_eq!(listed(&mut observer, "d"), ["x"]);
    assert_eq!(observer.ask("GET old").text(), "old");
    assert_eq!(observer.ask("GET new").code(), "not-found");
    // Where an upload has a name at all, that name is nobody's.
    for name in server.root().names() {
        if !before.contains(&name) {
            for request in [format!("GET {name}"), format!("HASH {name}")] {
                super::refused(&mut observer, request, "bad-path");
            }
            refused_put(&mut observer, &name, b"mine", "bad-path");
        }
    }
    for (path, mut upload) in uploads {
        upload.send("!");
        assert_eq!(upload.reply().ok(), b"");
        assert_eq!(server.root().read(path).len(), 200_001);
    }
    assert_eq!(server.root().names(), ["d", "d/new", "d/x", "new", "old"]);
}

pub(super) fn the_last_to_finish_wins(subject: &Subject) {
    let server = subject.start(&[]);
    let mut slow = server.connect();
    slow.send("PUT f 10\nslow ");
    assert!(oracles::until_read(&slow));
    assert_eq!(server.connect().put("f", "quick").ok(), b"");
    assert_eq!(server.root().read("f"), b"quick");
    slow.send("first");
    assert_eq!(slow.reply().ok(), b"");
    assert_eq!(server.root().read("f"), b"slow first");
}

pub(super) fn writers_and_readers(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("f", version(0, 0));
    let torn = AtomicUsize::new(0);
    let reads = AtomicUsize::new(0);
    thread::scope(|scope| {
        for writer in 0..8u32 {
            let server = &server;
            scope.spawn(move || {
                for round in 0..20 {
                    let body = version(writer, round);
                    // A connection per request: so an iterative server can take part. Half the
                    // writers speak HTTP.
                    let mut conn = server.connect();
                    if writer % 2 == 0 {
                        assert_eq!(conn.put("f", body).ok(), b"");
                    } else {
                        let response = conn.http(http_put("/f", &body));
                        assert!(matches!(response.status, 200 | 201 | 204), "{response:?}");
                    }
                }
            });
        }
        for reader in 0..8 {
            let (server, torn, reads) = (&server, &torn, &reads);
            scope.spawn(move || {
                for _ in 0..25 {
                    let mut conn = server.connect();
                    let body = match reader % 2 {
                        0 => conn.ask("GET f").ok(),
                        _ => conn.http(super::http_get("/f")).expect(200).body,
                    };
                    reads.fetch_add(1, Ordering::Relaxed);
                    if !is_one_version(&body) {
                        torn.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(torn.into_inner(), 0, "torn reads among {}", reads.into_inner());
    assert!(is_one_version(&server.root().read("f")));
    assert_eq!(server.root().names(), ["f"]);
}

/// A body that says which version it is in every word, and how long it must be.
fn version(writer: u32, round: u32) -> Vec<u8> {
    let words = 1 + (writer * 7919 + round * 104_729) % 30_000;
    let word = [writer.to_le_bytes(), words.to_le_bytes()].concat();
    word.repeat(words as usize)
}

fn is_one_version(body: &[u8]) -> bool {
    let Some(first) = body.get(..8) else {
        return false;
    };
    let words = u32::from_le_bytes(first[4..8].try_into().expect("four bytes"));
    body.len() == words as usize * 8 && body.chunks(8).all(|word| word == first)
}

pub(super) fn killed_in_mid_upload(subject: &Subject) {
    let root = Arc::new(Root::new());
    root.write("old", "old");
    root.write("d/old", "old");
    let before = root.names();
    for http in [false, true] {
        for path in ["old", "new", "d/old", "d/new"] {
            let server = subject.start_on(&root, &[]);
            let mut conn = server.connect();
            conn.send(match http {
                false => format!("PUT {path} 1000000\n"),
                true => {
                    format!("PUT /{path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
                }
            });
            conn.send(noise(300_000));
            assert!(oracles::until_read(&conn));
            server.kill();
            drop(server);
            let server = subject.start_on(&root, &[]);
            eventually("what a killed server left is gone", || root.names() == before);
            assert_eq!(server.ask("GET old").text(), "old");
            assert_eq!(server.ask("GET d/old").text(), "old");
        }
    }
}

pub(super) fn acknowledged_uploads_survive_a_kill(subject: &Subject) {
    let root = Arc::new(Root::new());
    let body = noise(300_000);
    for options in [&[][..], &["--sync"]] {
        let server = subject.start_on(&root, options);
        let mut conn = server.connect();
        for name in ["a", "b", "c"] {
            assert_eq!(conn.put(name, &body).ok(), b"");
        }
        server.kill();
        for name in ["a", "b", "c"] {
            assert!(root.read(name) == body);
        }
        assert_eq!(root.names(), ["a", "b", "c"]);
    }
}

pub(super) fn a_second_server_spares_live_uploads(subject: &Subject) {
    let first = subject.start(&[]);
    first.root().mkdir("d");
    for path in ["f", "d/f"] {
        let mut conn = first.connect();
        conn.send(format!("PUT {path} 6\nfir"));
        assert!(oracles::until_read(&conn));
        let second = subject.start_on(first.root(), &[]);
        // It is up and at work, in that folder too.
        assert_eq!(second.connect().put("d/g", "g").ok(), b"");
        second.ask("LIST d").ok();
        let third = subject.start_on(first.root(), &[]);
        third.ask("LIST").ok();
        conn.send("st!");
        assert_eq!(conn.reply().ok(), b"");
        assert_eq!(first.root().read(path), b"first!");
    }
    assert_eq!(first.root().names(), ["d", "d/f", "d/g", "f"]);
}

pub(super) fn read_only(subject: &Subject) {
    let server = subject.start(&["--read-only", "--max-file-size", "1KiB"]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    for path in ["a", "new", "none/x", "../x", "/"] {
        refused_put(&mut conn, path, b"GET a\n", "read-only");
    }
    assert_eq!(conn.ask("GET a").text(), "hello");
    conn.ask("LIST").ok();
    conn.ask("HASH a").ok();
    drop(conn);
    let mut http = server.connect();
    http.http(http_put("/new", b"x")).expect(403);
    assert_eq!(server.root().names(), ["a"]);
}

pub(super) fn order_of_checks(subject: &Subject) {
    let server = subject.start(&["--read-only", "--max-file-size", "1KiB"]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    // Each request breaks several rules; the first in the protocol's order counts.
    for (request, code) in [
        ("FETCH ../x 01 02 03", "bad-command"),
        ("GET .. 1 2 3", "bad-argument"),
        ("GET ../x 01", "bad-argument"),
        ("GET none/ 5x", "bad-argument"),
        ("HASH .. x", "bad-argument"),
        ("GET ../none 99", "bad-path"),
        ("GET none/../a", "bad-path"),
        ("GET a/%zz", "bad-path"),
        ("GET none 99", "not-found"),
    ] {
        super::refused(&mut conn, request, code);
    }
    refused_put(&mut conn, "../x", b"x", "read-only");
    drop(conn);
    for (line, code) in [
        ("PUT ../x 5x", "bad-argument"),
        ("PUT ../x 99999999999999999999", "bad-argument"),
        ("PUT ../x 1025", "too-large"),
    ] {
        let mut conn = server.connect();
        assert_eq!(conn.ask(line).code(), code, "{line}");
        conn.closed();
    }
    let server = subject.start(&["--max-file-size", "1KiB"]);
    let mut conn = server.connect();
    refused_put(&mut conn, "none/../x", b"x", "bad-path");
    drop(conn);
    let mut conn = server.connect();
    assert_eq!(conn.ask("PUT ../x 1025").code(), "too-large");
    conn.closed();
}

pub(super) fn size_limits_have_suffixes(subject: &Subject) {
    let fits = |server: &Server, size: usize| {
        let request = [format!("PUT f {size}\n").into_bytes(), noise(size)].concat();
        let reply = said_to_the_end(server, request).reply();
        assert!(reply == Reply::Ok(Vec::new()) || reply.is("too-large"), "{reply:?}");
        !reply.is("too-large")
    };
    for (limit, bytes) in [("0", 0), ("10", 10), ("3KiB", 3 << 10), ("2MiB", 2 << 20)] {
        let server = subject.start(&["--max-file-size", limit]);
        assert!(fits(&server, bytes), "{limit}");
        assert!(!fits(&server, bytes + 1), "{limit}");
    }
    let server = subject.start(&["--max-file-size", "2GiB"]);
    assert_eq!(server.ask(&format!("PUT f {}", (2u64 << 30) + 1)).code(), "too-large");
    // Without the option it is 1 GiB.
    let server = subject.start(&[]);
    assert_eq!(server.ask(&format!("PUT f {}", (1u64 << 30) + 1)).code(), "too-large");
}
