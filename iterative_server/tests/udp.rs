//! `--udp`, seen from outside: what each datagram gets, what gets none, and what the network may do meanwhile.
//!
//! That something gets *no* reply is shown without waiting for it: the server answers in the order of arrival, so the
//! reply to a request that was sent afterwards tells that there was none before.

use file_service::client::{DatagramClient, Error};
use harness::wait::{TIMEOUT, eventually};
use harness::{Exit, Launch, Server, Subject, oracles, proc};
use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};
use std::fs;
use std::net::{SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// A free port of an address that only one test's server has: nobody else's socket takes it while that is down.
fn start_alone(host: u8) -> Server {
    let server = subject().launch().address(format!("127.7.0.{host}:0")).start();
    let server = server.unwrap_or_else(|failure| panic!("{failure}"));
    server.root().write("hello.txt", "hello\n");
    server
}

fn subject() -> Subject {
    Subject::new(env!("CARGO_BIN_EXE_iterative_server")).args(["--udp"])
}

fn start() -> Server {
    let server = subject().start(&[]);
    server.root().write("hello.txt", "hello\n");
    server
}

/// A client that trusts nothing and has all the time in the world.
struct Peer(UdpSocket);

impl Peer {
    fn of(server: &Server) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server.address()).unwrap();
        socket.set_read_timeout(Some(TIMEOUT)).unwrap();
        Peer(socket)
    }

    fn send(&self, datagram: impl AsRef<[u8]>) {
        self.0.send(datagram.as_ref()).unwrap();
    }

    #[track_caller]
    fn receive(&self) -> String {
        let mut buffer = [0; 65_536];
        let n = self.0.recv(&mut buffer).expect("a reply");
        String::from_utf8_lossy(&buffer[..n]).into_owned()
    }

    #[track_caller]
    fn ask(&self, datagram: impl AsRef<[u8]>) -> String {
        self.send(datagram);
        self.receive()
    }

    /// Asks for what only this call asks for: any earlier reply would come first.
    #[track_caller]
    fn assert_silent(&self) {
        assert_eq!(self.ask("99 GET hello.txt 5\n"), "99 OK 1\n\n");
    }
}

#[test]
fn one_request_one_reply() {
    let server = start();
    assert!(server.output().ends_with(" (UDP)\n"), "{}", server.output());
    let peer = Peer::of(&server);
    server.root().set_mtime("hello.txt", 1_700_000_000);
    assert_eq!(peer.ask("1 LIST\n"), "1 OK 25\nf 6 1700000000 hello.txt\n");
    assert_eq!(peer.ask("2 GET hello.txt\n"), "2 OK 6\nhello\n");
    assert_eq!(peer.ask("3 GET hello.txt 1 3\n"), "3 OK 3\nell");
    assert_eq!(
        peer.ask("4 HASH hello.txt\n"),
        "4 OK 65\n5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\n"
    );
    assert_eq!(peer.ask("5 GET ../outside/secret\n"), "5 ERR bad-path this path is not allowed\n");
    assert!(peer.ask("6 PUT new 3\n").starts_with("6 ERR stream-only "));
    assert!(peer.ask("7 QUIT\n").starts_with("7 ERR stream-only "));
    assert_eq!(server.root().names(), ["hello.txt"]);
    peer.assert_silent();
}

