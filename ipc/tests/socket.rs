//! Local sockets, with other processes at the other end.

mod common;

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{Peer, TEST_TIMEOUT, wait_for, wait_in_call};
use ipc::signal::{Signal, send};
use ipc::socket::{Address, Datagram, Listener, MAX_DESCRIPTORS, PacketListener, Packets, Stream};
use ipc::{Error, Wait};
use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr};

const SHORT: Duration = Duration::from_millis(30);

/// An abstract name of this test's own, and as the peers take it.
fn abstract_name() -> (Address, String) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("ipc-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
    (Address::abstract_name(&name).unwrap(), format!("@{name}"))
}

/// A path in a directory of its own.
fn path() -> (tempfile::TempDir, Address, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let text = path.to_str().unwrap().to_owned();
    (directory, Address::path(path).unwrap(), text)
}

fn read(stream: &mut Stream) -> String {
    stream.set_wait(Wait::Forever, Wait::AtMost(TEST_TIMEOUT));
    let mut buffer = [0; 64];
    let length = stream.read(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn invalid_address_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let longest = directory.path().join("x".repeat(106 - directory.path().as_os_str().len()));
    let listener = Listener::bind(&Address::path(&longest).unwrap()).unwrap();
    assert_eq!(listener.address().unwrap().as_path(), Some(&*longest));
    assert_eq!(longest.as_os_str().len(), 107);
    let longer = longest.with_extension("");
    let error = Address::path(longer.as_os_str().to_str().unwrap().to_owned() + "x").unwrap_err();
    assert!(matches!(error, Error::OutOfRange { given: 108, most: 107, .. }), "{error}");
    assert!(matches!(Address::path(""), Err(Error::InvalidName { .. })));
    assert!(matches!(Address::path("a\0b"), Err(Error::InvalidName { .. })));
    assert!(matches!(Address::abstract_name(""), Err(Error::InvalidName { .. })));
    assert!(matches!(Address::abstract_name([b'x'; 108]), Err(Error::OutOfRange { .. })));
    let odd = Address::abstract_name([0, b'x', 0xff]).unwrap();
    assert_eq!(odd.to_string(), "@\\x00x\\xff");
    assert_eq!(
        Address::abstract_name([b'x'; 107]).unwrap().as_abstract_name(),
        Some(&[b'x'; 107][..])
    );
}

#[test]
fn stale_path_is_replaced() {
    let (_directory, address, text) = path();
    let mut peer = Peer::start("socket", "listen", &[&text]);
    assert_eq!(peer.line(), "listening");
    assert_eq!(read(&mut Stream::connect(&address).unwrap()), "welcome");
    peer.kill();
    assert!(fs::symlink_metadata(&text).unwrap().file_type().is_socket());
    let error = Stream::connect(&address).unwrap_err();
    assert!(matches!(&error, Error::Closed { object } if *object == text), "{error}");

    let listener = Listener::bind(&address).unwrap();
    let client = Stream::connect(&address).unwrap();
    listener.accept().unwrap().write_all(b"new").unwrap();
    let mut client = client;
    assert_eq!(read(&mut client), "new");
    drop(listener);
    assert!(!Path::new(&text).exists());
    assert_eq!(Stream::connect(&address).unwrap_err().errno(), Some(Errno::ENOENT));
}

#[test]
fn live_path_is_never_replaced() {
    let (_directory, address, text) = path();
    let mut peer = Peer::start("socket", "listen", &[&text]);
    assert_eq!(peer.line(), "listening");
    for _ in 0..3 {
        assert_eq!(Listener::bind(&address).unwrap_err().errno(), Some(Errno::EADDRINUSE));
        assert_eq!(PacketListener::bind(&address).unwrap_err().errno(), Some(Errno::EADDRINUSE));
        assert_eq!(Datagram::bind(&address).unwrap_err().errno(), Some(Errno::EADDRINUSE));
    }
    // The first connection that the server gets is ours: the attempts left none behind.
    assert_eq!(read(&mut Stream::connect(&address).unwrap()), "welcome");
}

#[test]
fn bound_path_before_listen_is_live() {
    let (_directory, address, text) = path();
    for kind in [SockType::Stream, SockType::Datagram, SockType::SeqPacket] {
        let (family, flags) = (AddressFamily::Unix, SockFlag::SOCK_CLOEXEC);
        let socket = nix::sys::socket::socket(family, kind, flags, None).unwrap();
        let name = UnixAddr::new(text.as_str()).unwrap();
        nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &name).unwrap();
        assert_eq!(Listener::bind(&address).unwrap_err().errno(), Some(Errno::EADDRINUSE));
        assert_eq!(Datagram::bind(&address).unwrap_err().errno(), Some(Errno::EADDRINUSE));
        drop(socket);
        drop(wait_for(|| match Listener::bind(&address) {
            Err(error) if error.errno() == Some(Errno::EADDRINUSE) => None,
            bound => Some(bound.unwrap()),
        }));
    }
}

