//! A server without room for a client refuses it in the protocol of the client's first line.

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use super::limits::{admitted, comes_to_rest};
use super::{noise, said_to_the_end, stays};
use crate::wait::eventually;
use crate::wire::Conn;
use crate::{Server, Subject, oracles};

/// How long a server waits for the first line of a client that it refuses.
const FIRST_LINE_WAIT: Duration = Duration::from_millis(50);

/// A server with room for one client, and that client; nothing where excess clients wait in the backlog.
fn full(subject: &Subject) -> Option<(Server, Conn)> {
    if subject.do_excess_clients_wait() {
        return None;
    }
    let server = subject.start(&["--max-connections", "1"]);
    let inside = admitted(&server).expect("room for one");
    Some((server, inside))
}

/// A new connection over which `pieces` were sent, each a read of its own on the other side, while the server still waited for
/// a first line, and then `rest`. Where this process or the server was held up for as long as that, it is tried again.
#[track_caller]
fn sent_in_time(server: &Server, pieces: &[&[u8]], rest: &[u8]) -> Conn {
    let mut sent = None;
    eventually("a client sends before the server stops waiting", || {
        let start = Instant::now();
        let mut conn = server.connect();
        let sends = pieces.iter().enumerate().all(|(at, piece)| {
            (at == 0 || oracles::until_read(&conn)) && conn.try_send(piece).is_ok()
        });
        let in_time = sends && start.elapsed() < FIRST_LINE_WAIT;
        sent = (in_time && conn.try_send(rest).is_ok()).then_some(conn);
        sent.is_some()
    });
    sent.expect("a connection")
}

#[track_caller]
fn expect_503(mut conn: Conn, has_body: bool) {
    let response = conn.response(has_body).expect(503);
    assert_eq!(response.field("retry-after"), Some("1"));
    assert_eq!(response.field("connection"), Some("close"));
    assert!(response.field("content-type").is_some_and(|media| media.starts_with("text/plain")));
    assert!(response.field("date").is_some());
    let length: usize =
        response.field("content-length").expect("a length").parse().expect("digits");
    assert_eq!(response.body.len(), if has_body { length } else { 0 });
    assert!(!has_body || response.body.starts_with(b"busy: "));
    conn.closed();
}

#[track_caller]
fn expect_line(mut conn: Conn) {
    assert_eq!(conn.reply().code(), "busy");
    conn.closed();
}

pub(super) fn an_http_client_gets_503(subject: &Subject) {
    let Some((server, mut inside)) = full(subject) else { return };
    let requests: [&[u8]; 7] = [
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"GET /x HTTP/1.0\r\n\r\n",
        b"PUT /f HTTP/1.1\r\nHost: h\r\nContent-Length: 2097152\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n",
        b"get /a b HTTP/1.9\n",
        b"\r\nPOST / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
    ];
    for request in requests {
        let has_body = !request.starts_with(b"HEAD");
        expect_503(sent_in_time(&server, &[request], b""), has_body);
        // The client talks on and listens only then.
        expect_503(sent_in_time(&server, &[request], &noise(2 << 20)), has_body);
        let mut conn = sent_in_time(&server, &[request], b"");
        conn.finish();
        expect_503(conn, has_body);
    }
    stays(&mut inside);
    assert_eq!(server.root().names(), [""; 0]);
}

pub(super) fn an_http_request_in_pieces(subject: &Subject) {
    let Some((server, mut inside)) = full(subject) else { return };
    let request = b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n";
    for cut in [1, 3, 4, 5, 7, 14, 15, 16, 20] {
        let (first, rest) = request.split_at(cut);
        expect_503(sent_in_time(&server, &[first, rest], b""), true);
    }
    expect_503(sent_in_time(&server, &[b"\r\n", &request[..9], &request[9..]], b""), true);
    // The beginning is enough, if the rest does not come.
    expect_503(sent_in_time(&server, &[b"GET /x"], b""), true);
    stays(&mut inside);
}