#[test]
fn what_does_not_fit_is_refused() {
    let server = start();
    let peer = Peer::of(&server);
    server.root().sparse("most", 8192);
    server.root().sparse("more", 8193);
    server.root().sparse("huge", 1 << 40);
    assert_eq!(peer.ask("1 GET most\n"), format!("1 OK 8192\n{}", "\0".repeat(8192)));
    assert!(peer.ask("2 GET more\n").starts_with("2 ERR too-large "));
    assert_eq!(peer.ask("3 GET more 8192\n"), "3 OK 1\n\0");
    assert!(peer.ask("4 GET huge 1000000000000 8192\n").starts_with("4 OK 8192\n"));
    assert!(peer.ask("5 HASH huge\n").starts_with("5 ERR too-large "));
    // The kernel cuts what is longer than the server's buffer. That must not make a shorter request of it.
    let mut long = b"6 GET hello.txt\n".to_vec();
    long.resize(4096, b'x');
    assert!(peer.ask(&long).starts_with("6 ERR bad-argument "));
    for length in [4097, 4098, 65_507] {
        long.resize(length, b'x');
        assert!(peer.ask(&long).starts_with("6 ERR line-too-long "), "{length}");
        let mut line = b"6 GET ".to_vec();
        line.resize(length - 1, b'x');
        line.push(b'\n');
        assert!(peer.ask(&line).starts_with("6 ERR line-too-long "), "{length}");
    }
    peer.assert_silent();
}

#[test]
fn what_is_no_request_gets_no_reply() {
    let server = start();
    let peer = Peer::of(&server);
    for datagram in ["", "\n", "\0", "7", "7\n", "LIST\n", "x LIST\n", "07 LIST\n", "7 NONSENSE\n"]
    {
        peer.send(datagram);
    }
    peer.send([b'x'; 65_507]);
    peer.send([0; 4097]);
    // Replies of every kind, the server's own ones among them.
    for reply in ["7 OK 0\n", "7 OK 5\nhello", "7 ERR bad-path x\n", "7 ERR GET hello.txt\n"] {
        peer.send(reply);
    }
    for request in
        ["7 LIST\n", "7 GET hello.txt\n", "7 GET nothing\n", "7 HASH hello.txt\n", "7 QUIT\n"]
    {
        let reply = peer.ask(request);
        peer.send(reply);
    }
    peer.assert_silent();
}

/// A datagram with a forged source address, as a raw socket sends it.
fn forged(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let length = 28 + payload.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    // Identification, fragment, and the header's checksum: the kernel's. UDP over IPv4 may go without one.
    packet.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(from.port().to_be_bytes());
    packet.extend(to.port().to_be_bytes());
    packet.extend((length - 20).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// A socket that sends such packets, for who may have one.
fn raw_socket(test: &str) -> Option<Socket> {
    // IPPROTO_RAW: the packet comes with its own IP header.
    match Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))) {
        Ok(raw) => Some(raw),
        Err(error) => {
            eprintln!("SKIPPED {test}: no raw socket: {error}");
            None
        }
    }
}

/// A forged request from port 0, to which nothing can be sent.
#[test]
fn a_reply_that_cannot_be_sent_is_dropped() {
    let Some(raw) = raw_socket("a_reply_that_cannot_be_sent_is_dropped") else { return };
    let server = subject().start(&["-vv"]);
    let to = server.address();
    let nowhere = SocketAddrV4::new(*to.ip(), 0);
    raw.send_to(&forged(nowhere, to, b"1 LIST\n"), &SocketAddr::from(to).into()).unwrap();
    server.log_until("the lost reply", |log| log.contains("reply lost"));
    assert!(Peer::of(&server).ask("2 LIST\n").starts_with("2 OK"));
}