#[test]
fn racing_binds_have_one_winner() {
    let (_directory, address, text) = path();
    for _ in 0..5 {
        drop(std::os::unix::net::UnixListener::bind(&text).unwrap()); // leaves its name
        wait_for(|| std::os::unix::net::UnixStream::connect(&text).err());
        let mut peers = [(); 4].map(|()| Peer::start("socket", "race", &[&text]));
        for peer in &mut peers {
            assert_eq!(peer.line(), "ready");
        }
        peers.iter_mut().for_each(|peer| peer.write_line("go"));
        let bound = peers.iter_mut().map(Peer::line).filter(|line| line == "bound").count();
        assert_eq!(bound, 1);
        Stream::connect(&address).unwrap();
        for peer in peers {
            assert_eq!(peer.finish(), Some(0));
        }
        assert!(!Path::new(&text).exists());
    }
}

#[test]
fn non_socket_is_refused_untouched() {
    let (_directory, address, text) = path();
    fs::write(&text, "text").unwrap();
    assert!(matches!(Listener::bind(&address), Err(Error::Unusable { .. })));
    assert!(matches!(Datagram::bind(&address), Err(Error::Unusable { .. })));
    assert_eq!(fs::read_to_string(&text).unwrap(), "text");
    fs::remove_file(&text).unwrap();
    std::os::unix::fs::symlink("nowhere", &text).unwrap();
    assert!(matches!(Listener::bind(&address), Err(Error::Unusable { .. })));
    assert_eq!(fs::read_link(&text).unwrap(), Path::new("nowhere"));
    let inside = Address::path(format!("{text}-missing/socket")).unwrap();
    assert_eq!(Listener::bind(&inside).unwrap_err().errno(), Some(Errno::ENOENT));
}

#[test]
fn replaced_path_is_not_removed() {
    let (directory, address, text) = path();
    let listener = Listener::bind(&address).unwrap();
    fs::rename(&text, directory.path().join("moved")).unwrap();
    fs::write(&text, "somebody else's").unwrap();
    drop(listener);
    assert_eq!(fs::read_to_string(&text).unwrap(), "somebody else's");
}

#[test]
fn abstract_name_ends_with_its_socket() {
    let (address, text) = abstract_name();
    let listener = Listener::bind(&address).unwrap();
    assert_eq!(Listener::bind(&address).unwrap_err().errno(), Some(Errno::EADDRINUSE));
    let mut peer = Peer::start("socket", "connect", &[&text]);
    assert_eq!(peer.line(), "connected");
    listener.accept_timeout(TEST_TIMEOUT).unwrap();
    drop(listener);
    wait_for(|| matches!(Stream::connect(&address), Err(Error::Closed { .. })).then_some(()));
    let again = wait_for(|| Listener::bind(&address).ok());
    assert!(again.path().is_none());
}

#[test]
fn credentials_name_the_peer() {
    let (address, text) = abstract_name();
    let listener = Listener::bind(&address).unwrap();
    let peer = Peer::start("socket", "connect", &[&text]);
    let stream = listener.accept_timeout(TEST_TIMEOUT).unwrap();
    let credentials = stream.peer_credentials().unwrap();
    assert_eq!(credentials.pid, peer.pid());
    assert_eq!(credentials.uid, nix::unistd::geteuid().as_raw());
    assert_eq!(credentials.gid, nix::unistd::getegid().as_raw());

    let (address, text) = abstract_name();
    let receiver = Datagram::bind(&address).unwrap();
    assert!(matches!(receiver.peer_credentials(), Err(Error::Closed { .. })));
    receiver.receive_credentials().unwrap();
    receiver.set_wait(Wait::Forever, Wait::AtMost(TEST_TIMEOUT));
    let mut peer = Peer::start("socket", "datagram", &[&text]);
    let received = receiver.receive(&mut [0; 64]).unwrap();
    assert_eq!(received.length, 11);
    assert_eq!(received.credentials.unwrap().pid, peer.pid());
    assert_eq!(received.from.unwrap().to_string(), peer.line());
}

