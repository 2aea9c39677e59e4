//! The datagram form as a function of bytes: within its limits it replies as the session does, and never to a
//! datagram that could be a reply.

use file_service::datagram::{MAX_BODY, MAX_HASHED, MAX_REPLY, MAX_REQUEST, answer};
use file_service::{Service, Session, Settings, Step, Store, Transport};
use proptest::prelude::*;
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use tempfile::TempDir;

fn peer() -> SocketAddr {
    ([127, 0, 0, 1], 9).into()
}

/// A service over a fresh directory with a few files in it.
fn service() -> (TempDir, Service) {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("hello.txt"), "hello\n").unwrap();
    fs::write(root.path().join("a b"), "blank").unwrap();
    fs::write(root.path().join("empty"), "").unwrap();
    fs::create_dir(root.path().join("folder")).unwrap();
    fs::write(root.path().join("folder/x"), "inner").unwrap();
    let store = Store::open(root.path(), true, false).unwrap();
    let service = Service::new(store, Settings::default());
    (root, service)
}

fn ask(service: &Service, datagram: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    answer(service, peer(), datagram.as_ref())
}

/// The reply as text, of which only the code is kept where it is a refusal.
#[track_caller]
fn reply(service: &Service, datagram: impl AsRef<[u8]>) -> String {
    let reply = String::from_utf8(ask(service, datagram).expect("a reply")).unwrap();
    match reply.split_once(" ERR ") {
        Some((id, refusal)) => {
            assert!(refusal.ends_with('\n') && refusal.matches('\n').count() == 1, "{reply:?}");
            format!("{id} ERR {}", refusal.split(' ').next().unwrap())
        }
        None => reply,
    }
}

/// Returns the session's reply to `line`.
fn session_reply(service: &Service, line: &[u8]) -> Vec<u8> {
    struct MemoryTransport<'a>(&'a [u8], Vec<u8>);

    impl Transport for MemoryTransport<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }

        fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
            self.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
            let mut piece = vec![0; length as usize];
            let n = file.read_at(&mut piece, *offset)?;
            self.1.extend_from_slice(&piece[..n]);
            *offset += n as u64;
            Ok(n)
        }

        fn finish(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reset(&mut self) {}
    }

    let mut transport = MemoryTransport(line, Vec::new());
    let mut session = Session::new(service, peer(), Default::default());
    loop {
        match session.advance(&mut transport) {
            Step::Offload(job) => session.resume(job.run()),
            Step::Closed => return transport.1,
            Step::Idle | Step::Yield | Step::Wait(_) => {}
        }
    }
}

#[test]
fn every_read_request_is_answered() {
    let (_root, service) = service();
    assert_eq!(reply(&service, "7 GET hello.txt\n"), "7 OK 6\nhello\n");
    assert_eq!(reply(&service, "7 GET hello.txt 1 3\n"), "7 OK 3\nell");
    assert_eq!(reply(&service, "7 get /hello.txt 6\r\n"), "7 OK 0\n");
    assert_eq!(reply(&service, "7 GET a%20b\n"), "7 OK 5\nblank");
    assert_eq!(reply(&service, "7 GET empty\n"), "7 OK 0\n");
    let listing = reply(&service, "0 LIST folder/\n");
    assert!(listing.starts_with("0 OK ") && listing.ends_with(" x\n"), "{listing:?}");
    assert_eq!(
        reply(&service, "9223372036854775807 HASH hello.txt\n"),
        "9223372036854775807 OK 65\n\
         5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03\n"
    );
}

#[test]
fn refused_request_gets_its_code() {
    let (_root, service) = service();
    for (request, code) in [
        ("1 PUT x 5\n", "stream-only"),
        ("1 PUT x 5\nhello", "bad-argument"),
        ("1 PUT x\n", "bad-argument"),
        ("1 QUIT\n", "stream-only"),
        ("1 QUIT now\n", "bad-argument"),
        ("1 GET\n", "bad-argument"),
        ("1 GET hello.txt -1\n", "bad-argument"),
        ("1 GET hello.txt  0\n", "bad-argument"),
        ("1 GET hello.txt 7\n", "bad-range"),
        ("1 GET ../etc/passwd\n", "bad-path"),
        ("1 GET a\0b\n", "bad-path"),
        ("1 GET a%00b\n", "bad-path"),
        ("1 GET absent\n", "not-found"),
        ("1 GET folder\n", "not-a-file"),
        ("1 LIST hello.txt\n", "not-a-directory"),
        ("1 HASH absent\n", "not-found"),
        // One datagram is one line, with its end.
        ("1 LIST", "bad-argument"),
        ("1 LIST ", "bad-argument"),
        ("1 GET hello.txt", "bad-argument"),
        ("1 GET hello.txt\n2 GET hello.txt\n", "bad-argument"),
        ("1 LIST\n\n", "bad-argument"),
        ("1 LIST\n\0", "bad-argument"),
    ] {
        assert_eq!(reply(&service, request), format!("1 ERR {code}"), "{request:?}");
    }
    assert_eq!(reply(&service, b"1 GET \xff\n"), "1 ERR bad-command");
    assert_eq!(fs::read_dir(_root.path()).unwrap().count(), 4, "nothing was stored");
}

