//! Clients that leave, stall or flood while the kernel has operations of theirs.

use harness::wire::Conn;
use harness::{Server, Subject, oracles, proc};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A server with further options; none, loudly, where the kernel refuses a ring.
fn start(options: &[&str]) -> Option<Server> {
    if let Err(error) = uring_server::probe() {
        eprintln!("SKIPPED: {error}");
        return None;
    }
    Some(Subject::new(env!("CARGO_BIN_EXE_uring_server")).start(options))
}

fn descriptors(server: &Server) -> BTreeMap<String, usize> {
    oracles::descriptor_kinds(&server.process_tree())
}

/// Without what it shares with the servers of the tests beside this one.
fn own_memory(server: &Server) -> u64 {
    proc::own_memory(server.pid()).expect("a running server")
}

/// What an idle server with its first client behind it holds.
fn at_rest(server: &Server) -> BTreeMap<String, usize> {
    server.ask("LIST").ok();
    let mut last = BTreeMap::new();
    harness::wait::eventually("the server comes to rest", || {
        let now = descriptors(server);
        std::mem::replace(&mut last, now.clone()) == now
    });
    last
}

#[track_caller]
fn back_at(server: &Server, rest: &BTreeMap<String, usize>) {
    let had = |kind: &String| rest.get(kind).copied().unwrap_or(0);
    let back = || descriptors(server).iter().all(|(kind, count)| *count <= had(kind));
    assert!(
        harness::wait::within(harness::wait::TIMEOUT, back),
        "{:?} were {rest:?}",
        descriptors(server)
    );
}

/// A client that resets the connection has a send under way, or a read with a send behind it.
#[test]
fn a_thousand_resets_in_mid_transfer_leave_nothing() {
    let Some(server) = start(&["--idle-timeout", "30"]) else { return };
    server.root().sparse("large", 64 << 20);
    let rest = at_rest(&server);
    let rounds = |count: usize| {
        for round in 0..count {
            let mut conn = if round % 3 == 0 {
                Conn::connect_narrow(server.address())
            } else {
                server.connect()
            };
            conn.send("GET large\n");
            conn.bytes([1, 10, 70_000][round % 3]);
            if round % 4 == 0 {
                drop(conn);
            } else {
                conn.reset();
            }
        }
    };
    rounds(50);
    back_at(&server, &rest);
    let before = own_memory(&server);
    rounds(950);
    back_at(&server, &rest);
    let grown = own_memory(&server).saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes more memory after 950 clients");
    server.ask("LIST").ok();
}

/// The same for receives, into a buffer of the client's own and into a shared one.
#[test]
fn resets_in_mid_upload_leave_nothing() {
    let Some(server) = start(&[]) else { return };
    let rest = at_rest(&server);
    for round in 0..200 {
        let mut conn = server.connect();
        let (announced, sent) = [(64 << 20, 300_000), (64 << 20, 0), (5, 3)][round % 3];
        conn.send([format!("PUT f {announced}\n").as_bytes(), &vec![b'x'; sent]].concat());
        if round % 2 == 0 {
            conn.reset();
        }
    }
    server.ask("LIST").ok(); // whoever came before has been taken in, too
    back_at(&server, &rest);
    assert_eq!(server.root().names(), [""; 0]);
}

/// A send that is stuck with the kernel ends with its session.
#[test]
fn a_send_that_is_stuck_has_a_deadline() {
    let Some(server) = start(&["--transfer-timeout", "0.5", "--idle-timeout", "30"]) else {
        return;
    };
    server.root().sparse("large", 64 << 20);
    server.root().write("small", [b'x'; 4000]);
    let rest = at_rest(&server);
    // A file, and a great many small replies, which are gathered in another way.
    for requests in ["GET large\n".into(), "GET small\n".repeat(20_000)] {
        let mut conn = Conn::connect_narrow(server.address());
        let start = Instant::now();
        // The server stops reading when it cannot send, so the last requests may not go out.
        let _ = conn.try_send(&requests);
        conn.ok_line(); // it was taken in: from here on it can be missed
        back_at(&server, &rest);
        let elapsed = start.elapsed();
        assert!(elapsed >= Duration::from_millis(470), "cut after {elapsed:?}");
        drop(conn);
    }
    server.ask("LIST").ok();
}