#[test]
fn descriptor_reaches_another_process() {
    let (address, text) = abstract_name();
    let listener = Listener::bind(&address).unwrap();
    let mut peer = Peer::start("socket", "receive", &[&text]);
    let stream = listener.accept_timeout(TEST_TIMEOUT).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"the content").unwrap();
    file.rewind().unwrap();
    stream.send_descriptors(b"take this", &[file.as_fd()]).unwrap();
    assert_eq!(peer.line(), "take this: the content FdFlag(FD_CLOEXEC)");
    assert_eq!(peer.line(), "leaked 0");
    // The open file is the same one, so the peer's reading has moved our position.
    assert_eq!(file.stream_position().unwrap(), 11);

    // More than the peer wants: refused, and none of them stays open there.
    let three = [file.as_fd(); 3];
    stream.send_descriptors(b"too many", &three).unwrap();
    let refusal = peer.line();
    assert!(refusal.contains("descriptors received: 3 is not within 0 to 1"), "{refusal}");
    assert_eq!(peer.line(), "leaked 0");
    (&stream).write_all(b"and on").unwrap();
    assert_eq!(peer.line(), "and on: none");
    drop(stream);
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn refused_descriptors_are_not_leaked() {
    let (address, text) = abstract_name();
    let listener = Listener::bind(&address).unwrap();
    let mut peer = Peer::start("socket", "starved", &[&text]);
    let stream = listener.accept_timeout(TEST_TIMEOUT).unwrap();
    let file = File::open("/dev/null").unwrap();
    stream.send_descriptors(b"ten", &[file.as_fd(); 10]).unwrap();
    stream.send_descriptors(b"five", &[file.as_fd(); 5]).unwrap();
    assert_eq!(peer.line(), "ready");
    peer.write_line("go");
    let refusal = peer.line();
    assert!(refusal.contains("EMFILE"), "{refusal}");
    assert_eq!(peer.line(), "leaked 0");
    assert_eq!(peer.line(), "five 5");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn descriptor_count_is_checked() {
    let (one, other) = Stream::pair().unwrap();
    let file = File::open("/dev/null").unwrap();
    let files = [file.as_fd(); MAX_DESCRIPTORS + 1];
    assert!(matches!(one.send_descriptors(b"x", &files), Err(Error::OutOfRange { .. })));
    assert!(matches!(one.send_descriptors(b"x", &[]), Err(Error::OutOfRange { .. })));
    assert!(matches!(one.send_descriptors(b"", &files[1..]), Err(Error::OutOfRange { .. })));
    other.set_wait(Wait::Forever, Wait::Never);
    let mut buffer = [0; 8];
    assert!(matches!(other.receive_descriptors(&mut buffer, 1), Err(Error::WouldBlock { .. })));
    one.send_descriptors(b"x", &files[1..]).unwrap();
    let (length, got) = other.receive_descriptors(&mut buffer, MAX_DESCRIPTORS).unwrap();
    assert_eq!((length, got.len()), (1, MAX_DESCRIPTORS));
}

#[test]
fn long_message_with_descriptor_arrives_whole() {
    let (one, other) = Stream::pair().unwrap();
    let sent: Vec<u8> = (0..2_000_000_u32).map(|n| n as u8).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| one.send_descriptors(&sent, &[one.as_fd()]).unwrap());
        let (mut got, mut descriptors) = (Vec::new(), 0);
        let mut buffer = [0; 5000];
        while got.len() < sent.len() {
            let (length, with) = other.receive_descriptors(&mut buffer, 1).unwrap();
            got.extend_from_slice(&buffer[..length]);
            descriptors += with.len();
        }
        assert_eq!(descriptors, 1);
        assert!(got == sent, "the bytes differ");
    });
}

#[test]
fn ordinary_read_drops_descriptors() {
    let (one, mut other) = Stream::pair().unwrap();
    let (reader, writer) = ipc::pipe::pipe().unwrap();
    one.send_descriptors(b"x", &[writer.as_fd()]).unwrap();
    drop(writer);
    assert!(matches!(reader.try_read(&mut [0; 8]), Err(Error::WouldBlock { .. })), "under way");
    assert_eq!(read(&mut other), "x");
    assert_eq!(reader.read_timeout(&mut [0; 8], TEST_TIMEOUT).unwrap(), 0);
}