#[test]
fn non_request_gets_no_reply() {
    let (_root, service) = service();
    for datagram in [
        "",
        "\n",
        " ",
        "7",
        "7\n",
        "7 ",
        "7 \n",
        "7  LIST\n",
        " 7 LIST\n",
        "LIST\n",
        "GET hello.txt\n",
        "x LIST\n",
        "-7 LIST\n",
        "+7 LIST\n",
        "07 LIST\n",
        "9223372036854775808 LIST\n",
        "7\tLIST\n",
        "7 LIST\thello\n",
        "7 LIST\0\n",
        "7 NONSENSE\n",
        "7 OK 0\n",
        "7 ok 0\n",
        "7 OK 5\nhello",
        "7 ERR not-found no such file or folder\n",
        "Thu Nov 21 22:33:16 2026\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        assert_eq!(ask(&service, datagram), None, "{datagram:?}");
    }
}

#[test]
fn limits_are_exact() {
    let (root, service) = service();
    let write = |name: &str, size: u64| {
        File::create(root.path().join(name)).unwrap().set_len(size).unwrap();
    };
    write("most", MAX_BODY as u64);
    write("more", MAX_BODY as u64 + 1);
    let longest = ask(&service, "9223372036854775807 GET most\n").unwrap();
    assert_eq!(longest.len(), MAX_REPLY);
    assert_eq!(reply(&service, "1 GET more\n"), "1 ERR too-large");
    assert_eq!(reply(&service, "1 GET more 0 8193\n"), "1 ERR too-large");
    assert!(reply(&service, "1 GET more 0 8192\n").starts_with("1 OK 8192\n"));
    assert!(reply(&service, "1 GET more 1\n").starts_with("1 OK 8192\n"));
    assert!(reply(&service, "1 GET more 8192 9223372036854775807\n").starts_with("1 OK 1\n"));

    write("hashed", MAX_HASHED);
    write("unhashed", MAX_HASHED + 1);
    assert!(reply(&service, "1 HASH hashed\n").starts_with("1 OK 65\n"));
    assert_eq!(reply(&service, "1 HASH unhashed\n"), "1 ERR too-large");

    // The path is too long for a file system, and the line is not.
    let request = |length: usize| {
        let mut request = b"1 GET ".to_vec();
        request.extend((0..length - 7).map(|n| if n % 200 == 199 { b'/' } else { b'x' }));
        request.push(b'\n');
        assert_eq!(request.len(), length);
        request
    };
    assert_eq!(reply(&service, request(MAX_REQUEST)), "1 ERR not-found");
    assert_eq!(reply(&service, request(MAX_REQUEST + 1)), "1 ERR line-too-long");
    // What was cut by the kernel has no LF, and is no less too long.
    assert_eq!(reply(&service, &request(65_507)[..MAX_REQUEST + 1]), "1 ERR line-too-long");
    assert_eq!(ask(&service, &request(65_507)[2..MAX_REQUEST + 3]), None);
}

#[test]
fn fictitious_size_is_refused() {
    let store = Store::open(std::path::Path::new("/proc/self"), false, false).unwrap();
    let service = Service::new(store, Settings::default());
    for request in ["GET status", "GET status 0 1", "HASH status"] {
        assert_eq!(reply(&service, format!("7 {request}\n")), "7 ERR not-a-file");
    }
    let listing = reply(&service, "7 LIST\n");
    assert!(listing.lines().skip(1).all(|line| line.starts_with("d ")), "{listing}");
}

