use super::*;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::thread;

#[expect(
    clippy::disallowed_methods,
    reason = "a test has one client, for which the backlog suffices"
)]
fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Plays the server's part for one connection.
fn scripted(script: impl FnOnce(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || script(listener.accept().unwrap().0));
    addr
}

/// Expects each request, sends its reply, and closes.
fn conversation(exchanges: &'static [(&'static [u8], &'static [u8])]) -> SocketAddr {
    scripted(move |mut stream| {
        for (request, reply) in exchanges {
            let mut received = vec![0; request.len()];
            stream.read_exact(&mut received).unwrap();
            assert_eq!(received.escape_ascii().to_string(), request.escape_ascii().to_string());
            stream.write_all(reply).unwrap();
        }
    })
}

fn client(exchanges: &'static [(&'static [u8], &'static [u8])]) -> Client {
    Client::connect(conversation(exchanges)).unwrap()
}

/// Reads and throws away until the peer closes.
fn drain(mut stream: &TcpStream) -> usize {
    let mut buffer = [0; 65536];
    let mut total = 0;
    while let Ok(n @ 1..) = stream.read(&mut buffer) {
        total += n;
    }
    total
}

#[test]
fn requests_are_encoded_and_replies_decoded() {
    const HASH: &[u8] =
        b"OK 65\n0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";
    let mut client = client(&[
        (b"LIST /\n", b"OK 0\n"),
        (b"LIST a%20b\n", b"OK 30\nf 12 -5 c%25d\nd 0 1700000 e\xc3\xa9\n"),
        (b"GET a\xc3\xa9%0A%FF%25\n", b"OK 3\nabc"),
        (b"GET x 2\n", b"OK 1\nc"),
        (b"GET x 0 2\n", b"OK 2\nab"),
        (b"PUT d/x 5\nhello", b"OK 0\n"),
        (b"HASH x\n", HASH),
        (b"QUIT\n", b"OK 0\n"),
    ]);
    assert_eq!(client.list(None).unwrap(), []);
    let entries = client.list(Some("a b")).unwrap();
    assert_eq!(entries[0], Entry { kind: Kind::File, size: 12, mtime: -5, name: "c%d".into() });
    assert_eq!(
        entries[1],
        Entry { kind: Kind::Directory, size: 0, mtime: 1_700_000, name: "eé".into() }
    );
    assert_eq!(client.get(OsStr::from_bytes(b"a\xc3\xa9\n\xff%")).unwrap(), b"abc");
    let mut received = Vec::new();
    assert_eq!(client.get_to("x", 2, &mut received, &mut |_, _| ()).unwrap(), 1);
    assert_eq!(received, b"c");
    assert_eq!(client.get_range("x", 0, Some(2)).unwrap(), b"ab");
    client.put("d/x", b"hello").unwrap();
    assert_eq!(client.hash("x").unwrap().len(), 64);
    client.quit().unwrap();
}

#[test]
fn refusal_keeps_the_connection() {
    let mut client = client(&[
        (b"GET x\n", b"ERR not-found no such file or folder\n"),
        (b"GET y\n", b"OK 1\ny"),
    ]);
    let error = client.get("x").unwrap_err();
    assert_eq!(error.code(), Some("not-found"));
    assert_eq!(error.to_string(), "no such file or folder (not-found)");
    assert_eq!(client.get("y").unwrap(), b"y");
}

#[test]
fn malformed_reply_ends_the_connection() {
    for reply in [
        &b"\n"[..],
        b"HTTP/1.1 200 OK\r\n",
        b"OK\n",
        b"OK +1\nx",
        b"OK 01\nx",
        b"OK 0\r\n",
        b"OK 9223372036854775808\n",
        b"ERR \n",
        b"ERR NotFound x\n",
        b"OK 3\nxyz",
    ] {
        let mut client = Client::connect(scripted(move |mut stream| {
            stream.write_all(reply).unwrap();
            drain(&stream);
        }))
        .unwrap();
        let result = client.get_range("x", 0, Some(2));
        assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
        assert!(matches!(client.hash("x"), Err(Error::Closed)));
    }
}

#[test]
fn endless_reply_line_is_rejected() {
    let mut client = Client::connect(scripted(|mut stream| {
        let _ = stream.write_all(&[b'x'; 3 * MAX_LINE]);
        drain(&stream);
    }))
    .unwrap();
    assert!(matches!(client.get("x"), Err(Error::Protocol(_))));
}

#[test]
fn malformed_listing_is_rejected() {
    for reply in [
        &b"OK 6\nf 1 2 \n"[..],
        b"OK 8\nx 1 2 n\n",
        b"OK 8\nf a 2 n\n",
        b"OK 9\nf 1 +2 n\n",
        b"OK 11\nf 1 2 n%4z\n",
        b"OK 7\nf 1 2 n",
    ] {
        let mut client = Client::connect(scripted(move |mut stream| {
            stream.write_all(reply).unwrap();
            drain(&stream);
        }))
        .unwrap();
        let result = client.list(None);
        assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
    }
}

#[test]
fn declared_length_is_not_trusted() {
    let mut client = client(&[(b"GET x\n", b"OK 9223372036854775807\nshort")]);
    let Err(Error::Lost(error)) = client.get("x") else { panic!() };
    assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
    assert!(error.to_string().contains("after 5 of 9223372036854775807 bytes"), "{error}");
}

#[test]
fn short_body_is_a_loss() {
    let mut client = client(&[(b"GET x\n", b"OK 10\n12345")]);
    let mut received = Vec::new();
    let error = client.get_to("x", 0, &mut received, &mut |_, _| ()).unwrap_err();
    assert!(matches!(error, Error::Lost(_)), "{error}");
    assert_eq!(received, b"12345");
    assert!(client.is_stale());
}

