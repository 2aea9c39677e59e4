//! Lab 05: a counter that is served by datagrams, one after the other.
//!
//! ```sh
//! server --addr 127.0.0.1:0       # a free port, which it prints
//! server --addr 0.0.0.0:4711      # on every interface, and for broadcasts
//! ```

mod udp;
mod wire;

// lab:canary bittern-05-once
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::process::ExitCode;
use udp::Datagram;

/// How many clients are remembered; beyond that, the one whose last request is oldest is forgotten.
const CLIENTS_MAX: usize = 1024;

/// The counter, and the last request of each client.
#[derive(Debug, Default)]
struct Service {
    counter: i64,
    clients: HashMap<SocketAddrV4, Last>,
    clock: u64,
}

/// The last request of a client that was executed, and its answer.
#[derive(Debug)]
struct Last {
    id: u64,
    answer: Vec<u8>,
    last_used: u64,
}

/// Answers one datagram after the other, whatever comes, for as long as the socket works.
fn serve(socket: &UdpSocket, service: &mut Service) -> io::Result<()> {
    // lab:hole serve
    loop {
        let datagram = udp::receive(socket)?;
        if let Some(answer) = service.handle(&datagram)
            && let Err(error) = socket.send_to(&answer, datagram.from)
        {
            // To its client it is one more datagram that was lost.
            eprintln!("to {}: {error}", datagram.from);
        }
    }
    // lab:stub // There is no connection: who is to get the answer? And what does an empty datagram mean?
    // lab:stub todo!("receive, handle, answer, again")
    // lab:end
}

impl Service {
    /// What to answer to a datagram, if anything.
    fn handle(&mut self, datagram: &Datagram) -> Option<Vec<u8>> {
        // lab:hole handle
        let (id, words) = wire::parse_ask(&datagram.bytes)?;
        if datagram.truncated {
            return Some(wire::answer(id, "ERR too long"));
        }
        self.execute_once(datagram.from, id, words)
        // lab:stub // `execute_once` executes a request, unless it was truncated. What is no request at all is not answered:
        // lab:stub // what would two servers do that answer each other's complaints?
        // lab:stub todo!("what to answer to this datagram")
        // lab:end
    }

    /// Executes a request unless that has been done before, and returns its answer.
    fn execute_once(&mut self, from: SocketAddrV4, id: u64, words: &str) -> Option<Vec<u8>> {
        // lab:hole once
        match self.clients.get(&from) {
            // Its answer was lost, or the network has made two of it.
            Some(last) if id == last.id => return Some(last.answer.clone()),
            // It has been on its way for long; nobody waits for the answer any more.
            Some(last) if id < last.id => return None,
            _ => {}
        }
        let answer = wire::answer(id, &self.execute(words));
        self.remember(from, id, answer.clone());
        Some(answer)
        // lab:stub // `execute` adds, as often as it is called. The same request may come twice, because its answer was
        // lab:stub // lost, and an old one may come late. `remember` and `self.clients` are there for you.
        // lab:stub todo!("execute a request once")
        // lab:end
    }

    /// Executes a request.
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
            let oldest = self.clients.iter().min_by_key(|(_, last)| last.last_used);
            if let Some(oldest) = oldest.map(|(client, _)| *client) {
                self.clients.remove(&oldest);
            }
        }
        self.clock += 1;
        self.clients.insert(from, Last { id, answer, last_used: self.clock });
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
