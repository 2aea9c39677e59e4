//! Lab 05: asks the server, again if need be, but not for ever.
//!
//! ```sh
//! client 127.0.0.1:4711 "ADD 5" GET                                # each word is a request
//! client 127.0.0.1:4711 --timeout-ms 100 --tries 3 "ADD 5"
//! ```

mod udp;
mod wire;

// lab:canary bittern-05-call
use std::io::{self, Write};
use std::net::{SocketAddrV4, UdpSocket};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use udp::Datagram;

/// The client.
#[derive(Debug)]
struct Client {
    socket: UdpSocket,
    server: SocketAddrV4,
    /// How long to wait for the answer to one try.
    timeout: Duration,
    /// How often to ask before giving up.
    tries: u32,
    last_id: u64,
}

impl Client {
    fn new(server: SocketAddrV4, timeout: Duration, tries: u32) -> io::Result<Client> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        // Not 0: a client that is started again, and gets the same port, must not use old numbers again.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Client { socket, server, timeout, tries, last_id: now.as_micros() as u64 })
    }

    /// A number that no request has had before, and higher than all of them.
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Sends a request until it is answered. Returns the words of the answer; `None` if no try was answered.
    fn call(&mut self, words: &str) -> io::Result<Option<String>> {
        // lab:hole call
        let id = self.next_id();
        let request = wire::ask(id, words);
        for _ in 0..self.tries {
            self.socket.send_to(&request, self.server)?;
            let deadline = Instant::now() + self.timeout;
            while let Some(datagram) = udp::receive_until(&self.socket, deadline)? {
                if let Some(answer) = self.accept(&datagram, id) {
                    return Ok(Some(answer));
                }
            }
        }
        Ok(None)
        // lab:stub // Each try has `timeout` to be answered in, whatever else comes meanwhile. How does the server know
        // lab:stub // that the second try is not a second request?
        // lab:stub todo!("ask until there is an answer, at most `tries` times")
        // lab:end
    }

    /// The words of a datagram, if it is the answer to the request `id`.
    fn accept(&self, datagram: &Datagram, id: u64) -> Option<String> {
        // lab:hole accept
        if datagram.from != self.server || datagram.truncated {
            return None;
        }
        let (answered, words) = wire::parse_answer(&datagram.bytes)?;
        (answered == id).then(|| words.to_owned())
        // lab:stub // Anybody may send to this socket. And the answer to the request before may come only now.
        // lab:stub todo!("is this the answer?")
        // lab:end
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: Vec<String>) -> io::Result<ExitCode> {
    let usage = || {
        let text = "usage: client HOST:PORT [--timeout-ms MS] [--tries N] REQUEST...";
        io::Error::other(text)
    };
    let mut words = words.into_iter();
    let server = words.next().and_then(|word| word.parse().ok()).ok_or_else(usage)?;
    let (mut timeout, mut tries, mut requests) = (Duration::from_millis(500), 4, Vec::new());
    while let Some(word) = words.next() {
        let mut number =
            || words.next().and_then(|word| word.parse::<u32>().ok()).ok_or_else(usage);
        match word.as_str() {
            "--timeout-ms" => timeout = Duration::from_millis(number()?.into()),
            "--tries" => tries = number()?,
            _ => requests.push(word),
        }
    }
    let mut client = Client::new(server, timeout, tries)?;
    for request in requests {
        let Some(answer) = client.call(&request)? else {
            eprintln!("client: no answer to `{request}` after {tries} tries");
            return Ok(ExitCode::FAILURE);
        };
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{answer}")?;
        stdout.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}