#[test]
fn unsolicited_refusal_makes_client_stale() {
    let mut client = Client::connect(scripted(|mut stream| {
        stream.write_all(b"ERR timeout waited too long for this client\n").unwrap();
    }))
    .unwrap();
    assert!(client.reply_arrives(Duration::from_secs(10)).unwrap());
    assert!(client.is_stale());
    assert_eq!(client.get("x").unwrap_err().code(), Some("timeout"));
}

#[test]
fn early_refusal_of_upload_is_returned() {
    let mut client = Client::connect(scripted(|mut stream| {
        // Reads the request line alone, refuses, and drains a little before it closes.
        let mut byte = [0];
        while byte != *b"\n" {
            stream.read_exact(&mut byte).unwrap();
        }
        stream.write_all(b"ERR too-large this is above the server's limit\n").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_exact(&mut [0; 100_000]);
    }))
    .unwrap();
    let error = client.put_from("x", 1 << 40, &mut io::repeat(1), &mut |_, _| ()).unwrap_err();
    assert_eq!(error.code(), Some("too-large"), "{error}");
    assert!(client.is_stale());
}

#[test]
fn refusal_before_reset_is_returned() {
    let mut client = Client::connect(scripted(|mut stream| {
        stream.write_all(b"ERR busy no room for another client now\n").unwrap();
    }))
    .unwrap();
    let error = client.put_from("x", 1 << 40, &mut io::repeat(1), &mut |_, _| ()).unwrap_err();
    assert_eq!(error.code(), Some("busy"), "{error}");
}

#[test]
fn early_refusal_keeps_the_connection() {
    const LENGTH: usize = 3 << 20;
    let mut client = Client::connect(scripted(|mut stream| {
        let mut line = [0; b"PUT x 3145728\n".len()];
        stream.read_exact(&mut line).unwrap();
        stream.write_all(b"ERR read-only this server takes no uploads\n").unwrap();
        stream.read_exact(&mut vec![0; LENGTH]).unwrap();
        let mut next = [0; b"GET y\n".len()];
        stream.read_exact(&mut next).unwrap();
        assert_eq!(&next, b"GET y\n");
        stream.write_all(b"OK 1\ny").unwrap();
    }))
    .unwrap();
    let error = client.put("x", &vec![7; LENGTH]).unwrap_err();
    assert_eq!(error.code(), Some("read-only"));
    assert_eq!(client.get("y").unwrap(), b"y");
}

#[test]
fn long_refused_body_closes_the_connection() {
    let mut client = Client::connect(scripted(|mut stream| {
        stream.write_all(b"ERR read-only this server takes no uploads\n").unwrap();
        drain(&stream);
    }))
    .unwrap();
    let result = client.put_from("x", 1 << 40, &mut io::repeat(1), &mut |_, _| ());
    assert_eq!(result.unwrap_err().code(), Some("read-only"));
    assert!(client.is_stale());
}

#[test]
fn ok_before_body_is_rejected() {
    let mut client = Client::connect(scripted(|mut stream| {
        stream.write_all(b"OK 0\n").unwrap();
        drain(&stream);
    }))
    .unwrap();
    let result = client.put_from("x", 1 << 40, &mut io::repeat(1), &mut |_, _| ());
    assert!(matches!(result, Err(Error::Protocol(_))), "{result:?}");
}

#[test]
fn short_source_is_a_local_error() {
    let mut client = Client::connect(scripted(|stream| {
        drain(&stream);
    }))
    .unwrap();
    let result = client.put_from("x", 10, &mut &b"12345"[..], &mut |_, _| ());
    let Err(Error::Local(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.to_string(), "the source ended after 5 of 10 bytes");
    assert!(client.is_stale());
}

#[test]
fn failing_sink_is_a_local_error() {
    let mut client = client(&[(b"GET x\n", b"OK 5\n12345")]);
    let mut full = [0; 2];
    let result = client.get_to("x", 0, &mut &mut full[..], &mut |_, _| ());
    assert!(matches!(result, Err(Error::Local(_))), "{result:?}");
    assert!(client.is_stale());
}

#[test]
fn silent_server_times_out() {
    let mut client = Client::connect(scripted(|stream| {
        drain(&stream);
    }))
    .unwrap();
    client.set_timeout(Some(Duration::from_millis(20))).unwrap();
    let Err(Error::Lost(error)) = client.get("x") else { panic!() };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "no byte moved for 0.02 s");
}

#[test]
fn server_that_stops_reading_times_out() {
    let mut client = Client::connect(scripted(|stream| {
        // Holds the connection open, unread, until the client leaves.
        let mut fds = [PollFd::new(&stream, PollFlags::RDHUP)];
        poll(&mut fds, None).unwrap();
    }))
    .unwrap();
    client.set_timeout(Some(Duration::from_millis(20))).unwrap();
    let result = client.put_from("x", 1 << 40, &mut io::repeat(1), &mut |_, _| ());
    let Err(Error::Lost(error)) = result else { panic!("{result:?}") };
    assert_eq!(error.kind(), ErrorKind::TimedOut);
}

#[test]
fn progress_counts_to_the_end() {
    let mut client = client(&[(b"GET x\n", b"OK 5\n12345")]);
    let mut seen = Vec::new();
    client.get_to("x", 0, &mut io::sink(), &mut |done, total| seen.push((done, total))).unwrap();
    assert_eq!(seen.first(), Some(&(0, 5)));
    assert_eq!(seen.last(), Some(&(5, 5)));
}

#[test]
fn connection_without_listener_is_refused() {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    assert!(matches!(Client::connect(addr), Err(Error::Connect(_))));
    let quick = Client::connect_timeout(addr, Duration::from_secs(5));
    assert!(matches!(quick, Err(Error::Connect(_))));
}
