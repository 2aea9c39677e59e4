//! Start, stop, command line and log.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::{as_user, http_get, noise, stays};
use crate::proc::Process;
use crate::root::pattern;
use crate::server::Exit;
use crate::subject::own_user;
use crate::wait::{TIMEOUT, eventually, within};
use crate::wire::Conn;
use crate::{Root, Server, Subject, oracles};

pub(super) fn it_says_where_it_listens(subject: &Subject) {
    let server = subject.start(&[]);
    let expected = format!("listening on {}\n", server.address());
    assert_eq!(server.output(), expected);
    assert_ne!(server.address().port(), 0);
    stays(&mut server.connect());
}

pub(super) fn the_root_is_the_current_folder(subject: &Subject) {
    let server = subject.launch().in_root().start().unwrap_or_else(|failure| panic!("{failure}"));
    server.root().write("a", "hello");
    assert_eq!(server.ask("GET a").text(), "hello");
}

pub(super) fn a_bad_command_line(subject: &Subject) {
    let server = subject.start(&[]);
    let taken = server.address().to_string();
    let none = server.root().join("none").display().to_string();
    server.root().write("file", "");
    let file = server.root().join("file").display().to_string();
    let lines: [&[&str]; 14] = [
        &["--nonsense"],
        &["nonsense"],
        &["--idle-timeout"],
        &["--idle-timeout", "soon"],
        &["--header-timeout", "-1"],
        &["--transfer-timeout", "1h"],
        &["--drain-timeout", ""],
        &["--max-connections", "many"],
        &["--max-connections", "-1"],
        &["--max-file-size", "1XB"],
        &["--max-file-size", "-1"],
        &["--sync=maybe"],
        &["--root", &none],
        &["--root", &file],
    ];
    let check = |what: String, failure: crate::Failure| {
        assert_eq!(failure.exit, Some(Exit::Code(2)), "{what}: {failure}");
        assert_eq!(failure.output, "", "{what}");
        assert_eq!(failure.log.lines().count(), 1, "{what}: {failure}");
    };
    for line in lines {
        let names_root = line[0] == "--root";
        let launch = if names_root { subject.launch().in_root() } else { subject.launch() };
        check(format!("{line:?}"), launch.args(line).refuse());
    }
    for address in [taken.as_str(), "nonsense", "127.0.0.1", "127.0.0.1:99999", "192.0.2.1:0"] {
        check(address.into(), subject.launch().address(address).refuse());
    }
    stays(&mut server.connect());
}

pub(super) fn every_option_at_once(subject: &Subject) {
    let server = subject.start(&[
        "--read-only",
        "--sync",
        "--copy",
        "--max-connections",
        "100",
        "--max-file-size",
        "1MiB",
        "--idle-timeout",
        "10",
        "--header-timeout",
        "10",
        "--transfer-timeout",
        "10",
        "--drain-timeout",
        "10",
        "-vv",
    ]);
    stays(&mut server.connect());
}

/// The server refuses new connections.
fn refuses(server: &Server) -> bool {
    let refused = |e: std::io::Error| e.kind() == std::io::ErrorKind::ConnectionRefused;
    TcpStream::connect(server.address()).err().is_some_and(refused)
}

pub(super) fn idle_connections_close(subject: &Subject) {
    for signal in [Signal::TERM, Signal::INT] {
        let server = subject.start(&[]);
        let mut idle: Vec<Conn> = (0..subject.at_once(12)).map(|_| server.connect()).collect();
        idle.iter_mut().for_each(stays);
        server.signal(signal);
        for mut conn in idle {
            conn.rest();
        }
        assert_eq!(server.wait_exit(), Exit::Code(0), "{signal:?}");
        assert!(refuses(&server));
        // It was asked to end: that is no reason to complain.
        assert_eq!(server.whole_log(), "");
    }
}

pub(super) fn without_clients_it_ends_at_once(subject: &Subject) {
    for signal in [Signal::TERM, Signal::INT] {
        let server = subject.start(&[]);
        server.signal(signal);
        assert_eq!(server.wait_exit(), Exit::Code(0), "{signal:?}");
        eventually("no process is left", || server.children().iter().all(|p| p.state == 'Z'));
    }
}

pub(super) fn a_download_is_finished(subject: &Subject) {
    for signal in [Signal::TERM, Signal::INT] {
        let server = subject.start(&["--drain-timeout", "30"]);
        let size = server.root().patterned("large", 16 << 20);
        let mut conn = Conn::connect_narrow(server.address());
        conn.send("GET large\n");
        assert_eq!(conn.ok_line(), size);
        server.signal(signal);
        eventually("new connections are refused", || refuses(&server));
        let tree = server.process_tree();
        assert_eq!(oracles::listener_holders(&tree, server.address()), [0; 0]);
        conn.widen();
        assert_eq!(conn.follow(&pattern(), 0, size), size);
        conn.closed();
        drop(conn);
        assert_eq!(server.wait_exit(), Exit::Code(0), "{signal:?}");
    }
}

