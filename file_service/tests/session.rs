//! The session over a transport made of memory: how bytes are split, and when the transport would block, never changes a reply.

use file_service::{Interest, Service, Session, Settings, Step, Store, Transport};
use proptest::prelude::*;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// A peer that sends `input` in pieces of the given sizes and takes output in such pieces; in
/// between every call would block.
struct Script<'a> {
    input: &'a [u8],
    output: Vec<u8>,
    pieces: Vec<usize>,
    calls: usize,
    ready: bool,
    finished: bool,
}

impl<'a> Script<'a> {
    fn new(input: &'a [u8], pieces: Vec<usize>) -> Script<'a> {
        Script { input, output: Vec::new(), pieces, calls: 0, ready: true, finished: false }
    }

    /// Every second call would block; the others move at most the next piece.
    fn piece(&mut self, most: usize) -> io::Result<usize> {
        self.ready = !self.ready;
        if self.ready {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.calls += 1;
        Ok(self.pieces[self.calls % self.pieces.len()].clamp(1, most))
    }
}

impl Transport for Script<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.piece(buffer.len())?.min(self.input.len());
        let (now, later) = self.input.split_at(n);
        buffer[..n].copy_from_slice(now);
        self.input = later;
        Ok(n)
    }

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        assert!(!self.finished, "nothing is written after the end");
        let n = self.piece(bytes.len())?;
        self.output.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        let n = self.piece(length as usize)?;
        let mut bytes = vec![0; n];
        let n = file.read_at(&mut bytes, *offset)?;
        self.output.extend_from_slice(&bytes[..n]);
        *offset += n as u64;
        Ok(n)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.finished = true;
        Ok(())
    }

    fn reset(&mut self) {
        panic!("a file that stays as it is is sent whole");
    }
}

fn service(root: &Path) -> Service {
    Service::new(Store::open(root, true, false).unwrap(), Settings::default())
}

/// Runs a conversation to its end. Returns all replies.
fn run(service: &Service, input: &[u8], pieces: Vec<usize>) -> Vec<u8> {
    let mut script = Script::new(input, pieces);
    let mut session = Session::new(service, ([127, 0, 0, 1], 1).into(), Default::default());
    loop {
        match session.advance(&mut script) {
            Step::Idle | Step::Yield | Step::Wait(_) => {}
            Step::Offload(job) => session.resume(job.run()),
            Step::Closed => return script.output,
        }
    }
}

const CONVERSATION: &[u8] = b"GET small\nPUT new 11\nhello worldGET new\r\nHASH large\nFROB\nPUT ../x 3\nabcGET large 5 70000\n\
    PUT sub/none/x 4\nabcdHASH new\nGET small 2 1\nGET small 4\nLIST nowhere\nQUIT\nGET small\n";

const HTTP_CONVERSATION: &[u8] =
    b"GET /small HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\nPUT /put HTTP/1.1\r\nHost: x\r\n\
    Content-Length: 5\r\n\r\nhelloPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc";

/// Conversations of which each ends in a refusal that closes, or in a request whose end is missing.
const REFUSED: [&[u8]; 33] = [
    b"PUT a x\nGET small\n",
    b"\r\n",
    b"\r\nGET sm",
    b"\r\nGET small\nQUIT\n",
    b"\r\n\r\nGET /small HTTP/1.1\r\n",
    b"\n\r\nGET small\n",
    b"\r\nGET /none HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\r\n\nGET / HTTP/1.1\r\n",
    b"GET /a b HTTP/1.1\r\nPUT new 3\nabc",
    b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
    b"G@T / HTTP/1.1\r\nHost: x\n",
    b"GET / HTTP/1.1\nA : b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\nA : b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\nTransfer-Encoding: chunked\r\n\r\n",
    b"GET / HTTP/1.1\r\nA : b\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\nA : b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\n",
    b"GET / HTTP/1.1\r\nA: b\rc\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: \x01\nB\r\n\r\n",
    b"PUT /new HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    b"PUT /new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nabc",
    b"PUT /new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
    b"PUT /new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    b"PUT /new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX y\r\n\r\n",
    b"PUT /new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffff\r\nabc",
    b"PUT /no/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n",
    b"PUT /no/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET a\r\n",
    b"PUT /new HTTP/1.1\r\nHost: x\r\n\r\n3\r\nabc",
    b"PUT /small HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/3\r\n\r\nx\r\nx\r\n\r\n",
    b"PUT /new HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n",
];

