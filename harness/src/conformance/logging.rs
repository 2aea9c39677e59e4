//! A log, an output or a trace that cannot be written: the service goes on, and exit codes stay.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::process::Signal;

use super::{noise, stays, unprivileged};
use crate::server::Exit;
use crate::wait::eventually;
use crate::wire::{Conn, Reply};
use crate::{Launch, Root, Server, Subject};

pub(super) fn log_on_full_disk_is_lost(subject: &Subject) {
    serves(subject, |launch| launch.log(full_device()));
}

pub(super) fn log_without_reader_is_lost(subject: &Subject) {
    serves(subject, |launch| launch.log(io::pipe().expect("a pipe").1));
}

pub(super) fn unread_log_delays_no_client(subject: &Subject) {
    let (reader, pipe) = full_pipe();
    serves(subject, |launch| launch.log(pipe.try_clone().expect("a copy")));
    // The flags of the pipe belong to the one who has made it as well.
    let flags = rustix::fs::fcntl_getfl(&pipe).expect("the flags");
    assert!(!flags.contains(OFlags::NONBLOCK), "the server has changed a shared description");
    drop(reader);
}

pub(super) fn unread_log_is_never_reopened(subject: &Subject) {
    let (end, socket) = UnixStream::pair().expect("a pair of sockets");
    socket.set_nonblocking(true).expect("to set the mode");
    fill(&socket);
    socket.set_nonblocking(false).expect("to set the mode");
    let socket = OwnedFd::from(socket);
    serves(subject, |launch| launch.log(socket.try_clone().expect("a copy")));
    drop(end);
    // This pipe belongs to the user of the test, and another user may not open it again.
    let (reader, pipe) = full_pipe();
    let root = Arc::new(Root::new());
    root.write("a", "hello");
    let server = start(unprivileged(subject, &root).args(["-vv"]).log(pipe));
    assert_eq!(server.ask("GET a").text(), "hello");
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    drop(reader);
}

pub(super) fn lost_lines_are_counted(subject: &Subject) {
    // Ten clients come and go, and the next one stays. What has forked a child for it has lost lines before.
    let unseen = |server: &Server| {
        (0..10).for_each(|_| drop(server.connect()));
        let mut conn = server.connect();
        stays(&mut conn);
        conn
    };
    let seen = |server: &Server, mut conn: Conn| {
        assert!(conn.ask("GET seen").is("not-found"));
        drop(conn);
        server.signal(Signal::TERM);
        assert_eq!(server.wait_exit(), Exit::Code(0));
    };
    let (mut reader, pipe) = full_pipe();
    // Only the server holds the end that is written to, so that the pipe ends with it.
    let server = start(subject.launch().args(["-vv"]).log(pipe));
    let conn = unseen(&server);
    let mut filled = vec![0; rustix::io::ioctl_fionread(&reader).expect("the length") as usize];
    reader.read_exact(&mut filled).expect("what fills the pipe");
    assert!(filled.iter().all(|&byte| byte == FILLING), "a line in a full pipe");
    seen(&server, conn);
    drop(server);
    let mut log = String::new();
    reader.read_to_string(&mut log).expect("the log");
    let counts: Vec<u64> = log.lines().filter_map(lost).collect();
    let (lost, present) = (counts.iter().sum::<u64>(), log.lines().count() - counts.len());

    let whole = start(subject.launch().args(["-vv"]));
    let conn = unseen(&whole);
    seen(&whole, conn);
    let whole = whole.whole_log();
    assert!(log.contains("GET seen") && !log.contains("surely-not-there"), "{log}");
    assert!(lost > 0 && lost as usize + present == whole.lines().count(), "{log}\nof\n{whole}");
}

/// The count of a line that reports lost lines.
fn lost(line: &str) -> Option<u64> {
    let count = line.split_once(" WARN log lines lost count=")?.1;
    count.split_once(" pid=")?.0.parse().ok()
}

pub(super) fn log_on_served_disk_recovers(subject: &Subject) {
    let root = Arc::new(Root::new());
    let mount = r#"mount -t tmpfs -o size=256k tmpfs "$0" && exec "$@" 2>>"$0/log""#;
    let wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount];
    let mut wrapper: Vec<OsString> = wrapper.into_iter().map(OsString::from).collect();
    wrapper.push(root.path().into());
    let server = start(subject.launch().args(["-vv"]).root(&root).through(wrapper));
    let mut conn = server.connect();
    assert_eq!(conn.put("large", noise(100_000)), Reply::Ok(Vec::new()));
    // Page by page until nothing more fits, the log included.
    for name in 0.. {
        let reply = conn.put(&format!("page{name}"), noise(4096));
        if reply.is("no-space") {
            break;
        }
        assert_eq!(reply, Reply::Ok(Vec::new()));
    }
    let length = |conn: &mut Conn| conn.ask("GET log").text().len();
    let mut before = 0;
    eventually("the log has no more room", || {
        let now = length(&mut conn);
        std::mem::replace(&mut before, now) == now
    });
    (0..10).for_each(|_| stays(&mut conn));
    assert_eq!(length(&mut conn), before);
    assert!(conn.put("large", noise(200_000)).is("no-space"));
    assert_eq!(conn.put("page0", ""), Reply::Ok(Vec::new()));
    stays(&mut conn);
    let log = conn.ask("GET log").text();
    assert!(log.lines().filter_map(lost).sum::<u64>() >= 10, "{log}");
    // A line of which only a part was written ends before the next one.
    let glued = |line: &&str| {
        line.find("  WARN ").is_some_and(|at| at > "2000-01-01T00:00:00.000000Z".len())
    };
    assert_eq!(log.lines().find(glued), None, "{log}");
    drop(conn);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
}

