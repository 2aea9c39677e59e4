//! Pipes and FIFOs, with other processes at the other end.

mod common;

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Peer, TEST_TIMEOUT, wait_for, wait_in_call};
use ipc::Error;
use ipc::pipe::{self, Fifo, PIPE_BUF, Reader, Writer};
use ipc::signal::{Signal, send};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tempfile::TempDir;

const SHORT: Duration = Duration::from_millis(30);

/// A FIFO in a directory of its own.
fn fifo() -> (TempDir, Fifo, String) {
    let directory = tempfile::tempdir().unwrap();
    let fifo = Fifo::create(directory.path().join("fifo"), 0o600).unwrap();
    let path = fifo.path().to_str().unwrap().to_owned();
    (directory, fifo, path)
}

#[test]
fn bytes_arrive_in_order_before_end() {
    let (mut reader, mut writer) = pipe::pipe().unwrap();
    writer.write_all(b"one ").unwrap();
    (&writer).write_all(b"two").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one two");
    assert_eq!(reader.try_read(&mut [0; 8]).unwrap(), 0);
    reader.wait(Duration::ZERO).unwrap();
}

#[test]
fn write_without_reader_is_closed() {
    let (reader, mut writer) = pipe::pipe().unwrap();
    drop(reader);
    let error = wait_for(|| writer.write_atomic(b"x").err());
    assert!(matches!(&error, Error::Closed { object } if object.starts_with("pipe ")), "{error}");
    assert!(matches!(writer.try_write(b"x"), Err(Error::Closed { .. })));
    assert!(matches!(writer.write_timeout(b"x", SHORT), Err(Error::Closed { .. })));
    assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
}

/// What has to be kept for the ends to work, and the ends.
type Ends = (Option<(TempDir, Fifo)>, Reader, Writer);

/// An anonymous pipe and a FIFO, which take different ways not to wait.
fn both_kinds() -> [Ends; 2] {
    let (reader, writer) = pipe::pipe().unwrap();
    let (directory, fifo, path) = fifo();
    let named = (Reader::try_open(&path).unwrap(), Writer::try_open(&path).unwrap());
    [(None, reader, writer), (Some((directory, fifo)), named.0, named.1)]
}

#[test]
fn timed_calls_leave_mode_unchanged() {
    let modes = |end: &dyn AsFd| {
        OFlag::from_bits_retain(fcntl(end.as_fd(), FcntlArg::F_GETFL).unwrap())
            & (OFlag::O_ACCMODE | OFlag::O_NONBLOCK)
    };
    for (_keep, reader, writer) in both_kinds() {
        let mut buffer = [0; 16];
        assert!(matches!(reader.try_read(&mut buffer), Err(Error::WouldBlock { .. })));
        let start = Instant::now();
        let late = reader.read_timeout(&mut buffer, SHORT).unwrap_err();
        assert!(start.elapsed() >= SHORT);
        assert!(matches!(late, Error::TimedOut { waited: SHORT, .. }), "{late}");

        let written = writer.try_write(&[b'x'; 1_000_000]).unwrap();
        assert_eq!(written, writer.capacity().unwrap(), "the write was cut to fit");
        assert!(matches!(writer.try_write(b"x"), Err(Error::WouldBlock { .. })));
        let late = writer.write_timeout(b"x", SHORT).unwrap_err();
        assert!(matches!(late, Error::TimedOut { .. }), "{late}");
        assert_eq!(reader.read_timeout(&mut buffer, Duration::ZERO).unwrap(), 16);

        assert_eq!(modes(&reader), OFlag::O_RDONLY);
        assert_eq!(modes(&writer), OFlag::O_WRONLY);
        // The second descriptor of a FIFO must not keep the pipe open.
        drop(writer);
        let mut rest = Vec::new();
        (&reader).read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len(), written - 16);
    }
}

#[test]
fn nonblocking_end_would_block() {
    for (_keep, mut reader, mut writer) in both_kinds() {
        reader.set_nonblocking(true).unwrap();
        assert_eq!(reader.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        writer.set_nonblocking(true).unwrap();
        while writer.write(&[0; 4096]).is_ok() {}
        assert!(matches!(writer.write_atomic(b"x"), Err(Error::WouldBlock { .. })));
        reader.set_nonblocking(false).unwrap();
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 8);
    }
}

