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
//! - The name outlives everybody. Its creator removes it, and if the creator is killed, a tracker does.
//!
//! Run it: `cargo run -p ipc --example fifo`
//!
//! Look at: the refusal at first; the requests of three clients, which come in any order, but whole.

mod protocol;
mod reader;
#[path = "../story/mod.rs"]
mod story;
mod writer;

use std::error::Error;
use std::process::ExitCode;

use ipc::pipe::{Fifo, Writer};
use ipc::process::{self, Process, Tracked, Tracker};
use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("reader", reader::run), ("writer", writer::run)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let path = protocol::path();
    let mut tracker = Tracker::start()?;
    tracker.track(Tracked::Path(path.clone()))?; // removed even if this process is killed
    let fifo = Fifo::create(&path, 0o600)?;
    let path = path.display().to_string();
    say!("makes the FIFO {path}")?;
    match Writer::try_open(&path) {
        Err(ipc::Error::WouldBlock { .. }) => {
            say!("opens it for writing without waiting, and is refused: no process reads")?;
        }
        Err(error) => return Err(error.into()),
        Ok(_) => return Err("a process reads before the server is started".into()),
    }

    say!("starts a server, and three clients at the same time")?;
    let reader = Process::new("reader").name("server").daemon(true);
    let server = reader.arg(&path).start()?;
    let start_client = |number: u32| {
        let writer = Process::new("writer").name("client").daemon(true);
        writer.args([&path, &number.to_string()]).start()
    };
    let clients = [start_client(10)?, start_client(200)?, start_client(3000)?];
    for client in &clients {
        // The server does not end before the request to stop: if it ends now, it was killed.
        story::while_alive(&[&server], |step| client.join_timeout(step))?;
    }
    story::join_all(&clients)?;
    say!("sends the request to stop")?;
    let stopped = Writer::try_open(&path).and_then(|server| server.write_atomic(&protocol::STOP));
    story::join_all(&[server])?;
    stopped?;
    drop(fifo);
    say!("removes the FIFO; is its name still there? {}", std::path::Path::new(&path).exists())?;

    note!("\nNotice: the requests of the clients come in any order, and each comes whole.")?;
    note!("Without the server's own write end: it would see the end of file after each client.")?;
    Ok(())
}
