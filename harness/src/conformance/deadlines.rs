//! Idle, header and transfer deadlines: each one falls, none of them falls early, and none of them
//! falls on somebody else's business.
//!
//! Mostly lower bounds are asserted: how late a deadline falls on a loaded machine says nothing. Where an upper bound is the
//! rule, one of several attempts has to keep it.

use std::time::{Duration, Instant};

use super::{ATTEMPTS, begun, http_get, noise, stays};
use crate::root::pattern;
use crate::wait::{eventually, pause};
use crate::wire::{Conn, show};
use crate::{Server, Subject, oracles, sockets};
use rustix::process::Signal;

/// Clocks differ in their grain; a deadline may look this much too early.
const GRAIN: Duration = Duration::from_millis(30);

#[track_caller]
fn timed_out(conn: &mut Conn, since: Instant, timeout: Duration) {
    let reply = conn.reply();
    let elapsed = since.elapsed();
    assert!(reply.is("timeout"), "{reply:?}");
    assert!(elapsed + GRAIN >= timeout, "{timeout:?} fell after {elapsed:?}");
    conn.closed();
}

pub(super) fn idle(subject: &Subject) {
    let server = subject.start(&["--idle-timeout", "0.4"]);
    server.root().write("a", "hello");
    let timeout = Duration::from_millis(400);
    // From the start, and between two requests.
    let start = Instant::now();
    timed_out(&mut server.connect(), start, timeout);
    let between = || {
        let (mut conn, start) = begun(|| server.connect(), "LIST\n", timeout);
        conn.reply().ok();
        let quiet = conn.is_quiet_for(timeout / 2);
        let asked = Instant::now();
        let sent = conn.try_send("GET a\n").is_ok();
        let reply = conn.reply();
        if start.elapsed() + GRAIN >= timeout {
            return false;
        }
        assert!(quiet && sent && reply.ok() == b"hello");
        timed_out(&mut conn, asked, timeout);
        true
    };
    // Where this process or the server is held up for as long as the deadline, it falls rightly.
    assert!((0..ATTEMPTS).any(|_| between()), "answered too late, {ATTEMPTS} times");
    let (mut conn, _) = begun(|| server.connect(), "LIST\n", timeout);
    conn.reply().ok();
}

pub(super) fn whole_seconds(subject: &Subject) {
    let options = ["--idle-timeout", "1", "--header-timeout", "1", "--transfer-timeout", "1"];
    let server = subject.start(&[&options[..], &["--drain-timeout", "1"]].concat());
    let start = Instant::now();
    timed_out(&mut server.connect(), start, Duration::from_secs(1));
}

pub(super) fn header(subject: &Subject) {
    let server = subject.start(&["--header-timeout", "0.4"]);
    let timeout = Duration::from_millis(400);
    let start = Instant::now();
    let mut conn = server.connect();
    conn.send("LIS");
    timed_out(&mut conn, start, timeout);
    // The beginning of a second request may come along with the first.
    let mut conn = server.connect();
    let start = Instant::now();
    conn.send("LIST\nLI");
    conn.reply().ok();
    timed_out(&mut conn, start, timeout);
}

pub(super) fn header_of_a_dribbling_client(subject: &Subject) {
    let server = subject.start(&["--header-timeout", "0.8"]);
    for before in ["", "LIST\n"] {
        let mut conn = server.connect();
        conn.send(before);
        if !before.is_empty() {
            conn.reply().ok();
        }
        let start = Instant::now();
        // Every byte comes well within the deadline, but it counts from the first.
        while conn.try_send("x").is_ok() && conn.is_quiet_for(Duration::from_millis(100)) {
            assert!(start.elapsed() < Duration::from_secs(20), "a dribbling client is not cut");
        }
        timed_out(&mut conn, start, Duration::from_millis(800));
    }
}

pub(super) fn upload(subject: &Subject) {
    let server = subject.start(&["--transfer-timeout", "0.4"]);
    server.root().write("old", "old");
    let before = server.root().names();
    for body in ["", "x"] {
        for path in ["old", "new", "none/x"] {
            let mut conn = server.connect();
            let start = Instant::now();
            conn.send(format!("PUT {path} 10\n{body}"));
            if path == "none/x" {
                // Refused, but its body is still awaited: which of the two it says is its affair.
                conn.rest();
            } else {
                timed_out(&mut conn, start, Duration::from_millis(400));
            }
            assert_eq!(server.root().names(), before);
        }
    }
    assert_eq!(server.root().read("old"), b"old");
}