/// Conversations that a limit ends.
fn too_large() -> Vec<Vec<u8>> {
    let x = |n| "x".repeat(n);
    let head = "GET / HTTP/1.1\r\nHost: x\r\n";
    let texts = [
        x(5000),
        format!("\r\n{}\r\nGET small\n", x(4095)),
        format!("GET /{}\nGET small\n", x(5000)),
        format!("\r\nGET /{}\nGET small\n", x(5000)),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", x(6000)),
        format!("POST /{} HTTP/1.1\r\nPUT new 3\nabc", x(9000)),
        format!("\r\nPOST /{} HTTP/1.1\r\nPUT new 3\nabc", x(9000)),
        format!("{head}{}\r\n", "X: y\r\n".repeat(101)),
        format!("{head}{}X : y\r\n\r\n", "X: y\r\n".repeat(99)),
        format!("{head}{}X: y\n\r\n", "X: y\r\n".repeat(100)),
        format!("{head}X: {}\r\n\r\n", x(17_000)),
        format!("{head}X: {}\r\nX : y\r\nX: {}\r\n\r\n", x(9000), x(9000)),
        format!("{head}X: {}\r\nX: {}\nX: {}\r\n\r\n", x(9000), x(7000), x(9000)),
        format!("{head}X : {}\r\n\r\n", x(17_000)),
    ];
    texts.map(String::into_bytes).into()
}

/// Conversations made of pieces of requests, most of which are refused somewhere.
fn conversations() -> impl Strategy<Value = Vec<u8>> {
    let fragment = prop_oneof![
        2 => Just("GET /small HTTP/1.1\r\n"),
        2 => Just("PUT /new HTTP/1.1\r\n"),
        1 => Just("PUT /no/x HTTP/1.1\r\n"),
        1 => proptest::sample::select(vec![
            "GET /small HTTP/1.2\r\n", "GET / HTTP/2.0\r\n", "POST / HTTP/1.1\r\n", "GET /a b HTTP/1.1\r\n",
        ]),
        3 => Just("Host: x\r\n"),
        3 => Just("\r\n"),
        2 => Just("Transfer-Encoding: chunked\r\n"),
        1 => Just("Content-Length: 3\r\n"),
        1 => proptest::sample::select(vec![
            "A : b\r\n", "A: b\n", " folded\r\n", "\n", "\r", "Content-Range: x\r\n",
            "Transfer-Encoding: gzip, chunked\r\n", "Connection: close\r\n",
        ]),
        3 => proptest::sample::select(vec![
            "abc", "3\r\nabc\r\n", "0\r\n\r\n", "0\r\n", "3\r\nabcd\r\n", "1;x\r\na\r\n", "ffffffffff\r\n",
        ]),
        2 => proptest::sample::select(vec![
            "GET small\n", "GET small 1 1\r\n", "PUT new 3\nabc", "PUT new x\n", "QUIT\n", "NONSENSE\n",
        ]),
    ];
    proptest::collection::vec(fragment, 0..16).prop_map(|parts| parts.concat().into_bytes())
}

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("small"), "abc").unwrap();
    let large: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    std::fs::write(root.path().join("large"), large).unwrap();
    root
}