pub(super) fn an_upload_is_finished(subject: &Subject) {
    for (request, answer) in [
        ("PUT f 10\n", "OK 0\n"),
        ("PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", "HTTP/1.1 201"),
    ] {
        let server = subject.start(&["--drain-timeout", "30"]);
        let mut conn = server.connect();
        conn.send(format!("{request}first"));
        assert!(oracles::until_read(&conn));
        server.signal(Signal::TERM);
        eventually("new connections are refused", || refuses(&server));
        assert!(conn.is_quiet_for(Duration::from_millis(100)), "an upload was given up");
        conn.send("-last");
        let said = String::from_utf8_lossy(&conn.rest()).into_owned();
        assert!(said.starts_with(answer), "{said:?}");
        drop(conn);
        assert_eq!(server.root().read("f"), b"first-last");
        assert_eq!(server.wait_exit(), Exit::Code(0));
    }
}

pub(super) fn a_signal_from_the_terminal(subject: &Subject) {
    // Ctrl-C reaches every process of the group, which must not count as a second signal.
    let server = subject.start(&["--drain-timeout", "30"]);
    let size = server.root().patterned("large", 16 << 20);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET large\n");
    assert_eq!(conn.ok_line(), size);
    server.signal_group(Signal::INT);
    eventually("new connections are refused", || refuses(&server));
    conn.widen();
    assert_eq!(conn.follow(&pattern(), 0, size), size);
    conn.closed();
    assert_eq!(server.wait_exit(), Exit::Code(0));
}

pub(super) fn draining_has_an_end(subject: &Subject) {
    let server = subject.start(&["--drain-timeout", "0.5"]);
    let size = server.root().patterned("large", 16 << 20);
    let mut download = Conn::connect_narrow(server.address());
    download.send("GET large\n");
    download.ok_line();
    let mut upload = None;
    if subject.at_once(2) == 2 {
        let mut conn = server.connect();
        conn.send("PUT f 10\nfirst");
        assert!(oracles::until_read(&conn));
        upload = Some(conn);
    }
    let start = Instant::now();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    let elapsed = start.elapsed();
    assert!(elapsed >= Duration::from_millis(470), "gave up after {elapsed:?}");
    server.log_until("a warning", |log| log.contains('\n'));
    let gone = || server.children().iter().all(|p| p.state == 'Z');
    assert!(within(TIMEOUT, gone), "left behind: {:?}", server.children());
    download.widen();
    assert!(download.drain() < size);
    drop(upload);
    eventually("nothing is left of the upload", || server.root().names() == ["large"]);
}

pub(super) fn a_second_signal(subject: &Subject) {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::INT, Signal::INT),
        (Signal::TERM, Signal::INT),
        (Signal::INT, Signal::TERM),
    ] {
        let server = subject.start(&["--drain-timeout", "60"]);
        server.root().sparse("large", 64 << 20);
        let mut conn = Conn::connect_narrow(server.address());
        conn.send("GET large\n");
        conn.ok_line();
        server.signal(first);
        eventually("new connections are refused", || refuses(&server));
        server.signal(second);
        let code = 128 + second.as_raw();
        assert_eq!(server.wait_exit(), Exit::Code(code), "{first:?}, then {second:?}");
        let gone = || server.children().iter().all(|p| p.state == 'Z');
        assert!(within(TIMEOUT, gone), "left behind: {:?}", server.children());
    }
}

pub(super) fn the_port_is_free_again(subject: &Subject) {
    let mut server = subject.start(&[]);
    let address = server.address();
    for round in 0..6 {
        // Connections in every state, and no orderly end for half the servers.
        let mut idle = server.connect();
        stays(&mut idle);
        if round % 2 == 0 {
            drop(idle);
            let mut busy = server.connect();
            busy.send("QUIT\nPUT f 10\n");
            busy.drain();
            server.kill();
        } else {
            server.signal(Signal::TERM);
            server.wait_exit();
        }
        drop(server);
        let launch = subject.launch().address(address);
        server = launch.start().unwrap_or_else(|failure| panic!("round {round}: {failure}"));
        assert_eq!(server.address(), address);
    }
}

pub(super) fn port_is_free_after_parent_is_killed(subject: &Subject) {
    let mut server = subject.start(&[]);
    let address = server.address();
    for round in 0..20 {
        // Children are being forked: beforehand, or for these.
        let clients: Vec<_> = (0..round % 4).map(|_| Conn::try_connect(address)).collect();
        server.signal(Signal::KILL);
        assert_eq!(server.wait_exit(), Exit::Signal(Signal::KILL.as_raw()));
        let next = subject.launch().address(address).start();
        server = next.unwrap_or_else(|failure| panic!("round {round}: {failure}"));
        drop(clients);
    }
    stays(&mut server.connect());
}