pub(super) fn upload_that_dribbles_on(subject: &Subject) {
    // It moves a byte all the time, so nothing is wrong with it, however long it takes.
    let options = ["--transfer-timeout", "1.5", "--idle-timeout", "0.5", "--header-timeout", "0.5"];
    let server = subject.start(&options);
    let (idle, transfer) = (Duration::from_millis(500), Duration::from_millis(1500));
    let goes_on = || {
        let (mut conn, mut moved) = begun(|| server.connect(), "PUT f 11\n", idle);
        let mut longest = Duration::ZERO;
        for byte in b"dribbling.." {
            let quiet = conn.is_quiet_for(Duration::from_millis(200));
            let sends = Instant::now();
            let sent = conn.try_send([*byte]).is_ok() && oracles::until_read(&conn);
            longest = longest.max(moved.elapsed());
            // This process or the server was held up, and the deadline may have fallen rightly.
            if longest + GRAIN >= transfer {
                return false;
            }
            assert!(quiet && sent, "cut after {longest:?} at most: {:?}", conn.reply());
            moved = sends;
        }
        assert_eq!(conn.reply().ok(), b"");
        true
    };
    assert!((0..ATTEMPTS).any(|_| goes_on()), "too slow to dribble, {ATTEMPTS} times");
    assert_eq!(server.root().read("f"), b"dribbling..");
}

pub(super) fn download(subject: &Subject) {
    let server = subject.start(&["--transfer-timeout", "0.5"]);
    let size = server.root().patterned("f", 24 << 20);
    for http in [false, true] {
        let mut conn = Conn::connect_narrow(server.address());
        let start = Instant::now();
        conn.send(if http { http_get("/f") } else { b"GET f\n".to_vec() });
        let held = || {
            !oracles::connection_holders(&server.process_tree(), conn.peer(), conn.local())
                .is_empty()
        };
        // It may also be over already, if this process was held up meanwhile.
        eventually("the transfer begins", || {
            oracles::unread(conn.peer(), conn.local()).is_none_or(|unread| unread == 0 && held())
        });
        eventually("a reader that has stalled is cut", || !held());
        let elapsed = start.elapsed();
        assert!(elapsed + GRAIN >= Duration::from_millis(500), "cut after {elapsed:?}");
        conn.widen();
        assert!(conn.drain() < size, "{size} bytes in spite of the deadline");
    }
}

/// Whether a process of the server holds its end of the connection.
fn is_held(server: &Server, conn: &Conn) -> bool {
    !oracles::connection_holders(&server.process_tree(), conn.peer(), conn.local()).is_empty()
}

/// How many bytes the client's kernel has acknowledged.
fn arrived(conn: &Conn) -> u64 {
    let end = sockets::connection(conn.local(), conn.peer());
    end.and_then(|end| end.traffic).map_or(0, |traffic| traffic.received)
}

pub(super) fn stalled_download_is_cut_in_time(subject: &Subject) {
    let timeout = Duration::from_secs(1);
    let server = subject.start(&["--transfer-timeout", "1"]);
    server.root().sparse("f", 1 << 30);
    for request in [b"GET f\n".to_vec(), http_get("/f")] {
        let in_time = || {
            let mut conn = Conn::connect_narrow(server.address());
            conn.send(&request);
            // The last bytes arrived between the look that did not see them yet and the one that did.
            let (mut before, mut earliest, mut latest) = (0, Instant::now(), Instant::now());
            let mut last_look = Instant::now();
            eventually("a reader that has stalled is cut", || {
                let look = Instant::now();
                let (held, now) = (is_held(&server, &conn), arrived(&conn));
                if held && now != before {
                    (before, earliest, latest) = (now, last_look, Instant::now());
                }
                last_look = look;
                before > 0 && !held
            });
            let elapsed = earliest.elapsed();
            assert!(elapsed + GRAIN >= timeout, "cut after {elapsed:?}");
            latest.elapsed() <= timeout.mul_f32(1.2)
        };
        assert!((0..ATTEMPTS).any(|_| in_time()), "cut too late, {ATTEMPTS} times");
    }
}