/// Requests that seem to come from the other server, or from the server itself: each is answered once, and the
/// reply is the end of it.
#[test]
fn two_servers_cannot_be_set_upon_each_other() {
    let Some(raw) = raw_socket("two_servers_cannot_be_set_upon_each_other") else { return };
    let (one, other) = (subject().start(&["-vv"]), subject().start(&["-vv"]));
    let requests: [&[u8]; 6] =
        [b"1 LIST\n", b"2 GET x\n", b"3 QUIT\n", b"4 LIST", b"5 GET \xff\n", b"6 NONSENSE\n"];
    for request in requests {
        for (from, to) in [(&one, &other), (&other, &one), (&one, &one)] {
            let (from, to) = (from.address(), to.address());
            raw.send_to(&forged(from, to, request), &SocketAddr::from(to).into()).unwrap();
        }
    }
    // Each request but the last kind gets one reply, which goes to the other server, or back to the same one.
    let answered = requests.len() - 1;
    let count = |log: &str, what: &str| log.lines().filter(|line| line.contains(what)).count();
    // One is asked by the other and by itself, so it hears replies of both.
    let heard =
        |server: &Server| if server.pid() == one.pid() { 2 * answered + 2 } else { answered + 1 };
    for server in [&one, &other] {
        server.log_until("the replies dropped", |log| count(log, "not a request") >= heard(server));
    }
    // A storm would go on. Two turns of each later, everything is in the log that there was.
    for (id, server) in [(97, &one), (97, &other), (98, &one), (98, &other)] {
        assert!(Peer::of(server).ask(format!("{id} LIST\n")).contains(" OK "));
    }
    for (server, asked) in [(&one, 2 * answered), (&other, answered)] {
        let log = server.log_until("the last request", |log| log.contains("id=98 "));
        assert_eq!(count(&log, "not a request"), heard(server));
        assert_eq!(count(&log, " request peer"), asked + 2);
    }
}

/// What the proxy does with one datagram.
#[derive(Clone, Copy)]
enum Fate {
    Pass,
    Drop,
    Twice,
    /// Keep it until the next one of this direction has passed: the two change places.
    Late,
}

/// A network between one client and the server. `request` and `reply` tell the fate of the n-th datagram of
/// each direction, counted from 0.
fn network(
    server: &Server,
    request: impl Fn(usize) -> Fate + Send + 'static,
    reply: impl Fn(usize) -> Fate + Send + 'static,
) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = socket.local_addr().unwrap();
    let server = SocketAddr::from(server.address());
    thread::spawn(move || {
        let mut client = None;
        let mut counts = [0, 0];
        let mut late: [Option<Vec<u8>>; 2] = [None, None];
        let mut buffer = [0; 65_536];
        while let Ok((n, from)) = socket.recv_from(&mut buffer) {
            let side = usize::from(from == server);
            if side == 0 {
                client = Some(from);
            }
            let to = if side == 0 { server } else { client.unwrap() };
            let fate = if side == 0 { request(counts[0]) } else { reply(counts[1]) };
            counts[side] += 1;
            let pass = |datagram: &[u8]| drop(socket.send_to(datagram, to));
            match fate {
                Fate::Drop => continue,
                Fate::Late => {
                    late[side] = Some(buffer[..n].to_vec());
                    continue;
                }
                Fate::Pass => pass(&buffer[..n]),
                Fate::Twice => (0..2).for_each(|_| pass(&buffer[..n])),
            }
            if let Some(late) = late[side].take() {
                pass(&late);
            }
        }
    });
    addr
}

/// Everything a client can ask, over a network that does what the two rules say.
#[track_caller]
fn works_over(
    request: impl Fn(usize) -> Fate + Send + 'static,
    reply: impl Fn(usize) -> Fate + Send + 'static,
) {
    let server = start();
    let size = server.root().patterned("file", 10_000);
    let addr = network(&server, request, reply);
    let mut client = DatagramClient::new(addr, Some(TIMEOUT)).unwrap();
    let names: Vec<_> = client.list_dir("").unwrap().into_iter().map(|entry| entry.name).collect();
    assert_eq!(names, ["file", "hello.txt"]);
    assert_eq!(client.get_range("hello.txt", 0, 100).unwrap(), b"hello\n");
    assert_eq!(client.hash("absent").unwrap_err().code(), Some("not-found"));
    let mut content = Vec::new();
    let received = client.get_to("file", 0, &mut content, &mut |_, _| ()).unwrap();
    assert_eq!(received, size as u64);
    assert!(content == server.root().read("file"), "pieces are lost, doubled or misplaced");
    assert_eq!(client.hash("hello.txt").unwrap()[..8], *"5891b5b5");
}

#[test]
fn a_network_that_loses_nothing() {
    works_over(|_| Fate::Pass, |_| Fate::Pass);
}