/// Replies of HTTP carry the time of day, and a tag as soon as the file is old enough for one.
fn without_dates(replies: Vec<u8>) -> Vec<String> {
    let text = String::from_utf8_lossy(&replies).into_owned();
    let dated = ["Date:", "Last-Modified:", "ETag:"];
    let is_dated = |line: &&str| dated.iter().any(|name| line.starts_with(name));
    text.split("\r\n").filter(|line| !is_dated(line)).map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn split_input_gives_same_replies(
        pieces in proptest::collection::vec(prop_oneof![1usize..8, 1usize..5000, Just(1 << 20)], 1..20)
    ) {
        let root = root();
        let service = service(root.path());
        let whole = run(&service, CONVERSATION, vec![usize::MAX]);
        std::fs::remove_file(root.path().join("new")).unwrap();
        prop_assert!(run(&service, CONVERSATION, pieces.clone()) == whole);
        prop_assert!(whole.ends_with(b"OK 0\n"), "the conversation reaches QUIT");

        let whole = run(&service, HTTP_CONVERSATION, vec![usize::MAX]);
        std::fs::remove_file(root.path().join("put")).unwrap();
        let split = run(&service, HTTP_CONVERSATION, pieces);
        prop_assert_eq!(without_dates(split), without_dates(whole));
    }

    #[test]
    fn any_cut_gives_same_limit_refusal(
        input in proptest::sample::select(too_large()),
        pieces in proptest::collection::vec(prop_oneof![1usize..300, 1usize..9000], 1..10),
    ) {
        let root = root();
        let service = service(root.path());
        let whole = without_dates(run(&service, &input, vec![usize::MAX]));
        prop_assert_eq!(without_dates(run(&service, &input, pieces)), whole);
        prop_assert!(!root.path().join("new").exists());
    }

    #[test]
    fn any_cut_gives_same_conversation(
        input in conversations(),
        pieces in proptest::collection::vec(prop_oneof![1usize..4, 1usize..60], 1..10),
    ) {
        let mut outcomes = [vec![usize::MAX], vec![1], pieces].map(|pieces| {
            let root = root();
            let replies = without_dates(run(&service(root.path()), &input, pieces));
            (replies, std::fs::read(root.path().join("new")).ok())
        });
        for (replies, _) in &mut outcomes {
            // It is made of the inode, too.
            replies.retain(|line| !line.starts_with("ETag:"));
        }
        prop_assert_eq!(&outcomes[0], &outcomes[1]);
        prop_assert_eq!(&outcomes[0], &outcomes[2]);
    }

    #[test]
    fn any_chunking_stores_same_file(
        data in proptest::collection::vec(any::<u8>(), 0..30_000),
        chunks in proptest::collection::vec(prop_oneof![1usize..20, 1usize..20_000], 1..10),
        pieces in proptest::collection::vec(prop_oneof![1usize..8, 1usize..5000, Just(1 << 20)], 1..20),
    ) {
        let root = root();
        let mut input = Vec::new();
        for path in ["put", "no/put"] {
            let (mut rest, mut sizes) = (&data[..], chunks.iter().cycle());
            let fields = "Host: x\r\nTransfer-Encoding: chunked";
            input.extend(format!("PUT /{path} HTTP/1.1\r\n{fields}\r\n\r\n").bytes());
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                input.extend(format!("{:x}\r\n", now.len()).bytes());
                input.extend([now, b"\r\n"].concat());
                rest = later;
            }
            input.extend(b"0\r\n\r\n");
        }
        input.extend(b"HEAD /put HTTP/1.1\r\nHost: x\r\n\r\n");
        let replies = String::from_utf8(run(&service(root.path()), &input, pieces)).unwrap();
        let statuses: Vec<_> = replies.lines().filter(|line| line.starts_with("HTTP/")).collect();
        prop_assert_eq!(
            statuses, ["HTTP/1.1 201 Created", "HTTP/1.1 404 Not Found", "HTTP/1.1 200 OK"]
        );
        prop_assert!(std::fs::read(root.path().join("put")).unwrap() == data);
    }

    #[test]
    fn any_input_ends_the_session(input in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let root = root();
        run(&service(root.path()), &input, vec![7, 400]);
    }

    #[test]
    fn any_request_ends_the_session(input in "(GET|PUT|LIST|HASH|QUIT|get) [a-z/.%0-9 ]{0,20}[\r\n]{1,2}") {
        let root = root();
        run(&service(root.path()), input.repeat(3).as_bytes(), vec![3, 50]);
    }
}

#[test]
fn split_at_any_byte_gives_same_replies() {
    let root = root();
    let service = service(root.path());
    let whole = run(&service, CONVERSATION, vec![usize::MAX]);
    for at in 1..CONVERSATION.len() {
        assert!(run(&service, CONVERSATION, vec![1 << 20, at]) == whole, "split at {at}");
    }
}