pub(super) fn no_thread_at_start(subject: &Subject) {
    const MOST: u32 = 100;
    let (user, root) = (own_user(), Arc::new(Root::new()));
    let launch = as_user(subject, &root, user);
    for limit in 1..=MOST {
        let server = launch.clone().through(["prlimit".into(), format!("--nproc={limit}:{limit}")]);
        let server = server.start().unwrap_or_else(|failure| panic!("{failure}"));
        let mut reply = None;
        eventually("the server ends, warns or replies", || {
            let ended = server.exit_within(Duration::ZERO).is_some();
            reply = if ended { None } else { first_reply(&server) };
            ended || reply.is_some() || !server.log().is_empty()
        });
        server.signal(Signal::TERM);
        let (exit, log) = (server.wait_exit(), server.whole_log());
        assert!(!log.contains("panicked"), "limit {limit}: {log}");
        // It has ended before the signal, or in order.
        let refused = log.lines().count() == 1 && log.contains("cannot start");
        assert!(
            exit == Exit::Code(0) || (exit == Exit::Code(1) && refused),
            "limit {limit}: {exit:?}: {log}"
        );
        let gone = || server.children().iter().all(Process::has_ended);
        assert!(within(TIMEOUT, gone), "left behind: {:?}", server.children());
        if reply.is_some_and(|reply| reply.starts_with(b"ERR not-found")) {
            assert!(limit > 1, "the system has no limit");
            return;
        }
    }
    panic!("with {MOST} threads no client is served");
}

/// What a client is told by a server that may end, or never reply.
fn first_reply(server: &Server) -> Option<Vec<u8>> {
    let mut socket = TcpStream::connect(server.address()).ok()?;
    socket.set_read_timeout(Some(Duration::from_millis(200))).ok()?;
    socket.write_all(b"HASH none\n").ok()?;
    let mut reply = [0; 100];
    let length = socket.read(&mut reply).ok()?;
    (length > 0).then(|| reply[..length].to_vec())
}

pub(super) fn the_log_is_quiet(subject: &Subject) {
    let server = subject.start(&[]);
    server.root().write("a", "hello");
    let mut conn = server.connect();
    conn.send("GET a\nHASH a\nPUT f 1\nxLIST\nQUIT\n");
    conn.rest();
    drop(server.connect());
    server.connect().http(http_get("/a")).expect(200);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    assert_eq!(server.whole_log(), "");
    assert_eq!(subject.without_report(&server.output()).lines().count(), 1);
}

pub(super) fn the_log_tells_of_connections(subject: &Subject) {
    let server = subject.start(&["-v"]);
    let mut conn = server.connect();
    stays(&mut conn);
    let port = conn.local().port().to_string();
    server.log_until("the client's port", |log| log.contains(&port));
}

pub(super) fn the_log_keeps_one_line_per_event(subject: &Subject) {
    let lines = |requests: [&[u8]; 3]| -> usize {
        let log = log_of(subject, |server| {
            let mut conn = server.connect();
            for request in requests {
                conn.ask(request).code();
            }
            conn.ask("QUIT").ok();
            conn.closed();
        });
        log.lines().count()
    };
    let plain = lines([b"GET aaaaa", b"NONSENSE", b"HASH bbb"]);
    assert!(plain >= 3, "{plain} lines for 3 requests");
    for hostile in [
        [&b"GET a%0AFORGED"[..], b"FORGED\rFORGED", b"HASH \x1b[2J%0D%0AFORGED"],
        [b"GET \xff\xfe\x80", b"\xff\x00\x07", "HASH \u{9b}31m\u{85}\u{2028}".as_bytes()],
    ] {
        assert_eq!(lines(hostile), plain);
    }
    log_of(subject, |server| {
        server.connect().http(http_get("/x%0AFORGED%1B[2J"));
        server.connect().http(http_get("/x%C2%9B%E2%80%A8%FF"));
        for hostile in [
            &b"GET /\x01\xff HTTP/1.1\r\nHost: \x1b[2J\r\n\r\n"[..],
            b"GET / HTTP/1.1\r\n\x1b\r\n\r\n",
        ] {
            let mut http = server.connect();
            http.send(hostile);
            http.finish();
            http.drain();
        }
    });
}

/// What a server that tells everything has written when it has ended, which must be clean lines.
fn log_of(subject: &Subject, conversation: impl FnOnce(&Server)) -> String {
    let server = subject.start(&["-vv"]);
    conversation(&server);
    server.signal(Signal::TERM);
    server.wait_exit();
    let log = server.whole_log();
    let clean = |line: &str| !line.contains(char::is_control) && !line.starts_with("FORGED");
    let dirty = log.lines().find(|line| !clean(line));
    assert_eq!(dirty, None, "in the log");
    log
}

pub(super) fn syncing(subject: &Subject) {
    let server = subject.start(&["--sync"]);
    server.root().mkdir("d");
    let body = noise(200_000);
    let mut conn = server.connect();
    for path in ["f", "d/f", "f"] {
        assert_eq!(conn.put(path, &body).ok(), b"");
    }
    assert!(server.root().read("d/f") == body);
    assert_eq!(server.root().names(), ["d", "d/f", "f"]);
}