pub(super) fn others_get_the_line(subject: &Subject) {
    let Some((server, mut inside)) = full(subject) else { return };
    for line in ["HASH none\n", "GET /x\n", "GET HTTP/1.1\n", "\n", "\r\nLIST\n", "PUT f 5\nhello"]
    {
        expect_line(said_to_the_end(&server, line));
    }
    expect_line(sent_in_time(&server, &[b"GET /x", b"\n"], b""));
    expect_line(sent_in_time(&server, &[b"\r", b"\n", b"LIST\n"], b""));
    for unfinished in ["G", "HASH none", "GET HTTP/1.1", "\0"] {
        expect_line(said_to_the_end(&server, unfinished));
    }
    let mut conn = server.connect();
    conn.finish();
    expect_line(conn);
    stays(&mut inside);
}

pub(super) fn a_silent_client_gets_the_line(subject: &Subject) {
    let Some((server, mut inside)) = full(subject) else { return };
    for _ in 0..5 {
        // Nobody else connects meanwhile.
        let start = Instant::now();
        let mut conn = server.connect();
        assert_eq!(conn.reply().code(), "busy");
        assert!(start.elapsed() >= FIRST_LINE_WAIT, "it could still have been HTTP");
        conn.closed();
    }
    // One that goes on saying nothing costs nothing.
    let conn = server.connect();
    comes_to_rest(&server);
    expect_line(conn);
    stays(&mut inside);
}

pub(super) fn silent_clients_delay_no_other(subject: &Subject) {
    let Some((server, mut inside)) = full(subject) else { return };
    eventually("a client is answered while others before it are waited for", || {
        let start = Instant::now();
        let silent = [server.connect(), server.connect()];
        let mut conn = server.connect();
        conn.send("LIST\n");
        expect_line(conn);
        let in_time = start.elapsed() < FIRST_LINE_WAIT;
        silent.into_iter().for_each(expect_line);
        in_time
    });
    // More than a server waits for at once. Their first byte shows that each has been accepted.
    let mut crowd: Vec<Conn> = (0..200).map(|_| server.connect()).collect();
    for conn in &mut crowd {
        let _ = conn.try_send("G");
    }
    for conn in &crowd {
        assert!(oracles::until_read(conn), "a client is not accepted");
    }
    stays(&mut inside);
    drop(inside);
    let mut next = None;
    eventually("there is room again", || {
        next = admitted(&server).ok();
        next.is_some()
    });
    crowd.into_iter().for_each(expect_line);
    stays(&mut next.expect("admitted"));
}

pub(super) fn refused_sender_is_slowed(subject: &Subject) {
    let Some((server, mut inside)) = full(subject) else { return };
    let mut conn = server.connect();
    conn.send("PUT f 1000000000\n");
    // The refusal is there at once, though the client goes on.
    let mut reader = conn.sender();
    assert_eq!(reader.reply().code(), "busy");
    let (start, piece) = (Instant::now(), noise(64 << 10));
    let mut sent = 0;
    while conn.try_send(&piece).is_ok() {
        sent += piece.len();
    }
    eprintln!("{} MiB in {:?}", sent >> 20, start.elapsed());
    // At most 512 KiB every 10 ms for a second, and what both sockets have room for.
    assert!(sent < 80 << 20, "{sent} bytes were read from a client that is refused");
    stays(&mut inside);
}

pub(super) fn curl_shows_503(subject: &Subject) {
    let Some((server, mut inside)) = full(subject) else { return };
    let url = format!("http://{}/x", server.address());
    // Where the machine holds curl up, it is too late to be taken for a client of HTTP.
    eventually("curl shows 503", || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", &url]);
        match curl.output() {
            Ok(output) => output.status.success() && output.stdout == b"503",
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                eprintln!("SKIPPED: there is no curl");
                true
            }
            Err(error) => panic!("curl: {error}"),
        }
    });
    stays(&mut inside);
}