pub(super) fn upload_without_space_or_log(subject: &Subject) {
    let launch = subject.launch().args(["-vv"]).log(full_device());
    let server = start(launch.through(files_of_at_most(200)));
    let mut conn = server.connect();
    for path in ["f", "g"] {
        let reply = conn.put(path, noise(1 << 20));
        assert!(reply.is("no-space"), "PUT {path}: {reply:?}");
        stays(&mut conn);
    }
    assert_eq!(conn.put("f", noise(50_000)), Reply::Ok(Vec::new()));
    drop(conn);
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    assert_eq!(server.root().names(), ["f"]);
}

pub(super) fn output_without_reader_is_lost(subject: &Subject) {
    serves(subject, |launch| launch.output(io::pipe().expect("a pipe").1));
    serves(subject, |launch| launch.output(full_device()).log(full_device()));
}

pub(super) fn unread_output_delays_no_end(subject: &Subject) {
    let (reader, pipe) = full_pipe();
    serves(subject, |launch| launch.output(pipe.try_clone().expect("a copy")));
    drop(reader);
}

pub(super) fn full_trace_is_one_warning(subject: &Subject) {
    let root = Arc::new(Root::new());
    root.write("a", "hello");
    let trace = root.outside().join("trace");
    let launch = subject.launch().root(&root).args(["--trace".as_ref(), trace.as_os_str()]);
    let server = start(launch.through(files_of_at_most(16)));
    for _ in 0..40 {
        assert_eq!(server.ask("GET a").text(), "hello");
    }
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));
    let log = server.whole_log();
    assert!(log.lines().count() == 1 && log.contains("the trace ends here"), "{log}");
}

pub(super) fn trace_needs_a_file(subject: &Subject) {
    let root = Arc::new(Root::new());
    root.fifo("fifo");
    root.fifo("read");
    root.socket("socket");
    root.mkdir("directory");
    root.link("fifo", "link");
    let read_and_write = OpenOptions::new().read(true).write(true).open(root.join("read"));
    let _reader = read_and_write.expect("to open the FIFO");
    let launch = |trace: &str| {
        let launch = subject.launch().root(&root);
        launch.args(["--trace".as_ref(), root.join(trace).as_os_str()])
    };
    for (trace, found) in [
        ("fifo", "FIFO"),
        ("read", "FIFO"),
        ("link", "FIFO"),
        ("socket", "socket"),
        ("directory", "directory"),
        ("/dev/full", "No space left"),
    ] {
        let failure = launch(trace).refuse();
        let log = &failure.log;
        assert_eq!(failure.exit, Some(Exit::Code(2)), "{trace}: {failure}");
        assert!(
            log.lines().count() == 1 && log.contains(trace) && log.contains(found),
            "{failure}"
        );
    }
    let server = start(launch("/dev/null"));
    stays(&mut server.connect());
}

/// A server that tells everything, where that cannot be written, serves clients and ends as any other: in order, and at
/// once at a second signal.
#[track_caller]
fn serves(subject: &Subject, broken: impl Fn(Launch) -> Launch) {
    let server = start(broken(subject.launch().args(["-vv", "--drain-timeout", "60"])));
    server.root().write("a", "hello");
    for _ in 0..10 {
        assert_eq!(server.ask("GET a").text(), "hello");
    }
    assert_eq!(server.connect().put("f", noise(100_000)), Reply::Ok(Vec::new()));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(0));

    let server = start(broken(subject.launch().args(["-vv", "--drain-timeout", "60"])));
    server.root().sparse("large", 64 << 20);
    let mut conn = Conn::connect_narrow(server.address());
    conn.send("GET large\n");
    conn.ok_line();
    server.signal(Signal::TERM);
    eventually("new connections are refused", || Conn::try_connect(server.address()).is_err());
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit(), Exit::Code(128 + Signal::TERM.as_raw()));
}

#[track_caller]
fn start(launch: Launch) -> Server {
    launch.start().unwrap_or_else(|failure| panic!("{failure}"))
}

/// Has a server write no file beyond so many blocks of 512 bytes.
fn files_of_at_most(blocks: u32) -> [String; 4] {
    let limit = format!(r#"ulimit -f {blocks} && exec "$@""#);
    ["sh".into(), "-c".into(), limit, "sh".into()]
}

fn full_device() -> File {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full")
}

/// What is in a full pipe.
const FILLING: u8 = b'.';

/// A pipe that takes no byte more, and its end for reading.
fn full_pipe() -> (io::PipeReader, io::PipeWriter) {
    let (reader, pipe) = io::pipe().expect("a pipe");
    // By a description of its own, so that the pipe stays in blocking mode.
    let mut again = OpenOptions::new();
    again.write(true).custom_flags(OFlags::NONBLOCK.bits() as i32);
    fill(
        again.open(format!("/proc/self/fd/{}", pipe.as_raw_fd())).expect("to open the pipe again"),
    );
    (reader, pipe)
}

/// Writes until nothing more is taken.
fn fill(mut stream: impl Write) {
    for piece in [4096, 1] {
        let error = loop {
            if let Err(error) = stream.write_all(&vec![FILLING; piece]) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