#[test]
fn cut_anywhere_gives_same_refusal() {
    let root = root();
    let service = service(root.path());
    for input in REFUSED {
        let whole = without_dates(run(&service, input, vec![usize::MAX]));
        let text = whole.concat();
        assert!(["ERR ", "HTTP/1.1 4", "HTTP/1.1 5"].iter().any(|refusal| text.contains(refusal)));
        for at in 1..input.len() {
            let cut = without_dates(run(&service, input, vec![1 << 20, at]));
            assert_eq!(cut, whole, "{} cut at {at}", input.escape_ascii());
        }
        let bytewise = without_dates(run(&service, input, vec![1]));
        assert_eq!(bytewise, whole, "{}", input.escape_ascii());
        assert!(!root.path().join("new").exists(), "{}", input.escape_ascii());
    }
    assert_eq!(std::fs::read(root.path().join("small")).unwrap(), b"abc");
}

#[test]
fn malformed_head_gets_no_body() {
    let root = root();
    let service = service(root.path());
    let long = [&b"HEAD /"[..], &[b'x'; 9000]].concat();
    for input in [
        &b"HEAD /small HTTP/1.1\r\n\r\n"[..],
        b"\r\nHEAD /small HTTP/1.1\r\nA : b\r\n\r\n",
        b"HEAD / HTTP/2.0\r\n",
        b"GET /small HTTP/1.1\r\nHost: x\r\n\r\nHEAD /a b HTTP/1.1\r\n",
        &long,
    ] {
        let output = String::from_utf8(run(&service, input, vec![usize::MAX])).unwrap();
        assert!(output.contains("HTTP/1.1 4") || output.contains("HTTP/1.1 505"), "{output}");
        assert!(output.ends_with("\r\n\r\n"), "{output}");
    }
}

/// A peer that has sent `input` and falls silent, and has acknowledged `acknowledged` bytes of `output`, of which the
/// stream holds at most `room` more. Nothing but that and the time makes a call of it block.
struct SilentPeer<'a> {
    input: &'a [u8],
    output: Vec<u8>,
    acknowledged: usize,
    room: usize,
    looks: u32,
    finished: bool,
}

impl<'a> SilentPeer<'a> {
    fn new(input: &'a [u8]) -> SilentPeer<'a> {
        let (output, room) = (Vec::new(), usize::MAX / 2);
        SilentPeer { input, output, acknowledged: 0, room, looks: 0, finished: false }
    }

    fn room(&self) -> io::Result<usize> {
        match self.room + self.acknowledged - self.output.len() {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            room => Ok(room),
        }
    }
}

impl Transport for SilentPeer<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match io::Read::read(&mut self.input, buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        let n = self.room()?.min(bytes.len());
        self.output.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        let mut bytes = vec![0; self.room()?.min(length as usize)];
        let n = file.read_at(&mut bytes, *offset)?;
        *offset += n as u64;
        self.write(&bytes[..n], false)
    }

    fn unacknowledged(&mut self) -> Option<u64> {
        self.looks += 1;
        Some((self.output.len() - self.acknowledged) as u64)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.finished = true;
        Ok(())
    }

    fn reset(&mut self) {}
}

/// A service whose timeouts are all `timeout`.
fn hasty_service(root: &Path, timeout: Duration) -> Service {
    let (idle_timeout, header_timeout, transfer_timeout) = (timeout, timeout, timeout);
    let settings =
        Settings { idle_timeout, header_timeout, transfer_timeout, ..Settings::default() };
    Service::new(Store::open(root, true, false).unwrap(), settings)
}

/// Returns the replies of a session whose deadline passes when it has received `input`, of which every bit came in time.
fn expired(input: &[u8]) -> Vec<u8> {
    let root = root();
    let service = hasty_service(root.path(), Duration::ZERO);
    let mut session = Session::new(&service, ([127, 0, 0, 1], 1).into(), Default::default());
    let mut peer = SilentPeer::new(input);
    while !peer.finished {
        let step = session.advance(&mut peer);
        assert!(!matches!(step, Step::Closed), "{}", peer.output.escape_ascii());
    }
    peer.output
}

