//! An anonymous pipe: one way, between relatives, with an end of file that must be earned.
//!
//! A pipe has no name. Another process gets an end of it only by being given one: here the parent passes
//! the read end to its child. The child reads until the end of file, and the kernel reports that when the
//! *last* copy of the write end is closed. So the parent must close its own; the second part shows what
//! happens when one copy is forgotten. The third shows the other death: writing when nobody reads.
//!
//! Run it: `cargo run -p ipc --example pipe`
//!
//! Look at: when the child says that it has seen the end; the timeout in the second part, which is all
//! that keeps the child from waiting for ever; the error in the third.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use ipc::pipe::{self, Reader};
use ipc::process::{self, Process};

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("reader", reader), ("impatient", impatient), ("upper", upper)]);

    println!("-- to a child, until the end of file --");
    let (read_end, mut write_end) = pipe::pipe()?;
    println!("parent: the pipe holds {} bytes before I have to wait", write_end.capacity()?);
    let child = Process::new("reader").pass(read_end).start()?; // the parent's copy is gone now
    for line in ["first line", "second line"] {
        writeln!(write_end, "{line}")?;
    }
    println!("parent: I close my write end");
    drop(write_end);
    child.join()?;

    println!("\n-- a copy of the write end that somebody forgot --");
    let (read_end, write_end) = pipe::pipe()?;
    let forgotten = std::os::fd::AsFd::as_fd(&write_end).try_clone_to_owned()?;
    let child = Process::new("impatient").pass(read_end).start()?;
    drop(write_end);
    println!("parent: I have closed my write end, but there is a copy");
    child.join()?;
    drop(forgotten);

    println!("\n-- nobody reads --");
    let (read_end, write_end) = pipe::pipe()?;
    drop(read_end);
    println!("parent: {}", write_end.write_atomic(b"hello?").unwrap_err());
    println!("parent: a C program would have died of SIGPIPE here; Rust ignores that signal");

    println!("\n-- both directions: two pipes crossed --");
    let (mut near, far) = pipe::duplex()?;
    let (from_parent, to_parent) = far.split();
    let child = Process::new("upper").stdin(from_parent).stdout(to_parent).start()?;
    near.write_all(b"there and back")?;
    let (mut answers, questions) = near.split();
    drop(questions); // the end of file for the child
    let mut answer = String::new();
    answers.read_to_string(&mut answer)?;
    println!("parent: the child made of it: {answer}");
    child.join()?;
    Ok(())
}

fn reader(_: &[String]) -> Result<(), Box<dyn Error>> {
    let end = Reader::from_fd(process::passed(0)?)?;
    for line in BufReader::new(end).lines() {
        println!("child:  I got {:?}", line?);
    }
    println!("child:  that was the end of file: no write end is open any more");
    Ok(())
}

fn impatient(_: &[String]) -> Result<(), Box<dyn Error>> {
    let end = Reader::from_fd(process::passed(0)?)?;
    match end.read_timeout(&mut [0; 16], Duration::from_millis(200)) {
        Ok(_) => println!("child:  the end of file"),
        Err(error) => println!("child:  no end of file: {error}"),
    }
    Ok(())
}

/// Standard input in capitals to standard output, like any filter of the shell.
fn upper(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    print!("{}", text.to_uppercase());
    Ok(())
}
