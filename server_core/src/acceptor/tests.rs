use super::*;
use file_service::{Settings, Store};
use std::io::{Read, Write};

const LINE: &str = "ERR busy no room for another client now, try again later\n";

/// An acceptor that never blocks, and its address.
fn acceptor() -> (Acceptor, SocketAddr) {
    let listener = crate::listen("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let addr = listener.local_addr().unwrap();
    let store = Store::open(&std::env::temp_dir(), false, false).unwrap();
    let settings = Settings { max_connections: 0, ..Settings::default() };
    (Acceptor::new(listener, &Service::new(store, settings)).unwrap(), addr)
}

/// Connects a client that sends `bytes`, and waits until it can be accepted.
fn client(acceptor: &Acceptor, addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.write_all(bytes).unwrap();
    let _ = poll(&mut [PollFd::new(acceptor.listener().unwrap(), PollFlags::IN)], None);
    client
}

/// Connects a client that sends `bytes` and is refused.
fn refused(acceptor: &mut Acceptor, addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let client = client(acceptor, addr, bytes);
    assert!(matches!(acceptor.try_accept(), Accepted::Retry));
    client
}

/// All that the client is told.
fn told(mut client: TcpStream) -> String {
    let mut told = String::new();
    client.read_to_string(&mut told).unwrap();
    told
}

#[test]
fn silent_client_is_told_in_time() {
    let (mut acceptor, addr) = acceptor();
    let start = Instant::now();
    let client = refused(&mut acceptor, addr, b"");
    let until = acceptor.retry_at().expect("a time for the client that waits");
    assert!(until >= start + FIRST_LINE_WAIT && until <= Instant::now() + FIRST_LINE_WAIT);
    let Accepted::Empty(Some(again)) = acceptor.try_accept() else { panic!("a time is due") };
    assert!(again <= until.max(Instant::now() + FIRST_LINE_TICK));
    while acceptor.refused.iter().any(|refused| refused.first_bytes.is_some()) {
        let at = acceptor.retry_at().unwrap();
        let _ = poll(&mut [], crate::timeout_until(at).as_ref());
        acceptor.visit_refused();
    }
    assert!(Instant::now() >= start + FIRST_LINE_WAIT);
    assert_eq!(told(client), LINE);
    acceptor.visit_refused(); // the client has left
    assert_eq!((acceptor.refused().count(), acceptor.retry_at()), (0, None));
}

#[test]
fn client_that_sends_is_told_at_once() {
    let (mut acceptor, addr) = acceptor();
    assert_eq!(told(refused(&mut acceptor, addr, b"LIST\n")), LINE);
    let http = told(refused(&mut acceptor, addr, b"GET / HTTP/1.1\r\n"));
    assert!(http.starts_with("HTTP/1.1 503 "), "{http}");
}

#[test]
fn oldest_beyond_limit_is_told() {
    let (mut acceptor, addr) = acceptor();
    let mut clients: VecDeque<TcpStream> =
        (0..REFUSED_AT_ONCE).map(|_| refused(&mut acceptor, addr, b"")).collect();
    // No visit follows, and so no time passes for those who wait.
    for refused in &mut acceptor.refused {
        refused.until += Duration::from_secs(60);
    }
    for _ in 0..3 {
        clients.push_back(refused(&mut acceptor, addr, b""));
        assert_eq!(told(clients.pop_front().unwrap()), LINE);
    }
    assert_eq!(acceptor.refused().count(), REFUSED_AT_ONCE);
    acceptor.close();
    for client in clients {
        assert_eq!(told(client), LINE);
    }
}

#[test]
fn no_client_waits_without_descriptors() {
    let (mut acceptor, addr) = acceptor();
    let waiting = refused(&mut acceptor, addr, b"");
    for refused in &mut acceptor.refused {
        refused.until += Duration::from_secs(60);
    }
    let silent = client(&acceptor, addr, b"");
    assert!(matches!(acceptor.settle(Err(Errno::MFILE)), Accepted::Retry));
    assert_eq!([told(waiting), told(silent)], [LINE, LINE]);
    let http = client(&acceptor, addr, b"GET / HTTP/1.1\r\n");
    assert!(acceptor.refuse_with_spare());
    assert!(told(http).starts_with("HTTP/1.1 503 "));
    // While the spare descriptor is away.
    let socket = TcpStream::connect(addr).unwrap();
    let peer = socket.local_addr().unwrap();
    acceptor.refuse(Arc::new(ConnectionHandle::new(socket, peer, 0)));
    assert!(acceptor.refused().count() > 0);
    assert!(acceptor.refused.iter().all(|refused| refused.first_bytes.is_none()));
}

#[test]
fn refused_sender_is_read_at_bounded_rate() {
    let (mut acceptor, addr) = acceptor();
    let mut client = refused(&mut acceptor, addr, b"LIST\n");
    client.write_all(&[b'x'; 5 * DISCARD_CHUNK]).unwrap();
    let unread = |refused: &Refused| rustix::io::ioctl_fionread(&refused.handle).unwrap();
    while unread(&acceptor.refused[0]) < 5 * DISCARD_CHUNK as u64 {
        std::thread::yield_now();
    }
    let refused = &mut acceptor.refused[0];
    let now = Instant::now().max(refused.read_at);
    let share = 2 * DISCARD_CHUNK;
    assert!(refused.visit(now, share) && refused.visit(now, share));
    assert_eq!(unread(refused), 3 * DISCARD_CHUNK as u64);
    assert_eq!(refused.next_visit(now), now + DISCARD_TICK);
    // A loop that watches refused clients leaves this one alone until then.
    refused.read_at += Duration::from_secs(60);
    let until = refused.until;
    assert_eq!((acceptor.refused().count(), acceptor.retry_at()), (0, Some(until)));
    let refused = &mut acceptor.refused[0];
    refused.read_at = now + DISCARD_TICK;
    assert!(refused.visit(refused.read_at, share));
    assert_eq!(unread(refused), DISCARD_CHUNK as u64);
    drop(acceptor);
    let mut told = String::new();
    let _ = client.read_to_string(&mut told); // with a reset at its end
    assert_eq!(told, LINE);
}