/// What arrives for all clients comes into a few hundred shared buffers. Clients that do not read their
/// replies, and so have requests unread, must not keep them from the others.
#[test]
fn clients_that_stall_keep_no_shared_buffer() {
    let Some(server) = start(&[]) else { return };
    server.root().sparse("large", 16 << 20);
    let mut stalled: Vec<Conn> = Vec::new();
    for _ in 0..400 {
        let mut conn = Conn::connect_narrow(server.address());
        conn.send("GET large\n".repeat(300));
        conn.ok_line();
        stalled.push(conn);
    }
    for _ in 0..50 {
        server.ask("LIST").ok();
    }
    let mut burst: Vec<Conn> = (0..400).map(|_| server.connect()).collect();
    // More speak at once than there are buffers.
    burst.iter_mut().for_each(|conn| conn.send("LIST\n"));
    for conn in &mut burst {
        conn.reply().ok();
    }
}

/// A stream of receives goes on while the session is busy. It is ended before it fills the memory, and begun again:
/// nothing is lost.
#[test]
fn a_flood_is_not_taken_in() {
    let Some(server) = start(&["--transfer-timeout", "60"]) else { return };
    let size = server.root().patterned("large", 32 << 20);
    let mut conn = Conn::connect_narrow(server.address());
    assert_eq!(conn.ask("HASH none").code(), "not-found"); // it stays: from here on there is a stream
    conn.send("GET large\n");
    assert_eq!(conn.ok_line(), size);
    let before = own_memory(&server);
    // Far more than the buffers of two sockets hold.
    let (request, requests) = (format!("HASH {}none\n", "none/".repeat(200)), 16_000);
    let (mut sender, mut receiver) = (conn.sender(), conn);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            sender.send(request.repeat(requests));
            sender.finish();
        });
        // Other clients are served meanwhile, each in a turn of the loop in which the flood could go on.
        for _ in 0..200 {
            server.ask("LIST").ok();
        }
        let grown = own_memory(&server).saturating_sub(before);
        assert!(grown < 4 << 20, "{grown} bytes more memory for a client that does not read");
        receiver.widen();
        assert_eq!(receiver.follow(&harness::root::pattern(), 0, size), size);
        for _ in 0..requests {
            assert_eq!(receiver.reply().code(), "not-found");
        }
        receiver.closed();
    });
}

/// A stream brings small pieces. Who uploads much is better served by a buffer of its own, for which the stream is
/// ended first.
#[test]
fn an_upload_of_a_client_that_stays() {
    let Some(server) = start(&[]) else { return };
    let content = harness::root::pattern().repeat(40);
    let mut conn = server.connect();
    for _ in 0..20 {
        conn.ask("LIST").ok();
        conn.put("f", &content).ok();
        assert_eq!(conn.ask("GET f").ok(), content);
    }
}

/// What is not in memory is read by the ring, piece by piece. (Where the file system keeps all in memory this
/// tests nothing new.)
#[test]
fn a_file_that_is_not_in_memory_arrives_whole() {
    let Some(server) = start(&[]) else { return };
    for size in [1, 128 << 10, 5 << 20] {
        let size = server.root().patterned("f", size);
        let file = std::fs::File::open(server.root().join("f")).expect("the file");
        file.sync_all().expect("flushed, so that it can be forgotten");
        for offset in [0, 1, 5000] {
            rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
            let mut conn = server.connect();
            conn.send(format!("GET f {offset}\n"));
            assert_eq!(conn.ok_line(), size - offset);
            assert_eq!(conn.follow(&harness::root::pattern(), offset, size), size);
            server.ask("LIST").ok();
        }
    }
}

/// A file that shrinks while it is sent, and of which nothing is in memory then: it is read by the ring, and the
/// read falls short wherever its end has come to lie.
#[test]
fn a_file_that_ends_early_is_a_short_body() {
    let Some(server) = start(&[]) else { return };
    let pattern = harness::root::pattern();
    for left in (0..30).map(|step| step * 20_000) {
        let size = server.root().patterned("f", 4 << 20);
        let path = server.root().join("f");
        let file = std::fs::OpenOptions::new().write(true).open(path).expect("the file");
        file.sync_all().expect("flushed, so that it can be forgotten");
        let mut conn = Conn::connect_narrow(server.address());
        conn.send("GET f\n");
        assert_eq!(conn.ok_line(), size);
        file.set_len(left).expect("a shorter file");
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).expect("advice");
        conn.widen();
        let (body, was_reset) = conn.to_the_end();
        assert!(was_reset, "an orderly end after a file of {left} bytes");
        // sendfile passes on pages of the file itself, in which what is cut off is cleared. Bytes from
        // elsewhere are neither.
        let strange = body.iter().zip(pattern.iter().cycle()).position(|(a, b)| a != b && *a != 0);
        assert_eq!(strange, None, "bytes of something else after a file of {left} bytes");
        // The reset may drop bytes that the server's socket still holds, so there is no lower bound.
        assert!(body.len() < size, "padding after a file of {left} bytes");
    }
}
