//! A server and its clients over a local stream socket.
//!
//! The calls are those of TCP: bind, listen, accept, connect. Three things are different. The name is a
//! path (or an abstract name, without a file). The server knows who its client is: the kernel tells, and
//! cannot be lied to. And a name left behind by a server that was killed has to be dealt with, or the next
//! one cannot start: `Address already in use`. Removing any file in the way would be wrong, since it may
//! belong to a server that lives. A connection attempt tells the two apart.
//!
//! Run it: `cargo run -p ipc --example socket_stream`
//!
//! Look at: the pids that the server sees, and that they are those of the clients; what happens to the name
//! when a server is killed, when the next one comes, and when that one ends.

use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use ipc::process::{self, Process};
use ipc::socket::{Address, Listener, Stream};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("server", server), ("client", client)]);
    let path = std::env::temp_dir().join(format!("ipc-example-socket-{}", std::process::id()));
    let path = path.display().to_string();

    println!("-- a server that is killed --");
    let (ready, started) = ipc::pipe::pipe()?;
    let first = Process::new("server").daemon(true).arg(&path).pass(started).start()?;
    wait_for_start(ready);
    match Listener::bind(&Address::path(&path)?) {
        Err(error) => println!("main:   a second server is refused: {error}"),
        Ok(_) => println!("main:   a second server took the name away"),
    }
    first.kill()?;
    println!("main:   the server ended with {}", first.join()?);
    println!("main:   its name is still there: {}", Path::new(&path).exists());
    println!("main:   {}", Stream::connect(&Address::path(&path)?).unwrap_err());

    println!("\n-- the next one takes the name over --");
    let (ready, started) = ipc::pipe::pipe()?;
    let second = Process::new("server").daemon(true).arg(&path).pass(started).start()?;
    wait_for_start(ready);
    let clients = ["red", "green", "blue"]
        .map(|word| Process::new("client").args([path.as_str(), word]).start());
    for client in clients {
        client?.join()?;
    }
    Process::new("client").args([path.as_str(), "stop"]).start()?.join()?;
    println!("main:   the server ended with {}", second.join()?);
    println!("main:   its name is still there: {}", Path::new(&path).exists());
    Ok(())
}

/// The server closes its end of the pipe when it listens: a message that needs no bytes.
fn wait_for_start(mut ready: ipc::pipe::Reader) {
    let _ = std::io::Read::read(&mut ready, &mut [0]);
}

fn server(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let listener = Listener::bind(&Address::path(&arguments[0])?)?;
    drop(process::passed(0)?);
    loop {
        let connection = listener.accept()?;
        let client = connection.peer_credentials()?;
        let mut lines = BufReader::new(&connection).lines();
        let word = lines.next().ok_or("the client said nothing")??;
        println!("server: {word:?} from process {} of user {}", client.pid, client.uid);
        if word == "stop" {
            return Ok(()); // and the listener removes its name
        }
        let answer: String = word.chars().rev().collect();
        writeln!(&connection, "{answer}")?;
    }
}

fn client(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let connection = Stream::connect(&Address::path(&arguments[0])?)?;
    writeln!(&connection, "{}", arguments[1])?;
    if let Some(answer) = BufReader::new(&connection).lines().next() {
        println!("client {}: the answer is {:?}", std::process::id(), answer?);
    }
    Ok(())
}