#[test]
fn capacity_is_rounded_up_and_bounded() {
    let (_reader, writer) = pipe::pipe().unwrap();
    assert_eq!(writer.set_capacity(5000).unwrap(), 8192);
    assert_eq!(writer.capacity().unwrap(), 8192);
    for bytes in [0, usize::MAX, i32::MAX as usize + 1] {
        let error = writer.set_capacity(bytes).unwrap_err();
        let Error::OutOfRange { given, most, .. } = error else { panic!("{error}") };
        assert_eq!((given, most), (bytes as u64, pipe::capacity_limit().unwrap() as u64));
    }
    (&writer).write_all(&[0; 8192]).unwrap();
    let busy = writer.set_capacity(4096).unwrap_err();
    assert_eq!(busy.errno(), Some(Errno::EBUSY));
    assert!(
        busy.to_string()
            .ends_with("the pipe holds more bytes than that at the moment; read some first")
    );
    assert_eq!(writer.capacity().unwrap(), 8192);
}

#[test]
fn atomic_write_size_is_checked() {
    let (reader, writer) = pipe::pipe().unwrap();
    for size in [0, PIPE_BUF + 1] {
        let error = writer.write_atomic(&vec![0; size]).unwrap_err();
        assert!(matches!(error, Error::OutOfRange { most: 4096, .. }), "{error}");
    }
    assert!(matches!(reader.try_read(&mut [0; 8]), Err(Error::WouldBlock { .. })));
    writer.write_atomic(&[0; PIPE_BUF]).unwrap();
    assert_eq!(reader.try_read(&mut [0; 2 * PIPE_BUF]).unwrap(), PIPE_BUF);
}

/// Lets four processes write at the same time; tells how often each letter came, and how many blocks of
/// `size` were of more than one letter.
fn concurrent_writes(size: usize, count: usize) -> ([usize; 4], usize) {
    let (_directory, _fifo, path) = fifo();
    let (size_text, count_text) = (size.to_string(), count.to_string());
    let mut peers = ["a", "b", "c", "d"]
        .map(|letter| Peer::start("pipe", "hammer", &[&path, letter, &size_text, &count_text]));
    let mut reader = Reader::open(&path).unwrap();
    for peer in &mut peers {
        assert_eq!(peer.line(), "open");
    }
    peers.iter_mut().for_each(|peer| peer.write_line("go"));
    let (mut letters, mut mixed) = ([0; 4], 0);
    let mut block = vec![0; size];
    for _ in 0..4 * count {
        reader.read_exact(&mut block).unwrap();
        mixed += usize::from(block.iter().any(|byte| *byte != block[0]));
        block.iter().for_each(|byte| letters[usize::from(byte - b'a')] += 1);
    }
    assert_eq!(reader.read(&mut block).unwrap(), 0);
    for peer in peers {
        assert_eq!(peer.finish(), Some(0));
    }
    (letters, mixed)
}

#[test]
fn writes_up_to_pipe_buf_stay_whole() {
    for size in [PIPE_BUF, 1000] {
        let (letters, mixed) = concurrent_writes(size, 2000);
        assert_eq!(letters, [2000 * size; 4]);
        assert_eq!(mixed, 0, "of blocks of {size} bytes");
    }
}

#[test]
fn larger_writes_lose_nothing() {
    let size = 40_000;
    let (letters, mixed) = concurrent_writes(size, 50);
    assert_eq!(letters, [50 * size; 4]);
    // POSIX allows mixing and does not ask for it.
    println!("{mixed} of 200 blocks of {size} bytes were mixed");
}

#[test]
fn open_write_end_delays_end() {
    let (_directory, _fifo, path) = fifo();
    let reader = Reader::try_open(&path).unwrap();
    let mut holder = Peer::start("pipe", "hold", &[&path]);
    assert_eq!(holder.line(), "open");
    let writer = Writer::try_open(&path).unwrap();
    writer.write_atomic(b"x").unwrap();
    drop(writer);
    let mut buffer = [0; 8];
    assert_eq!(reader.try_read(&mut buffer).unwrap(), 1);
    assert!(matches!(reader.read_timeout(&mut buffer, SHORT), Err(Error::TimedOut { .. })));
    holder.kill();
    assert_eq!(reader.read_timeout(&mut buffer, TEST_TIMEOUT).unwrap(), 0);
}