/// A deadline that has passed refuses only what is still incomplete.
#[test]
fn late_session_serves_what_came() {
    let output = String::from_utf8(expired(b"GET small 0 1\nGET small 1 1\nGET sm")).unwrap();
    let (replies, refusal) = output.split_at(output.find("ERR").unwrap());
    assert_eq!(replies.matches("OK 1\n").count(), 2, "{output}");
    assert!(refusal.starts_with("ERR timeout "), "{output}");
    let output = String::from_utf8(expired(b"PUT new 3\nabcGET new\n")).unwrap();
    assert!(output.starts_with("OK 0\nOK 3\nabcERR timeout "), "{output}");
}

/// Returns whether a client that acknowledges bytes now and then is served, or this process was held up for longer than
/// the session waits.
fn slow_client_is_served(service: &Service, timeout: Duration) -> bool {
    let mut session = Session::new(service, ([127, 0, 0, 1], 1).into(), Default::default());
    let mut peer = SilentPeer::new(b"GET large\n");
    peer.room = 1000;
    let start = Instant::now();
    let mut last = start;
    while start.elapsed() < 3 * timeout {
        let (looks, since) = (peer.looks, Instant::now());
        let (mut previous, mut longest) = (since, Duration::ZERO);
        while since.elapsed() < timeout / 2 {
            longest = longest.max(previous.elapsed());
            previous = Instant::now();
            assert!(session.deadline() <= Instant::now() + timeout);
            let step = session.advance(&mut peer);
            if last.elapsed() >= timeout {
                return false;
            }
            assert!(matches!(step, Step::Wait(Interest::Write)), "{step:?}");
        }
        if longest.max(previous.elapsed()) > timeout / 4 {
            return false;
        }
        // Asked for now and then, and not at each call.
        assert!((1..=60).contains(&(peer.looks - looks)), "{} looks", peer.looks - looks);
        last = Instant::now();
        peer.acknowledged += 10;
    }
    while !matches!(session.advance(&mut peer), Step::Closed) {}
    assert!(last.elapsed() >= timeout, "{:?}", last.elapsed());
    true
}

/// A driver may miss the edge of bytes that arrive while a job is out.
#[test]
fn bytes_during_job_are_read() {
    let root = root();
    let service = service(root.path());
    let mut session = Session::new(&service, ([127, 0, 0, 1], 1).into(), Default::default());
    let mut peer = SilentPeer::new(b"HASH large\n");
    let Step::Offload(job) = session.advance(&mut peer) else {
        panic!("a large file is hashed by a job")
    };
    peer.input = b"GET small 0 1\n";
    session.resume(job.run());
    while !matches!(session.advance(&mut peer), Step::Idle) {}
    assert_eq!(peer.output.iter().filter(|&&byte| byte == b'O').count(), 2, "{:?}", peer.output);
}

#[test]
fn acknowledged_bytes_are_progress() {
    let root = root();
    let timeout = Duration::from_millis(100);
    let service = hasty_service(root.path(), timeout);
    assert!((0..50).any(|_| slow_client_is_served(&service, timeout)), "always held up");
}

#[test]
fn expired_session_replies_in_its_protocol() {
    assert!(expired(b"").starts_with(b"ERR timeout "));
    assert!(expired(b"GET sm").starts_with(b"ERR timeout "));
    let held_back = expired(b"\r\nGET /sm HT");
    assert!(held_back.starts_with(b"ERR bad-command "), "{}", held_back.escape_ascii());
    assert!(held_back.split(|&b| b == b'\n').nth(1).unwrap().starts_with(b"ERR timeout "));
    assert!(expired(b"\r\nGET /sm HTTP/1.1\r\nHo").starts_with(b"HTTP/1.1 408 "));
    assert!(expired(b"GET /sm HTTP/1.1\r\nHo").starts_with(b"HTTP/1.1 408 "));
    let has_body = |input: &[u8]| expired(input).ends_with(b"waited too long for this client\n");
    // No request is answered here, so the last one does not decide.
    assert!(has_body(b"HEAD /small HTTP/1.1\r\nHost: x\r\n\r\n"));
    assert!(has_body(b"HEAD /small HTTP/1.1\r\nHost: x\r\n\r\nGET /small HTTP/1.1\r\nHo"));
    assert!(!has_body(b"HEAD /small HTTP/1.1\r\nHo"));
    let cut_upload = expired(b"PUT cut 1000\nabc");
    assert!(cut_upload.starts_with(b"ERR timeout "), "{}", cut_upload.escape_ascii());
}

