//! Passing an open file to another process.
//!
//! A local socket carries descriptors besides bytes (SCM_RIGHTS). The receiver gets a descriptor of its own for
//! the same open file, with the same position and the same rights as the sender's, even where it could not
//! open the file itself. So a privileged process can open what it has checked and hand it on, and a server
//! can give a connection to a worker.
//!
//! Here a keeper makes a file without a name, so that no other process can open it, and passes it to a
//! worker. Then the worker is sent three descriptors where it has asked for one at most. A careless receiver
//! would now have two files open that it knows nothing of, and would run out of descriptors some day.
//!
//! Run it: `cargo run -p ipc --example pass_descriptor`
//!
//! Look at: the position in the keeper's file after the worker has read; the number of the worker's open
//! descriptors before and after the message that it refuses.

use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::ExitCode;

use ipc::process::{self, Process};
use ipc::socket::Stream;

mod story;

use story::{note, say};

fn main() -> ExitCode {
    process::main(&[("worker", worker)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    let file = nameless_file()?;
    say!("is the keeper; it has a file open that has no name")?;
    let (socket, other) = Stream::pair()?;
    let worker = Process::new("worker").name("worker").daemon(true).pass(other).start()?;
    let kept = keep(socket, file);
    story::join_all(&[worker])?; // first, since the death of the worker explains an error here
    kept?;

    note!(
        "\nNotice: reading moved the position in the keeper's file too; no descriptor was left."
    )?;
    note!("Without the limit: the worker would have two files open that it never asked for.")?;
    Ok(())
}

/// For reading only; its receiver can do no more with it.
fn nameless_file() -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    file.write_all(b"a secret of 22 letters")?;
    File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Closes the socket at its end, which ends the worker.
fn keep(socket: Stream, mut file: File) -> Result<(), Box<dyn Error>> {
    say!("sends the worker the file, at position {}", file.stream_position()?)?;
    socket.send_descriptors(b"read this", &[file.as_fd()])?;
    await_answer(&socket)?;
    say!("finds its own position moved to {}", file.stream_position()?)?;

    say!("sends three descriptors at once")?;
    socket.send_descriptors(b"and these", &[file.as_fd(), file.as_fd(), socket.as_fd()])?;
    await_answer(&socket)
}

fn await_answer(mut socket: &Stream) -> Result<(), Box<dyn Error>> {
    Ok(socket.read_exact(&mut [0])?)
}

fn worker(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut socket = Stream::from_fd(process::passed(0)?)?;
    let mut message = [0; 64];
    loop {
        let before = open_files()?;
        match socket.receive_descriptors(&mut message, 1) {
            Ok((0, _)) => return Ok(()), // the keeper has closed
            Ok((length, descriptors)) => {
                let text = String::from_utf8_lossy(&message[..length]);
                say!("receives {text:?} with {} descriptor", descriptors.len())?;
                for descriptor in descriptors {
                    let mut file = File::from(descriptor);
                    let mut text = String::new();
                    file.read_to_string(&mut text)?;
                    say!("reads {text:?} from it")?;
                    say!("cannot write to it: {}", file.write(b"x").unwrap_err())?;
                }
            }
            Err(error) => say!("refuses them: {error}")?,
        }
        say!("had {before} descriptors open before that message, and has {} now", open_files()?)?;
        socket.write_all(b".")?;
    }
}

fn open_files() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}
