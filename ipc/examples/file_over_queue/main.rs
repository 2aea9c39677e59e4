//! The file service of this workspace, spoken over a pair of message queues, and over a local socket.
//!
//! The session of `file_service` knows the whole protocol and no socket: it is advanced over anything that
//! implements `Transport`, five methods. Here they are implemented twice, in `transport.rs`: for an
//! AF_UNIX socket, and for two POSIX message queues, one for each direction. The session is the one that
//! the TCP servers use, unchanged; so is the client's side of the protocol in `client.rs` for both.
//!
//! A queue carries messages, and a session wants a stream of bytes. A stream over messages needs three
//! decisions: how long a message may be (`CHUNK`), what is done with the rest of a message that the reader has
//! no room for (it is kept), and how the end is said (by an empty message: nobody sees a queue closed).
//!
//! Run it: `cargo run -p ipc --example file_over_queue`
//!
//! Look at: the replies, the same byte for byte; the count of messages: a file of 100,000 bytes takes 25.
//! What the queue does *not* tell: that the other side has died. The socket gives the end of the stream
//! then; over queues only a timeout helps.

mod client;
#[path = "../story/mod.rs"]
mod story;
mod transport;

use std::error::Error;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use file_service::{Service, Session, Settings, Step, Store, Transport};
use ipc::process::{self, Process, Tracked, Tracker};
use ipc::queue::PosixQueue;
use story::{note, say};
use transport::{CHUNK, MESSAGES, Queues, Socket};

/// How long either side waits for the other.
const TIMEOUT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    process::main(&[("over-queues", over_queues), ("over-socket", over_socket)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let directory = std::env::temp_dir().join(story::unique_name("served"));
    // Removes these, the last one first, if this process is killed; after the end of the server, which uploads.
    let mut tracker = Tracker::start()?;
    for path in [directory.clone(), directory.join("numbers"), directory.join("upload")] {
        tracker.track(Tracked::Path(path))?;
    }
    fs::create_dir(&directory)
        .map_err(|error| format!("cannot create {}: {error}", directory.display()))?;
    let outcome = compare(&directory, &mut tracker);
    fs::remove_dir_all(&directory)?;
    outcome?;

    note!("\nNotice: the same client and session got the same replies over both transports.")?;
    note!(
        "Without a timeout: a client over queues would wait forever for a server that has died."
    )?;
    Ok(())
}

fn compare(directory: &Path, tracker: &mut Tracker) -> Result<(), Box<dyn Error>> {
    let content: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(directory.join("numbers"), &content)?;
    let root = directory.to_str().ok_or("a temporary directory whose name is not UTF-8")?;

    note!("-- over two POSIX queues, {MESSAGES} messages of at most {CHUNK} bytes each --")?;
    let mut create_queue = |direction| {
        let name = story::unique_name(direction);
        tracker.track(Tracked::PosixQueue(name.clone()))?;
        PosixQueue::create(&name, MESSAGES, CHUNK)
    };
    let (up, down) = (create_queue("up")?, create_queue("down")?);
    let server = Process::new("over-queues").name("server").daemon(true);
    let server = server.args([up.name(), down.name(), root]).pass(tracker.hold()?).start()?;
    let mut stream = Queues::new(up, down, TIMEOUT);
    let over_queues = client::run(&mut stream, &content);
    story::join_all(&[server])?; // first, since the death of the server explains an error here
    let over_queues = over_queues?;
    say!("has sent {} messages, and received {}", stream.sent, stream.received)?;
    check(directory)?;

    note!("\n-- over a socket pair --")?;
    let (ours, theirs) = UnixStream::pair()?;
    let server = Process::new("over-socket").name("server").daemon(true);
    let server = server.arg(root).pass(theirs).pass(tracker.hold()?).start()?;
    let over_socket = client::run(&mut Socket::new(ours, TIMEOUT)?, &content);
    story::join_all(&[server])?;
    let over_socket = over_socket?;
    check(directory)?;

    if over_queues != over_socket {
        return Err("the replies differ".into());
    }
    say!("finds the replies the same, byte for byte")?;
    Ok(())
}

/// Looks at the uploaded file itself, and removes it for the next round.
fn check(directory: &Path) -> Result<(), Box<dyn Error>> {
    if fs::read(directory.join("upload"))? != client::UPLOAD {
        return Err("the uploaded file does not hold what was sent".into());
    }
    say!("finds what it sent in the uploaded file")?;
    Ok(fs::remove_file(directory.join("upload"))?)
}

/// A server for one client. Its queues are those of the parent, seen from the other end.
fn over_queues(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [up, down, root] = arguments else { return Err("usage: UP DOWN ROOT".into()) };
    let (up, down) = (PosixQueue::open(up)?, PosixQueue::open(down)?);
    serve(Path::new(root), &mut Queues::new(down, up, TIMEOUT))
}

fn over_socket(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [root] = arguments else { return Err("usage: ROOT".into()) };
    let socket = UnixStream::from(process::passed(0)?);
    serve(Path::new(root), &mut Socket::new(socket, TIMEOUT)?)
}

/// One conversation: what every blocking server of the workspace does.
fn serve(root: &Path, transport: &mut impl Transport) -> Result<(), Box<dyn Error>> {
    // A peer that is silent for longer than its transport waits is gone.
    let (idle_timeout, header_timeout, transfer_timeout) = (TIMEOUT, TIMEOUT, TIMEOUT);
    let settings =
        Settings { idle_timeout, header_timeout, transfer_timeout, ..Settings::default() };
    let service = Service::new(Store::open(root, true, false)?, settings);
    let nobody = ([0, 0, 0, 0], 0).into(); // the address is for the log
    let mut session = Session::new(&service, nobody, Default::default());
    loop {
        match session.advance(transport) {
            // These transports wait inside their calls, so there is nothing to wait for here.
            Step::Idle | Step::Yield | Step::Wait(_) => {}
            Step::Offload(job) => session.resume(job.run()),
            Step::Closed => return Ok(say!("has served its client, and ends")?),
        }
    }
}
