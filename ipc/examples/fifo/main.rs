//! A FIFO: a pipe with a name, between processes that are no relatives.
//!
//! `protocol.rs` is what both sides know: the name and the form of a request. `reader.rs` is a server that
//! adds numbers up; `writer.rs` is a client. Neither knows the other, only the file name.
//!
//! The traps of a FIFO, each met here:
//!
//! - To open one waits for the other side. A client that must not wait opens without blocking, and is
//!   told that nobody reads. The first client here does that, before there is a server.
//! - The server sees the end of file whenever the *last* client goes, though the next may just be coming.
//!   So it holds a write end itself, and never uses it.
//! - Many clients write at once. Requests of at most PIPE_BUF bytes, written in one call, do not mix.
//! - The name outlives everybody. Its creator removes it.
//!
//! Run it: `cargo run -p ipc --example fifo`
//!
//! Look at: the refusal at first; the requests of three clients, which come in any order, but whole.

mod protocol;
mod reader;
mod writer;

use std::error::Error;

use ipc::pipe::{Fifo, Writer};
use ipc::process::{self, Process};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("reader", reader::run), ("writer", writer::run)]);
    let fifo = Fifo::create(protocol::path(), 0o600)?;
    let path = fifo.path().display().to_string();
    println!("main:   made {path}");
    println!(
        "main:   opening it now, without waiting, fails: {}",
        Writer::try_open(&path).unwrap_err()
    );

    let server = Process::new("reader").daemon(true).arg(&path).start()?;
    let clients = [10, 200, 3000]
        .map(|number: u32| Process::new("writer").args([path.clone(), number.to_string()]).start());
    for client in clients {
        client?.join()?;
    }
    Writer::open(&path)?.write_atomic(&protocol::STOP)?;
    println!("main:   the server ended with {}", server.join()?);
    drop(fifo);
    println!("main:   is the name still there? {}", std::path::Path::new(&path).exists());
    Ok(())
}
