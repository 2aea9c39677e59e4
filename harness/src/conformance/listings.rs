//! What listings and uploads hold in memory while their clients do nothing, and how listings wait for room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{ATTEMPTS, OnDrop, http_get, stays};
use crate::wait::{TIMEOUT, pause, within};
use crate::wire::Conn;
use crate::{Root, Server, Subject, oracles, proc};

const MIB: u64 = 1 << 20;

/// The bytes that the server keeps for later clients, and those that the allocator of each thread keeps.
const SLACK: u64 = 6 * MIB;

/// For how long a client is looked at that should get nothing.
const QUIET: Duration = Duration::from_millis(100);

/// A directory `d` with so many names of `length` bytes for one empty file, which are quicker to make than files.
/// Returns the names, which are sorted.
fn directory(root: &Root, count: usize, length: usize) -> Vec<String> {
    let name = |number| format!("{number:05}-{}", "x".repeat(length - 6));
    let names: Vec<String> = (0..count).map(name).collect();
    root.write(format!("d/{}", names[0]), "");
    let path = |name: &String| root.join("d").join(name);
    for name in &names[1..] {
        std::fs::hard_link(path(&names[0]), path(name)).expect("another name");
    }
    names
}

/// The private memory of the server's processes, in bytes.
fn memory(server: &Server) -> u64 {
    server.process_tree().iter().filter_map(|process| proc::own_memory(process.pid)).sum()
}

/// Holds the server's memory against `most` bytes more than `before`, until it is at most that.
#[track_caller]
fn memory_falls_to(most: u64, before: u64, server: &Server) {
    let grown = || memory(server).saturating_sub(before);
    let mebibytes = |bytes: u64| bytes as f64 / MIB as f64;
    assert!(
        within(TIMEOUT, || grown() <= most),
        "{:.1} MiB more memory, where {:.1} are expected at most",
        mebibytes(grown()),
        mebibytes(most),
    );
}

/// Clients that read slowly; each has received the reply to `request`.
fn narrow_clients(server: &Server, count: usize, request: &[u8]) -> Vec<Conn> {
    let connect = |_| {
        let mut conn = Conn::connect_narrow(server.address());
        conn.send(request);
        conn.line();
        conn
    };
    (0..count).map(connect).collect()
}

pub(super) fn an_unread_listing_costs_a_snapshot(subject: &Subject) {
    let server = subject.start(&[]);
    // A snapshot of 0.5 MB, a page of 2.6 MB.
    let names = directory(server.root(), 4_000, 100);
    let options = b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n";
    let mut clients = narrow_clients(&server, subject.at_once(8), options);
    clients.iter_mut().for_each(|conn| while conn.line() != b"\r" {});
    let before = memory(&server);
    for conn in &mut clients {
        conn.send(http_get("/d"));
        assert_eq!(conn.line(), b"HTTP/1.1 200 OK\r");
    }
    memory_falls_to(clients.len() as u64 * MIB + SLACK, before, &server);
    for conn in &mut clients {
        conn.widen();
        has_names(conn, &names);
        stays_in_http(conn);
    }
    drop(clients);
    memory_falls_to(SLACK, before, &server);
}

/// Takes the rest of a page after its status line, which shows exactly these names.
#[track_caller]
fn has_names(conn: &mut Conn, names: &[String]) {
    let mut length = 0;
    loop {
        let line = String::from_utf8(conn.line()).expect("text");
        match line.trim_end().split_once(": ") {
            Some(("Content-Length", value)) => length = value.parse().expect("a length"),
            Some(_) => {}
            None => break,
        }
    }
    let page = String::from_utf8(conn.bytes(length)).expect("text");
    let rows = page.split("<tbody>").nth(1).expect("a table").split("</tbody>").next();
    let rows = rows.unwrap_or_default().split("<bdi>").skip(1);
    let shown = rows.map(|row| row.split("</bdi>").next().unwrap_or_default());
    assert!(shown.eq(names.iter()), "other names than those of the directory");
    assert!(page.ends_with("</html>\n"), "the page does not end");
}

fn stays_in_http(conn: &mut Conn) {
    conn.http(http_get("/surely-not-there")).expect(404);
}

pub(super) fn an_upload_that_stops_holds_no_buffer(subject: &Subject) {
    let server = subject.start(&[]);
    let mut clients: Vec<Conn> = (0..subject.at_once(60)).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(stays);
    let before = memory(&server);
    let part = vec![b'x'; 2 * MIB as usize];
    for (number, conn) in clients.iter_mut().enumerate() {
        conn.send(format!("PUT f{number} {}\n", part.len() + 5));
        conn.send(&part);
        assert!(oracles::until_read(conn), "the server does not read an upload");
    }
    memory_falls_to(clients.len() as u64 * MIB / 16 + SLACK, before, &server);
    for (number, conn) in clients.iter_mut().enumerate() {
        conn.send(b"12345");
        assert_eq!(conn.reply().ok(), b"");
        assert_eq!(server.root().read(format!("f{number}")).len(), part.len() + 5);
    }
}

