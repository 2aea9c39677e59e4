//! Lab 08, by datagram: how many lines has a file? A process for every request.
//!
//! | request | reply |
//! |---|---|
//! | `LINES name` | `OK n`, where n counts the ends of lines in the file |
//! | anything else, or no such file | `ERR code message` |
//!
//! ```sh
//! lines --root FOLDER --addr 127.0.0.1:9001
//! printf 'LINES hello.txt' | nc -u -w1 127.0.0.1 9001
//! ```
//!
//! A file is read to its end for every request, and whoever has put a FIFO into the folder has a file that takes as
//! long as they like.

// lab:canary wagtail-08-lines
mod children;
mod options;

use options::Options;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::UdpSocket;
use std::path::Path;
use std::process::ExitCode;

/// The longest request, in bytes.
const REQUEST_MAX: usize = 512;

fn main() -> ExitCode {
    match Options::read().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lines: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let socket = UdpSocket::bind(options.address)?;
    children::prepare()?;
    options::print_address(socket.local_addr()?)?;
    let mut requests = 0;
    while options.count != Some(requests) {
        children::reap();
        serve_next_request(&socket, &options.root)?;
        requests += 1;
    }
    children::reap_all()?;
    let (served, lost) = children::counts();
    println!("served {served}, lost {lost}");
    Ok(())
}

/// Waits for a request and has a child of its own answer it (see [`answer`]), without waiting for that child. If there
/// can be no child, the client is told: `ERR busy MESSAGE`. Only what would go wrong for ever is an error.
fn serve_next_request(socket: &UdpSocket, root: &Path) -> io::Result<()> {
    // lab:hole request
    let mut bytes = [0; REQUEST_MAX];
    // The parent receives: there is one socket for all, and two who read from it take each other's requests.
    let (count, client) = loop {
        match socket.recv_from(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => break outcome?,
        }
    };
    let child = children::spawn(|| {
        let reply = answer(root, &bytes[..count]);
        match socket.send_to(reply.as_bytes(), client) {
            Ok(_) => 0,
            Err(_) => 1,
        }
    });
    if let Err(error) = child {
        eprintln!("lines: no process for a request: {error}");
        let _ = socket.send_to(b"ERR busy no process for this request", client);
    }
    Ok(())
    // lab:stub // There is one socket, and every child has a copy of its descriptor. Who receives, who sends, and to whom?
    // lab:stub let _ = (socket, root);
    // lab:stub todo!("a child for this request")
    // lab:end
}

/// The reply to a request.
fn answer(root: &Path, request: &[u8]) -> String {
    let name = request.trim_ascii_end().strip_prefix(b"LINES ");
    let Some(name) = name.and_then(|name| str::from_utf8(name).ok()) else {
        return "ERR bad-command expected LINES and a name".into();
    };
    if name.starts_with('.') || name.contains('/') {
        return "ERR bad-path the name is not one of a file in the folder".into();
    }
    match lines(&root.join(name)) {
        Ok(count) => format!("OK {count}"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "ERR not-found there is no such file".into()
        }
        Err(_) => "ERR internal the file cannot be read".into(),
    }
}

/// How many ends of lines there are in a file.
fn lines(path: &Path) -> io::Result<usize> {
    let mut file = BufReader::new(File::open(path)?);
    let mut count = 0;
    loop {
        let chunk = file.fill_buf()?;
        if chunk.is_empty() {
            return Ok(count);
        }
        count += chunk.iter().filter(|byte| **byte == b'\n').count();
        let length = chunk.len();
        file.consume(length);
    }
}