#[test]
fn requests_are_counted_once() {
    let root = root();
    let service = service(root.path());
    let get = "GET /small HTTP/1.1\r\nHost: x\r\n\r\n";
    for (input, expected) in [
        ("".to_owned(), 0),
        ("GET sm".to_owned(), 0),
        ("GET small\nGET small\n".to_owned(), 2),
        ("\r\n".to_owned(), 1),
        ("\r\nGET small\n".to_owned(), 2),
        (format!("\r\n{get}"), 1),
        (format!("{get}\r\n{get}\r\n"), 2),
        (format!("{get}\r\n\r\n"), 2),
        ("POST / b HTTP/1.1\r\nGET small\n".to_owned(), 1),
        ("PUT /new HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nx".to_owned(), 1),
    ] {
        let mut script = Script::new(input.as_bytes(), vec![usize::MAX]);
        let mut session = Session::new(&service, ([127, 0, 0, 1], 1).into(), Default::default());
        while !matches!(session.advance(&mut script), Step::Closed) {}
        assert_eq!(session.requests(), expected, "{input:?}");
    }
}

#[test]
fn header_deadline_counts_from_first_byte() {
    let root = root();
    let settings = Settings { header_timeout: Duration::from_secs(5), ..Settings::default() };
    let service = Service::new(Store::open(root.path(), true, false).unwrap(), settings);
    let mut session = Session::new(&service, ([127, 0, 0, 1], 1).into(), Default::default());
    let mut script = Script::new(b"GET", vec![1]);
    let mut deadlines = Vec::new();
    while !script.input.is_empty() {
        session.advance(&mut script);
        deadlines.push(session.deadline());
    }
    let (first, last) = (deadlines[1], deadlines[deadlines.len() - 1]);
    assert_eq!(first, last, "more bytes do not extend it");
    assert!(first <= Instant::now() + Duration::from_secs(5));
}

/// A client that has sent all of `input` at once, and counts the reads.
struct CountingTransport {
    input: Vec<u8>,
    reads: usize,
}

impl Transport for CountingTransport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        let n = buffer.len().min(self.input.len());
        buffer[..n].copy_from_slice(&self.input[..n]);
        self.input.drain(..n);
        if n == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn send_file(&mut self, _: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        *offset += length;
        Ok(length as usize)
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset(&mut self) {}
}

/// Returns how often the session reads until it closes or waits, and whether it closes.
fn reads(input: &str) -> (usize, bool) {
    let root = root();
    let service = service(root.path());
    let mut client = CountingTransport { input: input.into(), reads: 0 };
    let mut session = Session::new(&service, ([127, 0, 0, 1], 1).into(), Default::default());
    let closed = loop {
        match session.advance(&mut client) {
            Step::Yield => {}
            Step::Offload(job) => session.resume(job.run()),
            Step::Closed => break true,
            Step::Idle | Step::Wait(_) => break false,
        }
    };
    (client.reads, closed)
}

/// How much of `input` each call of `advance` takes, in bytes, until the session waits.
fn shares(input: Vec<u8>) -> Vec<usize> {
    let root = root();
    let service = service(root.path());
    let mut client = CountingTransport { input, reads: 0 };
    let mut session = Session::new(&service, ([127, 0, 0, 1], 1).into(), Default::default());
    let mut shares = Vec::new();
    loop {
        let before = client.input.len();
        let step = session.advance(&mut client);
        shares.push(before - client.input.len());
        if !matches!(step, Step::Yield) {
            return shares;
        }
    }
}

#[test]
fn session_yields_after_its_share() {
    let requests = "GET small\n".repeat(1000);
    assert!(shares(requests.into()).len() > 1000 / 64);
    assert!(shares("PUT file 1\nx".repeat(100).into()).len() >= 100, "an upload is a share");
    let mut upload = b"PUT file 8388608\n".to_vec();
    upload.resize(upload.len() + (8 << 20), b'x');
    let shares = shares(upload);
    let head = 4096; // is read before the body
    assert!(shares.iter().all(|share| *share <= (1 << 20) + head), "{shares:?}");
}

