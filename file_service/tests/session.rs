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

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("small"), "abc").unwrap();
    let large: Vec<u8> = (0..200_000u32).map(|n| n as u8).collect();
    std::fs::write(root.path().join("large"), large).unwrap();
    root
}

/// Replies of HTTP carry the time of day, and the tag of a file that has just been stored is its own.
fn without_dates(replies: Vec<u8>) -> Vec<String> {
    let text = String::from_utf8_lossy(&replies).into_owned();
    let is_dated = |line: &&str| {
        ["Date:", "Last-Modified:", "ETag:"].iter().any(|name| line.starts_with(name))
    };
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

/// Returns the replies of a session that has received `input` when its deadline passes.
fn expired(input: &[u8]) -> Vec<u8> {
    let root = root();
    let service = service(root.path());
    let mut session = Session::new(&service, ([127, 0, 0, 1], 1).into(), Default::default());
    let mut script = Script::new(input, vec![usize::MAX]);
    // A peer that falls silent is not one that ends: stop before its end of stream is read.
    while !script.input.is_empty() {
        assert!(!matches!(session.advance(&mut script), Step::Closed));
    }
    session.expire();
    loop {
        match session.advance(&mut script) {
            Step::Closed => return script.output,
            Step::Wait(Interest::Read) if script.finished => return script.output,
            _ => {}
        }
    }
}

#[test]
fn expired_session_replies_in_its_protocol() {
    assert!(expired(b"").starts_with(b"ERR timeout "));
    assert!(expired(b"GET sm").starts_with(b"ERR timeout "));
    assert!(expired(b"GET /sm HTTP/1.1\r\nHo").starts_with(b"HTTP/1.1 408 "));
    let cut_upload = expired(b"PUT cut 1000\nabc");
    assert!(cut_upload.starts_with(b"ERR timeout "), "{}", cut_upload.escape_ascii());
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