#[test]
fn lost_requests_are_sent_again() {
    works_over(|n| if n % 5 == 0 { Fate::Drop } else { Fate::Pass }, |_| Fate::Pass);
}

#[test]
fn lost_replies_are_asked_for_again() {
    works_over(|_| Fate::Pass, |n| if n % 5 == 0 { Fate::Drop } else { Fate::Pass });
}

#[test]
fn doubled_datagrams_do_no_harm() {
    works_over(|n| if n % 2 == 0 { Fate::Twice } else { Fate::Pass }, |_| Fate::Twice);
}

/// The reply to a request comes after the reply to its copy, when the client is two questions further.
#[test]
fn late_replies_are_passed_over() {
    works_over(|_| Fate::Pass, |n| if n % 6 == 1 { Fate::Late } else { Fate::Pass });
}

#[test]
fn late_requests_do_no_harm() {
    works_over(|n| if n % 6 == 1 { Fate::Late } else { Fate::Pass }, |_| Fate::Twice);
}

#[test]
fn a_client_gives_up_in_its_time_and_says_so() {
    let server = start();
    let patience = Duration::from_millis(700);
    let addr = network(&server, |_| Fate::Pass, |_| Fate::Drop);
    let begun = Instant::now();
    match DatagramClient::new(addr, Some(patience)).unwrap().hash("hello.txt") {
        Err(Error::Unanswered { copies, waited }) => {
            // At 0, 0.2 and 0.6 s; on a busy machine fewer.
            assert!((1..=3).contains(&copies), "{copies} copies");
            assert!(patience <= waited && waited <= begun.elapsed(), "{waited:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_address_that_nobody_listens_at_is_passed_over() {
    let server = start();
    let nobody = UdpSocket::bind("127.7.0.4:0").unwrap().local_addr().unwrap();
    let addrs = [nobody, server.address().into()];
    let mut client = DatagramClient::new(&addrs[..], Some(TIMEOUT)).unwrap();
    assert_eq!(client.get_range("hello.txt", 0, 100).unwrap(), b"hello\n");
    let refused = DatagramClient::new(nobody, Some(TIMEOUT)).unwrap().hash("hello.txt");
    assert!(matches!(refused, Err(Error::Connect(_))), "{refused:?}");
}

#[test]
fn garbage_leaves_it_serving() {
    let server = start();
    let peer = Peer::of(&server);
    peer.assert_silent();
    let before = oracles::descriptor_kinds(&server.process_tree());
    let memory = proc::own_memory(server.pid()).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..20_000 {
        let mut datagram: Vec<u8> = (0..random.usize(..300)).map(|_| random.u8(..)).collect();
        if n % 3 == 0 {
            // With a head that is looked at further.
            datagram.splice(..0, b"7 GET ".iter().copied());
        }
        peer.send(&datagram);
    }
    // From another socket, since the first one's buffer is full of replies; and some of it may be lost.
    let mut client = DatagramClient::new(server.address(), Some(TIMEOUT)).unwrap();
    assert_eq!(client.get_range("hello.txt", 0, 100).unwrap(), b"hello\n");
    // A copy of that request, if it was sent twice, may be at work yet.
    eventually("nothing is left open", || {
        oracles::descriptor_kinds(&server.process_tree()) == before
    });
    let grown = proc::own_memory(server.pid()).unwrap().saturating_sub(memory);
    assert!(grown < 1 << 20, "{grown} bytes more than before");
    assert_eq!(server.log(), "", "nothing of it is worth a line");
}

/// The last column of `/proc/net/udp`: what was dropped because the socket's buffer was full.
fn drops(address: SocketAddrV4) -> u64 {
    let sockets = fs::read_to_string("/proc/net/udp").unwrap();
    let port = format!(":{:04X}", address.port());
    let line = sockets
        .lines()
        .find(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&port)));
    line.unwrap().split_whitespace().last().unwrap().parse().unwrap()
}

#[test]
fn a_full_buffer_drops_in_silence_and_the_kernel_counts() {
    let server = start();
    let peer = Peer::of(&server);
    peer.assert_silent();
    assert_eq!(drops(server.address()), 0);
    server.signal(Signal::STOP);
    eventually("the server stands still", || {
        proc::process(server.pid()).is_some_and(|process| process.state == 'T')
    });
    eventually("the buffer is full", || {
        // Not one of them fails.
        (0..1000).for_each(|_| peer.send("7 NONSENSE\n"));
        drops(server.address()) > 0
    });
    let dropped = drops(server.address());
    // A request among them is lost as well, until there is room.
    let client = thread::spawn({
        let mut client = DatagramClient::new(server.address(), Some(TIMEOUT)).unwrap();
        move || client.get_range("hello.txt", 0, 100)
    });
    eventually("the request is dropped", || drops(server.address()) > dropped);
    server.signal(Signal::CONT);
    assert_eq!(client.join().unwrap().unwrap(), b"hello\n");
}

/// Replies to sockets that are closed by then come back to the server as ICMP messages.
#[test]
fn clients_that_are_gone_do_no_harm() {
    let server = start();
    for _ in 0..100 {
        Peer::of(&server).send("7 LIST\n");
    }
    Peer::of(&server).assert_silent();
    assert_eq!(server.log(), "");
}

#[test]
fn the_order_to_stop() {
    for signal in [Signal::TERM, Signal::INT] {
        let server = start_alone(1);
        Peer::of(&server).assert_silent();
        server.signal(signal);
        assert_eq!(server.wait_exit(), Exit::Code(0));
        assert_eq!(server.whole_log(), "");
        // The port is free at once.
        subject().launch().address(server.address()).start().unwrap_or_else(|f| panic!("{f}"));
    }
}

#[test]
fn the_order_to_stop_is_heard_under_load() {
    let server = start_alone(2);
    let peer = Peer::of(&server);
    let sender = thread::spawn({
        let socket = peer.0.try_clone().unwrap();
        // Until the server is gone: then the kernel says that nobody listens.
        move || while socket.send(b"7 HASH hello.txt\n").is_ok() {}
    });
    peer.receive();
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    sender.join().unwrap();
}

#[test]
fn unwritable_log_is_lost() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let server = subject().launch().args(["-vv"]).log(full).start();
    let server = server.unwrap_or_else(|failure| panic!("{failure}"));
    server.root().write("hello.txt", "hello\n");
    let peer = Peer::of(&server);
    for id in 0..10 {
        assert_eq!(peer.ask(format!("{id} GET hello.txt\n")), format!("{id} OK 6\nhello\n"));
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
}

#[test]
fn it_takes_the_port_of_udp_and_not_of_tcp() {
    let server = start_alone(3);
    assert!(TcpStream::connect(server.address()).is_err(), "nobody listens for connections");

    let failure = subject().launch().address(server.address()).refuse();
    assert_eq!(failure.exit, Some(Exit::Code(2)), "{failure}");
    assert!(
        failure.log.contains("cannot listen on") && failure.log.lines().count() == 1,
        "{failure}"
    );

    // The two do not meet on one port.
    let tcp = Launch::new(env!("CARGO_BIN_EXE_iterative_server")).address(server.address());
    let tcp = tcp.start().unwrap_or_else(|failure| panic!("{failure}"));
    assert!(TcpStream::connect(tcp.address()).is_ok());
    Peer::of(&server).assert_silent();
}

#[test]
fn it_is_traced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let server = subject().start(&["--trace", file.to_str().unwrap()]);
    let peer = Peer::of(&server);
    for id in 0..3 {
        peer.ask(format!("{id} LIST\n"));
    }
    peer.send("7 OK 0\n");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    let trace = fs::read_to_string(file).unwrap();
    let slices = trace.lines().filter(|line| line.contains("\"name\":\"datagram\"")).count();
    assert_eq!(slices, 3, "{trace}");
}