#[test]
fn last_request_closes_without_lingering() {
    let close = "GET /small HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    assert_eq!(reads(close), (1, true));
    assert_eq!(reads("GET /small HTTP/1.0\r\n\r\n"), (1, true));
    // More has come than was promised, or may still come: closing now would be a reset.
    assert!(!reads(&format!("{close}more")).1);
    assert!(
        !reads("GET /small HTTP/1.1\r\n\r\n").1,
        "a request without a host is refused, and closes"
    );
    assert!(!reads("QUIT\n").1);
}

/// A client for whom a file shrinks after so many of its bytes have been sent.
struct ShrinkingTransport<'a> {
    input: &'a [u8],
    file: File,
    /// After how many bytes of output, and to what size.
    cut: (usize, u64),
    output: Vec<u8>,
    has_room: bool,
    was_reset: bool,
}

impl ShrinkingTransport<'_> {
    fn sent(&mut self) {
        if self.output.len() >= self.cut.0 {
            self.file.set_len(self.cut.1).unwrap();
        }
    }
}

impl Transport for ShrinkingTransport<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::Read::read(&mut self.input, buffer)
    }

    fn write(&mut self, bytes: &[u8], _: bool) -> io::Result<usize> {
        self.output.extend_from_slice(bytes);
        self.sent();
        Ok(bytes.len())
    }

    /// Hands out zeros for what has been cut off, as pages that wait in a socket are.
    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        let length = length.min(100_000) as usize;
        let read = file.read_at(&mut vec![0; length], *offset)?;
        if read > 0 {
            self.output.resize(self.output.len() + length, 0);
            *offset += length as u64;
            self.sent();
        }
        Ok(if read > 0 { length } else { 0 })
    }

    fn ensure_room(&mut self) -> io::Result<()> {
        self.has_room = !self.has_room;
        if self.has_room { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reset(&mut self) {
        self.was_reset = true;
    }
}

/// Requests a file of 300,000 bytes that is cut to a size after so many bytes. Returns the reply without its first line,
/// and whether it ends in a reset.
fn shrinking(request: &str, copy: bool, cut: (usize, u64)) -> (Vec<u8>, bool) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("f");
    std::fs::write(&path, vec![b'A'; 300_000]).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    let settings = Settings { copy, ..Settings::default() };
    let service = Service::new(Store::open(root.path(), false, false).unwrap(), settings);
    let (input, output) = (request.as_bytes(), Vec::new());
    let mut client =
        ShrinkingTransport { input, file, cut, output, has_room: true, was_reset: false };
    let mut session = Session::new(&service, ([127, 0, 0, 1], 1).into(), Default::default());
    let mut waits = 0;
    while !matches!(session.advance(&mut client), Step::Closed) {
        waits += 1;
        assert!(waits < 100, "the session does not end");
    }
    let header = client.output.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    (client.output.split_off(header), client.was_reset)
}

#[test]
fn shrunk_file_ends_in_reset() {
    for after in [1, 100_000, 200_000, 234_000] {
        for size in [0, 1000, 150_000, 299_999] {
            let (body, was_reset) = shrinking("GET f\n", false, (after, size));
            assert!(was_reset, "cut to {size} after {after}");
            assert!(body.len() <= 300_000 - 65_536, "{} after {after}", body.len());
        }
    }
}

#[test]
fn change_beyond_range_is_ignored() {
    for copy in [false, true] {
        let (body, was_reset) = shrinking("GET f 0 200000\n", copy, (1, 200_000));
        assert_eq!((body.len(), was_reset), (200_000, false));
        let (body, was_reset) = shrinking("GET f 99 200001\n", copy, (1, 200_099));
        assert!(was_reset && body.len() < 200_001);
    }
}

#[test]
fn copied_bytes_are_the_files() {
    for after in [1, 65_537, 200_000, 262_145] {
        for size in [0, 1000, 65_536, 150_000, 299_999] {
            let (body, was_reset) = shrinking("GET f\n", true, (after, size));
            assert!(was_reset, "cut to {size} after {after}");
            assert!(body.len() < 300_000 && body.iter().all(|&byte| byte == b'A'));
        }
    }
    let (body, was_reset) = shrinking("GET f\n", true, (usize::MAX, 0));
    assert!(body == vec![b'A'; 300_000] && !was_reset);
}