#[test]
fn calls_with_timeout_time_out() {
    let (mut one, _other) = Stream::pair().unwrap();
    one.set_wait(Wait::AtMost(SHORT), Wait::AtMost(SHORT));
    let start = Instant::now();
    assert_eq!(one.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(start.elapsed() >= SHORT);
    let full = loop {
        if let Err(error) = one.write(&[0; 65_536]) {
            break error;
        }
    };
    assert_eq!(full.kind(), ErrorKind::TimedOut);
    one.set_wait(Wait::Never, Wait::Never);
    assert_eq!(one.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert_eq!(one.write(&[0; 65_536]).unwrap_err().kind(), ErrorKind::WouldBlock);

    let (address, _) = abstract_name();
    let listener = Listener::bind(&address).unwrap();
    assert!(matches!(listener.accept_timeout(SHORT), Err(Error::TimedOut { waited: SHORT, .. })));
}

#[test]
fn connect_to_full_backlog_times_out() {
    let (address, text) = abstract_name();
    let (family, kind) = (AddressFamily::Unix, SockType::Stream);
    let socket = nix::sys::socket::socket(family, kind, SockFlag::SOCK_CLOEXEC, None).unwrap();
    let name = UnixAddr::new_abstract(&text.as_bytes()[1..]).unwrap();
    nix::sys::socket::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &name).unwrap();
    nix::sys::socket::listen(&socket, Backlog::new(1).unwrap()).unwrap();
    let mut waiting = Vec::new();
    let start = Instant::now();
    let error = loop {
        match Stream::connect_timeout(&address, SHORT) {
            Ok(stream) => waiting.push(stream),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::TimedOut { .. }), "{error}");
    assert!(start.elapsed() >= SHORT);
    assert_eq!(waiting.len(), 2, "the backlog and the one that made it full");
}

#[test]
fn packets_keep_their_boundaries() {
    let (address, _) = abstract_name();
    let listener = PacketListener::bind(&address).unwrap();
    let one = Packets::connect(&address).unwrap();
    let other = listener.accept().unwrap();
    one.send(b"one").unwrap();
    one.send(b"three").unwrap();
    one.send(b"six").unwrap();
    assert!(matches!(one.send(b""), Err(Error::OutOfRange { .. })));
    let mut buffer = [0; 4];
    assert_eq!(other.receive(&mut buffer).unwrap(), Some(3));
    let cut = other.receive(&mut buffer).unwrap_err();
    assert!(matches!(cut, Error::OutOfRange { given: 5, most: 4, .. }), "{cut}");
    assert_eq!(other.receive(&mut buffer).unwrap(), Some(3));
    assert_eq!(&buffer[..3], b"six");
    assert_eq!(one.send(&vec![0; 100_000_000]).unwrap_err().errno(), Some(Errno::EMSGSIZE));
    // With descriptors, too, a message is whole or lost.
    one.send_descriptors(b"three", &[one.as_fd()]).unwrap();
    let cut = other.receive_descriptors(&mut buffer, 1).unwrap_err();
    assert!(matches!(cut, Error::OutOfRange { given: 5, most: 4, .. }), "{cut}");
    drop(one);
    assert_eq!(other.receive(&mut buffer).unwrap(), None);
    assert!(matches!(other.send(b"x"), Err(Error::Closed { .. })));
}

#[test]
fn datagram_failures_are_reported() {
    let (_directory, address, text) = path();
    let receiver = Datagram::bind(&address).unwrap();
    let client = Datagram::unbound().unwrap();
    client.send_to(b"", &address).unwrap();
    client.send_to(b"too long", &address).unwrap();
    client.send_to(b"fits", &address).unwrap();
    let mut buffer = [0; 4];
    assert_eq!(receiver.receive(&mut buffer).unwrap().length, 0);
    let cut = receiver.receive(&mut buffer).unwrap_err();
    assert!(matches!(cut, Error::OutOfRange { given: 8, most: 4, .. }), "{cut}");
    let received = receiver.receive(&mut buffer).unwrap();
    assert_eq!((received.length, received.from, received.credentials), (4, None, None));

    client.set_wait(Wait::Never, Wait::Forever);
    let full = loop {
        if let Err(error) = client.send_to(b"x", &address) {
            break error;
        }
    };
    assert!(matches!(full, Error::WouldBlock { .. }), "{full}");
    client.set_wait(Wait::AtMost(SHORT), Wait::Forever);
    assert!(matches!(client.send_to(b"x", &address), Err(Error::TimedOut { .. })));

    client.connect(&address).unwrap();
    drop(receiver);
    assert!(!Path::new(&text).exists());
    wait_for(|| matches!(client.send(b"x"), Err(Error::Closed { .. })).then_some(()));
    let (nobody, text) = abstract_name();
    assert!(matches!(
        Datagram::unbound().unwrap().send_to(b"x", &nobody),
        Err(Error::Closed { object }) if object == text
    ));
}

#[test]
fn killed_peer_closes_connection() {
    let (address, text) = abstract_name();
    let listener = Listener::bind(&address).unwrap();
    let mut peer = Peer::start("socket", "connect", &[&text]);
    let mut stream = listener.accept_timeout(TEST_TIMEOUT).unwrap();
    peer.kill();
    assert_eq!(read(&mut stream), "");
    let error = stream.write(b"x").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert!(error.to_string().starts_with(&text), "{error}");
}

#[test]
fn shutdown_ends_one_direction() {
    let (mut one, mut other) = Stream::pair().unwrap();
    one.write_all(b"the last word").unwrap();
    one.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    other.read_to_string(&mut text).unwrap();
    assert_eq!(text, "the last word");
    other.write_all(b"not quite").unwrap();
    assert_eq!(read(&mut one), "not quite");
}

#[test]
fn pair_serves_child_as_stdio() {
    let (mut near, far) = Stream::pair().unwrap();
    let output: OwnedFd = far.as_fd().try_clone_to_owned().unwrap();
    let mut child = Command::new("cat").stdin(far).stdout(output).spawn().unwrap();
    near.write_all(b"there and back").unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read(&mut near), "there and back");
    assert_eq!(read(&mut near), "");
    assert!(child.wait().unwrap().success());
}