/// With this room and this directory, four snapshots have room, and a fifth has none. A page is so large that no socket
/// takes all of it.
const ROOM: [&str; 2] = ["--listing-room", "2MiB"];
const HOLDERS: usize = 4;

fn large_directory() -> (Arc<Root>, Vec<String>) {
    let root = Arc::new(Root::new());
    root.write("small/file", "");
    let names = directory(&root, 2_000, 200);
    (root, names)
}

/// Clients that leave no room, since they have begun to read a page and do not go on; none where the clients of a
/// server have no process in common.
fn holders(server: &Server) -> Option<Vec<Conn>> {
    let mut conn = server.connect();
    stays(&mut conn);
    if !server.children().is_empty() {
        eprintln!("SKIPPED: the model has several processes, and each has room of its own");
        return None;
    }
    let page = |_| {
        let mut conn = Conn::connect_narrow(server.address());
        conn.send(http_get("/d"));
        assert_eq!(conn.line(), b"HTTP/1.1 200 OK\r");
        conn
    };
    Some((0..HOLDERS).map(page).collect())
}

pub(super) fn listings_wait_for_room_in_order(subject: &Subject) {
    let (root, names) = large_directory();
    let server = subject.start_on(&root, &[&ROOM[..], &["-vv"]].concat());
    let Some(mut holders) = holders(&server) else { return };
    let mut waiting = Vec::new();
    for number in 1..=4 {
        let mut conn = Conn::connect_narrow(server.address());
        conn.send(http_get("/d"));
        server.log_until("a listing that waits", |log| {
            log.matches("listing waits for room").count() == number
        });
        waiting.push(conn);
    }
    // Small listings need no room, and nothing else does.
    assert!(server.ask("LIST small").text().ends_with(" file\n"));
    assert_eq!(server.ask("GET small/file").ok(), b"");
    assert!(waiting.iter().all(|conn| conn.is_quiet_for(QUIET)));
    // The second leaves.
    waiting.remove(1).reset();
    holders.pop();
    assert_eq!(waiting[0].line(), b"HTTP/1.1 200 OK\r");
    assert!(waiting[1].is_quiet_for(QUIET) && waiting[2].is_quiet_for(QUIET));
    holders.pop();
    assert_eq!(waiting[1].line(), b"HTTP/1.1 200 OK\r");
    assert!(waiting[2].is_quiet_for(QUIET));
    // It is enough that a page has been read.
    waiting[0].widen();
    has_names(&mut waiting[0], &names);
    assert_eq!(waiting[2].line(), b"HTTP/1.1 200 OK\r");
}

pub(super) fn listings_without_room_are_busy(subject: &Subject) {
    let (root, _) = large_directory();
    let timeout = Duration::from_secs(3);
    let server = subject.start_on(&root, &[&ROOM[..], &["--transfer-timeout", "3"]].concat());
    let is_right = || {
        let mut last = Instant::now();
        let Some(mut holders) = holders(&server) else { return true };
        let (done, held_up) = (AtomicBool::new(false), AtomicBool::new(false));
        std::thread::scope(|scope| {
            // They read so slowly that they keep their room, and are not cut.
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    if last.elapsed() > timeout / 2 {
                        held_up.store(true, Ordering::Relaxed);
                    }
                    last = Instant::now();
                    holders.iter_mut().for_each(|conn| drop(conn.sip(1024)));
                    pause(Duration::from_millis(20));
                }
            });
            let _stop = OnDrop(|| done.store(true, Ordering::Relaxed));
            let (mut conn, mut browser) = (server.connect(), server.connect());
            conn.send("LIST d\n");
            browser.send(http_get("/d"));
            let (refusal, response) = (conn.reply(), browser.response(true));
            // Some may have been cut, since this process was slow to read.
            if held_up.load(Ordering::Relaxed) {
                return false;
            }
            assert_eq!(refusal.code(), "busy");
            stays(&mut conn);
            assert!(conn.ask("LIST small").text().ends_with(" file\n"));
            let response = response.expect(503);
            assert_eq!(response.field("retry-after"), Some("1"));
            assert_eq!(response.field("connection"), Some("keep-alive"));
            stays_in_http(&mut browser);
            true
        })
    };
    assert!((0..ATTEMPTS).any(|_| is_right()), "too slow to read slowly, {ATTEMPTS} times");
}
