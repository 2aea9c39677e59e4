//! The clients of a timeline: what each asked for when, and when the reply came.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::time::{ClockId, clock_gettime};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How many quick clients there are.
pub(super) const CLIENTS: usize = 7;

/// How many requests each quick client makes, one after the other. With that of the slow client they are 50.
pub(super) const REQUESTS: usize = 7;

/// What a quick client asks for, in bytes.
pub(super) const SMALL: u64 = 64 * 1024;

/// What the slow client asks for, in bytes: much more than the sockets' buffers hold.
pub(super) const LARGE: u64 = 16 << 20;

/// How long the slow client pauses before each mebibyte that it reads.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 6_000_000 };

/// How long any client waits for the server.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A moment by `CLOCK_MONOTONIC`, in nanoseconds: the clock of the servers' traces.
pub(super) fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// One request, as its client has seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// When the client began to send it; of the first request of a connection, when the client began to connect.
    pub(super) since: u64,
    /// When the first bytes of the reply had come.
    pub(super) first_byte: u64,
    /// When the last byte of the reply had come.
    pub(super) done: u64,
}

/// A client and what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) name: String,
    /// Its own address: the peer of its connection in the trace.
    pub(super) addr: SocketAddr,
    pub(super) is_slow: bool,
    pub(super) asked: Vec<Asked>,
}

/// Makes the requests. The slow client is being served when the quick ones come, and reads on once each of those has sent
/// its first request. Returns the slow client and the quick ones.
pub(super) fn drive(addr: SocketAddr) -> io::Result<Vec<Client>> {
    let since = now();
    let mut slow = connect(addr)?;
    slow.write_all(b"GET large\n")?;
    let header = header(LARGE);
    slow.read_exact(&mut [0])?;
    let first_byte = now();
    let slow_addr = slow.local_addr()?;
    thread::scope(|scope| {
        let (has_sent, all_have_sent) = mpsc::channel();
        let begin = |number| {
            let has_sent = has_sent.clone();
            scope.spawn(move || read_quickly(addr, number, has_sent))
        };
        let quick: Vec<_> = (1..=CLIENTS).map(begin).collect();
        drop(has_sent);
        all_have_sent.iter().for_each(drop); // until each has, or has failed
        read_slowly(&mut slow, header.len() as u64 - 1 + LARGE)?;
        let asked = vec![Asked { since, first_byte, done: now() }];
        drop(slow);
        let slow = Client { name: "slow client".into(), addr: slow_addr, is_slow: true, asked };
        let failed = || Err(io::Error::other("a client has panicked"));
        let quick = quick.into_iter().map(|client| client.join().unwrap_or_else(|_| failed()));
        std::iter::once(Ok(slow)).chain(quick).collect()
    })
}

fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// What comes before the content of a file of this length.
fn header(length: u64) -> String {
    format!("OK {length}\n")
}

fn read_quickly(addr: SocketAddr, number: usize, has_sent: mpsc::Sender<()>) -> io::Result<Client> {
    let mut has_sent = Some(has_sent);
    let mut since = now();
    let mut stream = connect(addr)?;
    let (header, mut asked) = (header(SMALL), Vec::new());
    let mut reply = vec![0; header.len() + SMALL as usize];
    for _ in 0..REQUESTS {
        stream.write_all(b"GET small\n")?;
        if let Some(has_sent) = has_sent.take() {
            let _ = has_sent.send(()); // the slow client may have failed
        }
        let length = stream.read(&mut reply)?;
        let first_byte = now();
        stream.read_exact(&mut reply[length..])?;
        asked.push(Asked { since, first_byte, done: now() });
        if !reply.starts_with(header.as_bytes()) {
            let found = String::from_utf8_lossy(&reply[..reply.len().min(40)]).into_owned();
            return Err(io::Error::other(format!("expected {header:?}, found {found:?}")));
        }
        since = now();
    }
    // Without a farewell, which would be one request more.
    let addr = stream.local_addr()?;
    Ok(Client { name: format!("client {number}"), addr, is_slow: false, asked })
}

fn read_slowly(slow: &mut TcpStream, mut left: u64) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    while left > 0 {
        // Nothing is waited for but the end of the pause, or of the server.
        poll(&mut [PollFd::new(&*slow, PollFlags::empty())], Some(&PAUSE))?;
        let wanted = left.min(1 << 20) as usize;
        slow.read_exact(&mut chunk[..wanted])?;
        left -= wanted as u64;
    }
    Ok(())
}