#[test]
fn inherited_descriptor_is_checked() {
    let (one, other) = Stream::pair().unwrap();
    assert!(matches!(Packets::from_fd(one.into()), Err(Error::Unusable { .. })));
    let mut stream = Stream::from_fd(other.into()).unwrap();
    assert_eq!(read(&mut stream), "");
    let file: OwnedFd = File::open("/dev/null").unwrap().into();
    assert!(matches!(Stream::from_fd(file), Err(Error::Unusable { .. })));
    let kind = SockType::Stream;
    let flags = SockFlag::SOCK_CLOEXEC;
    let network = nix::sys::socket::socket(AddressFamily::Inet, kind, flags, None).unwrap();
    assert!(matches!(Stream::from_fd(network), Err(Error::Unusable { .. })));
}

#[test]
fn child_inherits_no_socket() {
    // What the tests themselves were started with is not ours.
    let before = Peer::start("socket", "descriptors", &[]).line();
    let (address, _) = abstract_name();
    let listener = Listener::bind(&address).unwrap();
    let client = Stream::connect(&address).unwrap();
    let server = listener.accept().unwrap();
    server.send_descriptors(b"x", &[server.as_fd()]).unwrap();
    let _received = client.receive_descriptors(&mut [0; 8], 1).unwrap();
    let _others = (Datagram::bind_any().unwrap(), Packets::pair().unwrap());
    let mut peer = Peer::start("socket", "descriptors", &[]);
    assert_eq!(peer.line(), before);
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn blocking_read_survives_signal_handler() {
    let (address, text) = abstract_name();
    let listener = Listener::bind(&address).unwrap();
    let mut peer = Peer::start("socket", "interrupted", &[&text]);
    let mut stream = listener.accept_timeout(TEST_TIMEOUT).unwrap();
    assert_eq!(peer.line(), "reading");
    for _ in 0..3 {
        wait_in_call(&peer.pid().to_string(), libc::SYS_recvfrom);
        send(peer.pid(), Signal::USR1).unwrap();
        assert_eq!(peer.line(), "handled");
    }
    stream.write_all(b"still here").unwrap();
    drop(stream);
    assert_eq!(peer.line(), "still here");
    assert_eq!(peer.finish(), Some(0));
}
