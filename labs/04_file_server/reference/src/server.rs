//! A file server for one client at a time: `server --root DIR --addr HOST:PORT`.
//!
//! `session.rs` makes the replies, and `blocking.rs` moves the bytes: they are the library `lab04`. This file accepts.

use lab04::serve_blocking;
use std::io::{self, Read};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

// lab:canary bittern-04-server
/// Serves one client until its session is over.
fn serve_client(stream: &TcpStream, root: &Path) -> io::Result<()> {
    // What is written goes out at once, and does not wait for the acknowledgement of what was written before.
    stream.set_nodelay(true)?;
    serve_blocking(stream, root)
}

/// Closes a connection without destroying what was sent last: to close a socket that has unread input resets the connection.
fn lingering_close(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    let until = Instant::now() + Duration::from_secs(1);
    let mut bytes = [0; 16 * 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        if stream.read(&mut bytes)? == 0 {
            return Ok(());
        }
    }
}

/// Serves one client after the other, for ever.
fn serve(listener: TcpListener, root: &Path) -> io::Result<()> {
    // lab:hole serve
    for stream in listener.incoming() {
        let served = stream.and_then(|stream| {
            serve_client(&stream, root)?;
            lingering_close(&stream)
        });
        if let Err(error) = served {
            eprintln!("a client was lost: {error}");
        }
    }
    Ok(())
    // lab:stub // `serve_client`, then `lingering_close`. Whose error is it if a client is gone?
    // lab:stub todo!("accept, serve, and go on")
    // lab:end
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (mut root, mut address) = (PathBuf::from("."), "127.0.0.1:0".to_owned());
    while let Some(name) = arguments.next() {
        let value = arguments.next();
        match (&name[..], value) {
            ("--root", Some(value)) => root = value.into(),
            ("--addr", Some(value)) => address = value,
            _ => return Err(io::Error::other("usage: server [--root DIR] [--addr HOST:PORT]")),
        }
    }
    let listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    serve(listener, &root)
}
