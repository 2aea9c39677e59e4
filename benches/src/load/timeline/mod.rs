//! The trace of a server, as a timeline for the report: the same 50 requests to each model, with a slow
//! client among them.
//!
//! A server writes its trace when it is told to with `--trace`; see [`file_service::trace`].

mod lanes;
mod trace;

#[cfg(test)]
mod tests;

pub use trace::{Event, read};

use super::report::Timeline;
use crate::{Placement, Server, Variant, files};
use file_service::client::Client;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

/// How many requests the quick clients make, in all.
const REQUESTS: usize = 50;

/// How many quick clients there are. Each makes an equal share of the requests, one after the other.
const CLIENTS: usize = 5;

/// What a quick client asks for, in bytes.
const SMALL: u64 = 64 * 1024;

/// What the slow client asks for, in bytes: much more than the sockets' buffers hold.
const LARGE: u64 = 16 << 20;

/// How long the slow client pauses before each mebibyte that it reads.
const PAUSE: Timespec = Timespec { tv_sec: 0, tv_nsec: 6_000_000 };

/// How long any client waits for the server.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Has a server answer 50 requests, with a slow client among them. Returns what its workers did.
///
/// `serve` is a command that takes a model's name and its options, as the `serve` binary does.
///
/// # Errors
///
/// The server cannot be started, does not answer, or leaves no trace.
pub fn record(serve: Command, variant: &Variant) -> io::Result<Timeline> {
    let directory = crate::tether::Scratch::new("timeline-")?;
    let root = directory.path().join("root");
    std::fs::create_dir(&root)?;
    files::make_file(&root.join("small"), SMALL)?;
    files::make_file(&root.join("large"), LARGE)?;
    let trace = directory.path().join("trace.json");
    let path = trace.to_str().ok_or(io::ErrorKind::InvalidFilename)?;
    let within = |what: &'static str| move |error| io::Error::other(format!("{what}: {error}"));
    let server = Server::start(serve, variant, &root, &["--trace", path], Placement::Unpinned)
        .map_err(within("it does not start"))?;
    drive(server.addr()).map_err(within("its clients"))?;
    drop(server); // stops it in order, so the file is complete
    let events = read(&trace).map_err(within("its trace"))?;
    let slow = events
        .iter()
        .filter(|event| event.ph == "X" && event.name == "GET large")
        .filter_map(Event::connection)
        .collect();
    Ok(lanes::timeline(variant.label, &events, &slow))
}

/// The slow client is being served when the quick ones come.
fn drive(addr: SocketAddr) -> io::Result<()> {
    let mut slow = TcpStream::connect(addr)?;
    slow.set_read_timeout(Some(TIMEOUT))?;
    slow.write_all(b"GET large\n")?;
    slow.read_exact(&mut [0])?;
    thread::scope(|scope| {
        let quick: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| read_quickly(addr))).collect();
        let mut outcome = read_slowly(&mut slow);
        drop(slow);
        for client in quick {
            let failed = || Err(io::Error::other("a client has panicked"));
            outcome = outcome.and(client.join().unwrap_or_else(|_| failed()));
        }
        outcome
    })
}

fn read_quickly(addr: SocketAddr) -> io::Result<()> {
    let mut client = Client::connect_timeout(addr, TIMEOUT).map_err(io::Error::other)?;
    client.set_timeout(Some(TIMEOUT))?;
    for _ in 0..REQUESTS / CLIENTS {
        client.get("small").map_err(io::Error::other)?;
    }
    Ok(()) // without a farewell, which would be one request more
}

fn read_slowly(slow: &mut TcpStream) -> io::Result<()> {
    let mut chunk = vec![0; 1 << 20];
    let mut left = LARGE;
    while left > 0 {
        // Nothing is waited for but the end of the pause, or of the server.
        poll(&mut [PollFd::new(&*slow, PollFlags::empty())], Some(&PAUSE))?;
        let wanted = left.min(1 << 20) as usize;
        slow.read_exact(&mut chunk[..wanted])?;
        left -= wanted as u64;
    }
    Ok(())
}