#[test]
fn end_given_to_child_is_closed() {
    let (reader, writer) = pipe::pipe().unwrap();
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(writer).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"through").unwrap();
    let mut buffer = [0; 16];
    assert_eq!(reader.read_timeout(&mut buffer, TEST_TIMEOUT).unwrap(), 7);
    assert!(matches!(reader.try_read(&mut buffer), Err(Error::WouldBlock { .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(reader.read_timeout(&mut buffer, TEST_TIMEOUT).unwrap(), 0);
}

#[test]
fn killed_reader_closes_pipe() {
    let (_directory, _fifo, path) = fifo();
    let mut peer = Peer::start("pipe", "read", &[&path]);
    let writer = Writer::open(&path).unwrap();
    writer.write_atomic(b"x").unwrap();
    peer.kill();
    assert!(matches!(writer.write_atomic(b"x"), Err(Error::Closed { object }) if object == path));
}

#[test]
fn duplex_works_through_another_program() {
    let (mut near, far) = pipe::duplex().unwrap();
    let (reader, writer) = far.split();
    let mut child = Command::new("cat").stdin(reader).stdout(writer).spawn().unwrap();
    near.write_all(b"there and back").unwrap();
    let mut buffer = [0; 32];
    assert_eq!(near.reader().read_timeout(&mut buffer, TEST_TIMEOUT).unwrap(), 14);
    let (reader, writer) = near.split();
    drop(writer);
    assert_eq!(reader.read_timeout(&mut buffer, TEST_TIMEOUT).unwrap(), 0);
    assert!(child.wait().unwrap().success());
}

#[test]
fn blocking_open_waits_for_peer() {
    let (_directory, _fifo, path) = fifo();
    let mut peer = Peer::start("pipe", "read", &[&path]);
    assert_eq!(peer.line(), "opening");
    wait_in_call(&peer.pid().to_string(), libc::SYS_openat);
    let mut writer = Writer::open(&path).unwrap();
    assert_eq!(peer.line(), "open");
    writer.write_all(b"by name").unwrap();
    drop(writer);
    assert_eq!(peer.line(), "by name");
    assert_eq!(peer.finish(), Some(0));

    let mut peer = Peer::start("pipe", "write", &[&path, "back"]);
    assert_eq!(peer.line(), "opening");
    wait_in_call(&peer.pid().to_string(), libc::SYS_openat);
    let reader = Reader::open(&path).unwrap();
    assert_eq!(peer.line(), "open");
    assert_eq!(reader.read_timeout(&mut [0; 8], TEST_TIMEOUT).unwrap(), 4);
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn nonblocking_open_reports_missing_peer() {
    let (_directory, _fifo, path) = fifo();
    let error = Writer::try_open(&path).unwrap_err();
    assert!(matches!(&error, Error::WouldBlock { object } if *object == path), "{error}");
    let reader = Reader::try_open(&path).unwrap();
    assert_eq!(reader.try_read(&mut [0; 8]).unwrap(), 0, "nobody has come yet");
    assert!(matches!(reader.wait(SHORT), Err(Error::TimedOut { .. })), "but it is no end");
    drop(Writer::try_open(&path).unwrap());
    reader.wait(TEST_TIMEOUT).unwrap();
}

#[test]
fn timed_open_succeeds_or_times_out() {
    let (_directory, _fifo, path) = fifo();
    let start = Instant::now();
    let late = Reader::open_timeout(&path, SHORT).unwrap_err();
    assert!(matches!(&late, Error::TimedOut { object, .. } if *object == path), "{late}");
    let late = wait_for(|| Writer::open_timeout(&path, SHORT).err());
    assert!(matches!(&late, Error::TimedOut { object, .. } if *object == path), "{late}");
    assert!(start.elapsed() >= 2 * SHORT);

    // A writer that says nothing is found, too.
    let mut peer = Peer::start("pipe", "write", &[&path, ""]);
    let reader = Reader::open_timeout(&path, TEST_TIMEOUT).unwrap();
    assert_eq!((peer.line(), peer.line()), ("opening".into(), "open".into()));
    assert!(matches!(reader.try_read(&mut [0; 8]), Err(Error::WouldBlock { .. })));
    assert_eq!(peer.finish(), Some(0));
    drop(reader);

    // And bytes that were written before are still there.
    let mut peer = Peer::start("pipe", "write", &[&path, "early"]);
    let reader = Reader::open_timeout(&path, TEST_TIMEOUT).unwrap();
    assert_eq!(reader.read_timeout(&mut [0; 8], TEST_TIMEOUT).unwrap(), 5);
    assert_eq!(peer.line(), "opening");
    assert_eq!(peer.finish(), Some(0));
    drop(reader);

    let mut peer = Peer::start("pipe", "read", &[&path]);
    let writer = Writer::open_timeout(&path, TEST_TIMEOUT).unwrap();
    assert_eq!((peer.line(), peer.line()), ("opening".into(), "open".into()));
    drop(writer);
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn non_fifo_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "text").unwrap();
    for path in [&file, directory.path(), "/dev/null".as_ref()] as [&std::path::Path; 3] {
        assert!(matches!(Reader::open(path), Err(Error::Unusable { .. })), "{path:?}");
        assert!(matches!(Writer::try_open(path), Err(Error::Unusable { .. })), "{path:?}");
        assert!(
            matches!(Writer::open_timeout(path, TEST_TIMEOUT), Err(Error::Unusable { .. })),
            "{path:?}"
        );
        assert!(matches!(Fifo::adopt(path), Err(Error::Unusable { .. })), "{path:?}");
    }
    assert_eq!(Fifo::create(&file, 0o600).unwrap_err().errno(), Some(Errno::EEXIST));
    assert_eq!(fs::read_to_string(&file).unwrap(), "text");
    let missing = directory.path().join("missing");
    assert_eq!(Reader::try_open(&missing).unwrap_err().errno(), Some(Errno::ENOENT));
    assert!(matches!(Fifo::create("", 0o600), Err(Error::InvalidName { .. })));
    assert!(matches!(Fifo::create("a\0b", 0o600), Err(Error::InvalidName { .. })));
    assert!(matches!(Fifo::create(&missing, 0o1600), Err(Error::OutOfRange { .. })));
    assert!(!missing.exists());
}

#[test]
fn creator_removes_only_its_fifo() {
    let (directory, fifo, path) = fifo();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(Fifo::create(&path, 0o600).unwrap_err().errno(), Some(Errno::EEXIST));
    // An open FIFO outlives its name.
    let reader = Reader::try_open(&path).unwrap();
    let writer = Writer::try_open(&path).unwrap();
    drop(fifo);
    assert!(!PathBuf::from(&path).exists());
    writer.write_atomic(b"x").unwrap();
    assert_eq!(reader.try_read(&mut [0; 8]).unwrap(), 1);

    let fifo = Fifo::create(&path, 0o600).unwrap();
    let moved = directory.path().join("moved");
    fs::rename(&path, &moved).unwrap(); // keeps its inode alive, so that the next file has another
    fs::write(&path, "somebody else's").unwrap();
    drop(fifo);
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");

    drop(Fifo::adopt(&moved).unwrap());
    assert!(!moved.exists());
}

#[test]
fn inherited_descriptor_is_checked() {
    let file: OwnedFd = fs::File::open("/dev/null").unwrap().into();
    assert!(matches!(Reader::from_fd(file), Err(Error::Unusable { .. })));
    let (reader, writer) = pipe::pipe().unwrap();
    let copy = reader.as_fd().try_clone_to_owned().unwrap();
    assert!(matches!(Writer::from_fd(copy), Err(Error::Unusable { .. })));
    let writer = Writer::from_fd(writer.into()).unwrap();
    writer.write_atomic(b"x").unwrap();
    assert_eq!(Reader::from_fd(reader.into()).unwrap().try_read(&mut [0; 8]).unwrap(), 1);
}

#[test]
fn child_inherits_no_end() {
    // What the tests themselves were started with is not ours.
    let before = Peer::start("pipe", "descriptors", &[]).line();
    let (_directory, _fifo, path) = fifo();
    let _pipe = pipe::pipe().unwrap();
    let reader = Reader::try_open(&path).unwrap();
    let _writer = Writer::try_open(&path).unwrap();
    let _ = reader.try_read(&mut [0; 1]); // opens the second descriptor
    let mut peer = Peer::start("pipe", "descriptors", &[]);
    assert_eq!(peer.line(), before);
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn blocking_read_survives_signal_handler() {
    let mut peer = Peer::start("pipe", "interrupted", &[]);
    assert_eq!(peer.line(), "reading");
    for _ in 0..3 {
        wait_in_call(&peer.pid().to_string(), libc::SYS_read);
        send(peer.pid(), Signal::USR1).unwrap();
        assert_eq!(peer.line(), "handled");
    }
    peer.write_line("still here");
    assert_eq!(peer.line(), "still here\\n");
    assert_eq!(peer.finish(), Some(0));
}

#[test]
fn fifo_works_after_dropped_privileges() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("SKIPPED: only root has privileges to drop");
        return;
    }
    let (_directory, _fifo, path) = fifo();
    let mut peer = Peer::start("pipe", "unprivileged", &[&path]);
    assert_eq!(peer.line(), "nobody");
    assert_eq!(peer.line(), "empty: would have to wait, late");
    assert_eq!(peer.line(), "one two");
    assert_eq!(peer.line(), "full after 65536: would have to wait, late");
    assert_eq!(peer.line(), "all came back");
    assert_eq!(peer.line(), "end: 0 0");
    assert_eq!(peer.line(), "closed");
    assert_eq!(peer.finish(), Some(0));
}
