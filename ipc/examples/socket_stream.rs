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
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::ExitCode;

use ipc::pipe::{Writer, pipe};
use ipc::process::{self, Process, Tracked, Tracker};
use ipc::socket::{Address, Listener, Stream};

mod story;

use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("server", server), ("client", client)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let path = std::env::temp_dir().join(story::unique_name("socket"));
    let mut tracker = Tracker::start()?;
    tracker.track(Tracked::Path(path.clone()))?; // removed even if this process is killed
    let outcome = two_servers(&path.display().to_string(), &tracker);
    // A server that was killed leaves its name, and there may be no next one.
    let _ = std::fs::remove_file(&path);
    outcome?;

    note!("\nNotice: the server knows the pids and users of its clients, whatever they write.")?;
    note!("Without the attempt to connect: a name left behind would block the next server,")?;
    note!("or the next server would take the name of a living one.")?;
    Ok(())
}

fn two_servers(path: &str, tracker: &Tracker) -> Result<(), Box<dyn Error>> {
    note!("-- a server that is killed --")?;
    let first = start_server("server-1", path, tracker)?;
    say!("tries to listen at the same path:")?;
    match Listener::bind(&Address::path(path)?) {
        Err(error) => say!("  {error}")?,
        Ok(_) => {
            story::join_all(&[first])?;
            return Err("server-1 has ended".into());
        }
    }
    first.kill()?;
    say!("kills server-1, which ends with {}", first.join_timeout(story::LIMIT)?)?;
    say!("sees that the name is still there: {}", Path::new(path).exists())?;
    say!("tries to connect:")?;
    say!("  {}", Stream::connect(&Address::path(path)?).unwrap_err())?;

    note!("\n-- the next one takes the name over --")?;
    let second = start_server("server-2", path, tracker)?;
    for word in ["red", "green", "blue", "stop"] {
        let client = Process::new("client").name("client").daemon(true);
        let client = client.args([path, word]).start()?;
        story::while_alive(&[&second], |step| client.join_timeout(step))?;
        story::join_all(&[client])?;
    }
    story::join_all(&[second])?;
    say!("sees that the name is still there: {}", Path::new(path).exists())?;
    Ok(())
}

/// Returns when the server listens: it writes a byte into a pipe then.
///
/// It makes the path, so the tracker waits for its end before it removes the path.
fn start_server(name: &str, path: &str, tracker: &Tracker) -> Result<Process, Box<dyn Error>> {
    let (mut ready, started) = pipe()?;
    let server = Process::new("server").name(name).daemon(true).arg(path);
    let server = server.pass(started).pass(tracker.hold()?).start()?;
    if ready.read(&mut [0])? == 0 {
        story::join_all(&[server])?;
        return Err("the server has ended before it listened".into());
    }
    Ok(server)
}

fn server(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let listener = Listener::bind(&Address::path(&arguments[0])?)?;
    say!("listens at {}", arguments[0])?;
    Writer::from_fd(process::passed(0)?)?.write_all(b".")?;
    loop {
        let connection = listener.accept()?;
        let client = connection.peer_credentials()?;
        let mut lines = BufReader::new(&connection).lines();
        let Some(Ok(word)) = lines.next() else { continue }; // this client has gone; others come
        say!("reads {word:?} from process {} of user {}", client.pid, client.uid)?;
        if word == "stop" {
            return Ok(()); // and the listener removes its name
        }
        let answer: String = word.chars().rev().collect();
        let _ = writeln!(&connection, "{answer}"); // the same
    }
}

fn client(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let connection = Stream::connect(&Address::path(&arguments[0])?)?;
    say!("connects and writes {:?}", arguments[1])?;
    writeln!(&connection, "{}", arguments[1])?;
    match BufReader::new(&connection).lines().next() {
        Some(answer) => say!("reads the answer {:?}", answer?)?,
        None => say!("sees the end of the connection")?,
    }
    Ok(())
}