pub(super) fn slow_reader_with_progress_is_served(subject: &Subject) {
    let (timeout, interval) = (Duration::from_secs(1), Duration::from_millis(200));
    let server = subject.start(&["--transfer-timeout", "1"]);
    server.root().sparse("f", 1 << 30);
    for request in [b"GET f\n".to_vec(), http_get("/f")] {
        let is_served = || {
            // The kernel acknowledges when most of the buffer is free again: so it must be small.
            let mut conn = Conn::connect_with_buffer(server.address(), 2048);
            conn.send(&request);
            let start = Instant::now();
            let (mut before, mut since, mut longest, mut reads) = (0, start, Duration::ZERO, 0);
            while start.elapsed() < timeout * 5 / 2 {
                pause(Duration::from_millis(10));
                if start.elapsed() >= interval * (reads + 1) {
                    conn.sip(1024).expect("something to read");
                    reads += 1;
                }
                let now = arrived(&conn);
                longest = longest.max(since.elapsed());
                if now != before {
                    (before, since) = (now, Instant::now());
                }
            }
            let held = is_held(&server, &conn);
            // An acknowledgement may be delayed by 0.2 s.
            assert!(held || longest >= timeout * 3 / 4, "cut, with pauses of {longest:?}");
            held
        };
        // Where this process or the server was held up, the deadline may have fallen rightly.
        assert!((0..ATTEMPTS).any(|_| is_served()), "too slow to be slow, {ATTEMPTS} times");
    }
}

/// What each client sends before the server stops and while it does, and how the reply begins.
const AROUND_A_PAUSE: [(&str, &str, &str); 8] = [
    ("", "GET a\n", "OK 5\nhello"),
    ("GE", "T a\n", "OK 5\nhello"),
    ("PUT b 4\nab", "cd", "OK 0\n"),
    ("GET /a HTTP/1.1\r\nHost", ": h\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 "),
    ("", "", "ERR timeout "),
    ("GE", "T ", "ERR timeout "),
    ("PUT c 4\nab", "", "ERR timeout "),
    ("GET /a HTTP/1.1\r\nHost", ": h\r\n", "HTTP/1.1 408 "),
];

pub(super) fn pause_of_server_refuses_no_request(subject: &Subject) {
    let timeout = Duration::from_millis(600);
    let options = ["--header-timeout", "0.6", "--transfer-timeout", "0.6", "--idle-timeout", "0.6"];
    let server = subject.start(&options);
    server.root().write("a", "hello");
    for clients in AROUND_A_PAUSE.chunks(subject.at_once(AROUND_A_PAUSE.len())) {
        let is_right = || {
            let start = Instant::now();
            let begin = |&(first, _, _): &(&str, &str, &str)| {
                // An idle client has had a reply: a server may not have accepted one that has sent nothing.
                let request = if first.is_empty() { "GET a\n" } else { first };
                let (mut conn, _) = begun(|| server.connect(), request, timeout);
                if first.is_empty() {
                    assert_eq!(conn.bytes(10), b"OK 5\nhello");
                }
                conn
            };
            let mut conns: Vec<Conn> = clients.iter().map(begin).collect();
            server.signal_group(Signal::STOP);
            eventually("the server stops", || {
                server.process_tree().iter().all(|process| matches!(process.state, 'T' | 'Z'))
            });
            let sent = conns
                .iter_mut()
                .zip(clients)
                .all(|(conn, (_, rest, _))| conn.try_send(rest).is_ok());
            let too_late = start.elapsed() >= timeout;
            // Until the deadlines of all have passed.
            pause(timeout + GRAIN);
            server.signal_group(Signal::CONT);
            let goes_on = Instant::now();
            if too_late {
                return false;
            }
            assert!(sent);
            for (conn, (first, rest, reply)) in conns.iter_mut().zip(clients) {
                let got = conn.bytes(reply.len());
                assert!(got == reply.as_bytes(), "{first:?} {rest:?}: {}", show(&got));
            }
            // No deadline has moved.
            goes_on.elapsed() < timeout / 2
        };
        assert!((0..ATTEMPTS).any(|_| is_right()), "too late, {ATTEMPTS} times");
    }
    assert!(!server.root().names().contains(&"c".to_string()));
}