#[test]
fn long_listing_is_refused_whole() {
    let (root, service) = service();
    let mut refused = 0;
    fs::create_dir(root.path().join("long")).unwrap();
    for n in 0..40 {
        File::create(root.path().join(format!("long/{n:0250}"))).unwrap();
        let whole = session_reply(&service, b"LIST long\n");
        let body = whole.splitn(2, |&b| b == b'\n').nth(1).unwrap();
        match body.len() {
            0..=MAX_BODY => assert_eq!(ask(&service, "1 LIST long\n").unwrap()[2..], whole),
            _ => {
                refused += 1;
                assert_eq!(reply(&service, "1 LIST long\n"), "1 ERR too-large");
            }
        }
    }
    assert!((1..40).contains(&refused), "{refused} of 40 refused");

    // The shortest names that there can be: were the count too strict, these would be refused too early.
    fs::create_dir(root.path().join("many")).unwrap();
    for n in 0..2000 {
        File::create(root.path().join(format!("many/{n}"))).unwrap();
    }
    assert_eq!(reply(&service, "1 LIST many\n"), "1 ERR too-large");
}

/// Datagrams that are nearly requests.
fn near_request() -> impl Strategy<Value = Vec<u8>> {
    let id =
        prop_oneof![Just("7".to_string()), Just(i64::MAX.to_string()), "[0-9]{1,20}", "\\PC{0,3}"];
    let verb = prop_oneof!["([Ll]IST|[Gg]ET|[Hh]ASH|[Pp]UT|[Qq]UIT)", "(OK|ERR)", "[A-Z]{0,4}",];
    let field = prop_oneof![
        Just("hello.txt".to_string()),
        Just("folder".to_string()),
        Just("a%20b".to_string()),
        "[0-9]{1,20}",
        "[./%a-z0-9\n\r\0 ]{0,12}",
    ];
    let end = prop_oneof![4 => Just("\n"), 1 => Just("\r\n"), 1 => Just(""), 1 => Just("\n\n")];
    (id, verb, proptest::collection::vec(field, 0..4), end).prop_map(|(id, verb, fields, end)| {
        let mut fields_of_line = vec![id, verb];
        fields_of_line.extend(fields);
        (fields_of_line.join(" ") + end).into_bytes()
    })
}

/// Asserts what must hold for any datagram.
fn check(service: &Service, datagram: &[u8]) -> Result<(), TestCaseError> {
    let Some(reply) = ask(service, datagram) else {
        return Ok(());
    };
    prop_assert!(reply.len() <= MAX_REPLY);
    let space = datagram.iter().position(|&b| b == b' ').unwrap();
    let rest = reply.strip_prefix(&datagram[..=space]);
    let rest = rest.ok_or_else(|| TestCaseError::fail("the identifier is not echoed"))?;
    if rest.starts_with(b"OK ") {
        let end = rest.iter().position(|&b| b == b'\n').unwrap();
        let length: usize = std::str::from_utf8(&rest[3..end]).unwrap().parse().unwrap();
        prop_assert_eq!(rest.len() - end - 1, length);
    } else {
        prop_assert!(rest.starts_with(b"ERR ") && rest.ends_with(b"\n"));
        prop_assert!(rest[..rest.len() - 1].iter().all(|b| (b' '..=b'~').contains(b)));
    }
    prop_assert_eq!(ask(service, &reply), None, "a reply is answered");
    // The same again: nothing has changed by the first copy.
    prop_assert_eq!(ask(service, datagram), Some(reply));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_datagram_keeps_the_invariants(datagrams in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let (_root, service) = service();
        for datagram in datagrams {
            check(&service, &datagram)?;
        }
    }

    #[test]
    fn malformed_request_keeps_the_invariants(datagrams in proptest::collection::vec(near_request(), 1..20)) {
        let (_root, service) = service();
        for datagram in datagrams {
            check(&service, &datagram)?;
        }
    }

    /// Within the limits a datagram gets what a connection gets, whatever the line.
    #[test]
    fn datagram_reply_equals_session_reply(
        verb in "([Ll]IST|[Gg]ET|[Hh]ASH)",
        fields in proptest::collection::vec(
            prop_oneof![
                Just("hello.txt"), Just("folder"), Just("folder/x"), Just("a%20b"), Just("empty"), Just("absent"),
                Just("../x"), Just("%zz"), Just("0"), Just("3"), Just("6"), Just("7"), Just("-1"), Just(""), Just("/"),
            ],
            0..4,
        ),
    ) {
        let (_root, service) = service();
        let mut fields_of_line = vec![verb.as_str()];
        fields_of_line.extend(fields);
        let line = fields_of_line.join(" ") + "\n";
        let datagram = ask(&service, format!("42 {line}")).unwrap();
        prop_assert_eq!(&datagram[3..], session_reply(&service, line.as_bytes()));
    }
}
