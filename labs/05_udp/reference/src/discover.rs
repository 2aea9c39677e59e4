//! Lab 05: finds the servers of a network by asking everybody.
//!
//! ```sh
//! discover 127.255.255.255:4711                     # the broadcast address of the loopback network
//! discover 127.255.255.255:4711 --wait-ms 300
//! ```

mod udp;
mod wire;

// lab:canary bittern-05-gather
use std::io::{self, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Sends a question to every server at the address `to`, and calls `found` once for each that answers within `wait`.
fn gather(
    socket: &UdpSocket,
    to: SocketAddrV4,
    wait: Duration,
    found: &mut dyn FnMut(SocketAddrV4, &str),
) -> io::Result<()> {
    let id = u64::from(std::process::id());
    // lab:hole gather
    socket.send_to(&wire::ask(id, "HELLO"), to)?;
    let deadline = Instant::now() + wait;
    let mut known = std::collections::HashSet::new();
    while let Some(datagram) = udp::receive_until(socket, deadline)? {
        if let Some((answered, words)) = wire::parse_answer(&datagram.bytes)
            && let Some(name) = words.strip_prefix("HERE ")
            && answered == id
            && !datagram.truncated
            && known.insert(datagram.from)
        {
            found(datagram.from, name);
        }
    }
    Ok(())
    // lab:stub // One question (`HELLO`) and any number of answers (`HERE name`), of whom some may come twice. From which
    // lab:stub // address do they come? When is it over?
    // lab:stub todo!("ask everybody, and collect the answers")
    // lab:end
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words.iter().map(String::as_str).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("discover: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> io::Result<()> {
    let usage = || io::Error::other("usage: discover HOST:PORT [--wait-ms MS]");
    let (to, wait) = match words {
        [to] => (to, 500),
        [to, "--wait-ms", ms] => (to, ms.parse().map_err(|_| usage())?),
        _ => return Err(usage()),
    };
    let to = to.parse().map_err(|_| usage())?;
    let socket = udp::broadcaster()?;
    gather(&socket, to, Duration::from_millis(wait), &mut |server, name| {
        let mut stdout = io::stdout().lock();
        let _ = writeln!(stdout, "found {server} {name}").and_then(|()| stdout.flush());
    })
}