pub(super) fn download_that_goes_on(subject: &Subject) {
    let deadline = Duration::from_secs(3);
    let options = ["--transfer-timeout", "3", "--idle-timeout", "0.5", "--header-timeout", "0.5"];
    let server = subject.start(&options);
    let size = server.root().patterned("f", 24 << 20);
    let block = pattern();
    let goes_on = || {
        let (mut conn, start) = begun(|| server.connect(), "GET f\n", Duration::from_millis(500));
        assert_eq!(conn.ok_line(), size);
        let (mut position, mut read, mut longest) = (0, start, Duration::ZERO);
        // Far too slow to empty a send buffer within the deadline, but never silent for long, and longer
        // under way than any of the deadlines in all.
        while start.elapsed() < deadline * 2 {
            pause(Duration::from_millis(250));
            position = conn.follow(&block, position, position + (64 << 10));
            longest = longest.max(read.elapsed());
            read = Instant::now();
        }
        let end = conn.follow(&block, position, size);
        // A server sees progress at every second piece or so. Where this process was held up for long, it saw none.
        let held_up = longest >= deadline / 3;
        assert!(end == size || held_up, "cut after {end} bytes, no pause above {longest:?}");
        end == size
    };
    assert!((0..ATTEMPTS).any(|_| goes_on()), "too slow to be slow, {ATTEMPTS} times");
}

pub(super) fn deadlines_keep_to_their_business(subject: &Subject) {
    let server = subject.start(&["--header-timeout", "0.3", "--transfer-timeout", "0.3"]);
    let mut conn = server.connect();
    // An idle client is not late with a header or a transfer.
    assert!(conn.is_quiet_for(Duration::from_millis(700)));
    stays(&mut conn);
    assert!(conn.is_quiet_for(Duration::from_millis(700)));
    stays(&mut conn);
    drop(conn);
    let server = subject.start(&["--idle-timeout", "0.3", "--header-timeout", "0.3"]);
    let size = server.root().patterned("f", 12 << 20);
    // Nor is a client idle whose transfer pauses.
    let idle = Duration::from_millis(300);
    let (mut conn, _) = begun(|| Conn::connect_narrow(server.address()), "GET f\n", idle);
    assert_eq!(conn.ok_line(), size);
    pause(Duration::from_millis(700));
    conn.widen();
    assert_eq!(conn.follow(&pattern(), 0, size), size);
    drop(conn);
    let (mut conn, _) = begun(|| server.connect(), "PUT f 4\nab", idle);
    assert!(conn.is_quiet_for(Duration::from_millis(700)));
    conn.send("cd");
    assert_eq!(conn.reply().ok(), b"");
}

pub(super) fn http(subject: &Subject) {
    let options = ["--header-timeout", "0.4", "--transfer-timeout", "0.4", "--idle-timeout", "0.4"];
    let server = subject.start(&options);
    let timeout = Duration::from_millis(400);
    // The rest of a head, the rest of a body.
    let body =
        [&b"PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n"[..], &noise(3)].concat();
    for request in [&b"GET / HTTP/1.1\r\nHo"[..], b"GET / HTTP/1.1\r\n", &body] {
        let (mut conn, start) = begun(|| server.connect(), request, timeout);
        conn.response(true).expect(408);
        let elapsed = start.elapsed();
        assert!(elapsed + GRAIN >= timeout, "{elapsed:?}");
        conn.closed();
    }
    // Between two requests.
    let (mut conn, start) = begun(|| server.connect(), http_get("/"), timeout);
    conn.response(true).expect(200);
    conn.rest();
    let elapsed = start.elapsed();
    assert!(elapsed + GRAIN >= timeout, "{elapsed:?}");
    assert_eq!(server.root().names(), [""; 0]);
}

pub(super) fn http_head_of_a_dribbling_client(subject: &Subject) {
    let server = subject.start(&["--header-timeout", "0.8"]);
    let mut conn = server.connect();
    conn.send("GET / HTTP/1.1\r\nHost: h\r\nX: ");
    let start = Instant::now();
    while conn.try_send("x").is_ok() && conn.is_quiet_for(Duration::from_millis(100)) {
        assert!(start.elapsed() < Duration::from_secs(20), "a dribbling client is not cut");
    }
    conn.response(true).expect(408);
    conn.closed();
}
