//! Lab 05: a counter that is served by datagrams, one after the other.
//!
//! ```sh
//! server --addr 127.0.0.1:0       # a free port, which it prints
//! server --addr 0.0.0.0:4711      # on every interface, and for broadcasts
//! ```

mod udp;
mod wire;

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::process::ExitCode;
use udp::Datagram;

/// How many clients are remembered; beyond that, the one who has been silent for longest is forgotten.
const CLIENTS_MAX: usize = 1024;

/// The counter, and who has asked what.
#[derive(Debug, Default)]
struct Service {
    counter: i64,
    clients: HashMap<SocketAddrV4, Last>,
    turns: u64,
}

/// The last request of a client that was carried out, and what it was answered.
#[derive(Debug)]
struct Last {
    id: u64,
    answer: Vec<u8>,
    turn: u64,
}

/// Answers one datagram after the other, whatever comes, for as long as the socket works.
fn serve(socket: &UdpSocket, service: &mut Service) -> io::Result<()> {
    // hole: serve
    // There is no connection: who is to get the answer? And what does an empty datagram mean?
    todo!("receive, handle, answer, again")
}

impl Service {
    /// What to answer to a datagram, if anything.
    fn handle(&mut self, datagram: &Datagram) -> Option<Vec<u8>> {
        // hole: handle
        // A request is carried out by `once`, unless it was cut. What is no request at all is not answered:
        // what would two servers do that answer each other's complaints?
        todo!("what to answer to this datagram")
    }

    /// Carries a request out unless that has been done before, and gives the answer to it.
    fn once(&mut self, from: SocketAddrV4, id: u64, words: &str) -> Option<Vec<u8>> {
        // hole: once
        // `execute` adds, as often as it is called. The same request may come twice, because its answer was
        // lost, and an old one may come late. `remember` and `self.clients` are there for you.
        todo!("carry a request out once")
    }

    /// Carries a request out.
    fn execute(&mut self, words: &str) -> String {
        let (verb, number) = words.split_once(' ').unwrap_or((words, ""));
        match (verb, number.parse::<i64>()) {
            ("ADD", Ok(n)) => match self.counter.checked_add(n) {
                Some(sum) => {
                    self.counter = sum;
                    format!("OK {sum}")
                }
                None => "ERR too much".into(),
            },
            ("GET", _) => format!("OK {}", self.counter),
            ("HELLO", _) => format!("HERE counter-{}", std::process::id()),
            _ => "ERR expected ADD n, GET or HELLO".into(),
        }
    }

    /// Keeps the last answer to a client.
    fn remember(&mut self, from: SocketAddrV4, id: u64, answer: Vec<u8>) {
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(&from) {
            let silent = self.clients.iter().min_by_key(|(_, last)| last.turn);
            if let Some(silent) = silent.map(|(client, _)| *client) {
                self.clients.remove(&silent);
            }
        }
        self.turns += 1;
        self.clients.insert(from, Last { id, answer, turn: self.turns });
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let address = match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => "127.0.0.1:0",
        ["--addr", address] => address,
        _ => {
            eprintln!("usage: server [--addr HOST:PORT]");
            return ExitCode::FAILURE;
        }
    };
    match run(address) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(address: &str) -> io::Result<()> {
    let socket = UdpSocket::bind(address)?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {}", socket.local_addr()?)?;
    stdout.flush()?;
    serve(&socket, &mut Service::default())
}
