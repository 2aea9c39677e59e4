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
//! that keeps the child from waiting forever; the error in the third.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use ipc::pipe::{self, Reader};
use ipc::process::{self, Process};

mod story;

use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("reader", reader), ("impatient", impatient), ("upper", upper)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    note!("-- to a child, until the end of file --")?;
    to_a_child()?;
    note!("\n-- a copy of the write end that was forgotten --")?;
    forgotten_copy()?;
    note!("\n-- no process reads --")?;
    no_reader()?;
    note!("\n-- both directions: two pipes crossed --")?;
    both_directions()?;
    note!("\nNotice: the reader sees the end when the last copy of the write end is closed.")?;
    note!("Without that close: it would wait forever, as impatient would without its timeout.")?;
    Ok(())
}

fn to_a_child() -> Result<(), Box<dyn Error>> {
    let (read_end, mut write_end) = pipe::pipe()?;
    say!("makes a pipe, which holds {} bytes", write_end.capacity()?)?;
    say!("passes the read end to its child reader, and keeps the write end")?;
    let child = Process::new("reader").name("reader").daemon(true);
    let child = child.pass(read_end).start()?; // the parent's copy is gone now
    say!("writes two lines, then closes the write end")?;
    let written = write_end.write_all(b"first line\nsecond line\n");
    drop(write_end);
    story::join_all(&[child])?; // first, since the death of the child explains a failed write
    Ok(written?)
}

fn forgotten_copy() -> Result<(), Box<dyn Error>> {
    let (read_end, write_end) = pipe::pipe()?;
    let forgotten = story::copy(write_end.as_fd())?;
    say!("closes the write end of another pipe, and has forgotten that there is a copy")?;
    drop(write_end);
    let child = Process::new("impatient").name("impatient").daemon(true).pass(read_end).start()?;
    story::join_all(&[child])?;
    drop(forgotten);
    Ok(())
}

fn no_reader() -> Result<(), Box<dyn Error>> {
    let (read_end, write_end) = pipe::pipe()?;
    drop(read_end);
    say!("writes into a pipe without a read end, which fails:")?;
    say!("  {}", write_end.write_atomic(b"hello?").unwrap_err())?;
    say!("lives on: Rust ignores SIGPIPE, which ends a C program here")?;
    Ok(())
}

fn both_directions() -> Result<(), Box<dyn Error>> {
    let (mut near, far) = pipe::duplex()?;
    let (from_parent, to_parent) = far.split();
    let child = Process::new("upper").name("upper").daemon(true);
    let child = child.stdin(from_parent).stdout(to_parent).start()?;
    say!("writes \"there and back\" to the standard input of upper[{}]", child.pid())?;
    let written = near.write_all(b"there and back");
    let (mut answers, questions) = near.split();
    drop(questions); // the end of file for the child
    let mut answer = String::new();
    answers.read_to_string(&mut answer)?;
    story::join_all(&[child])?;
    written?;
    say!("reads {answer:?} from its standard output")?;
    Ok(())
}

fn reader(_: &[String]) -> Result<(), Box<dyn Error>> {
    let end = Reader::from_fd(process::passed(0)?)?;
    for line in BufReader::new(end).lines() {
        say!("reads {:?}", line?)?;
    }
    say!("sees the end of file: no write end is open any more")?;
    Ok(())
}

fn impatient(_: &[String]) -> Result<(), Box<dyn Error>> {
    let end = Reader::from_fd(process::passed(0)?)?;
    match end.read_timeout(&mut [0; 16], Duration::from_millis(200)) {
        Ok(_) => say!("sees the end of file")?,
        Err(ipc::Error::TimedOut { .. }) => {
            say!("has waited 200 ms for an end that does not come")?
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Standard input in capitals to standard output, like any filter of the shell.
fn upper(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(write!(std::io::stdout(), "{}", text.to_uppercase())?)
}
