//! Passing an open file to another process.
//!
//! A local socket carries descriptors besides bytes (SCM_RIGHTS). The receiver gets a descriptor of its own for
//! the same open file, with the same position and the same rights as the sender's, even where it could not
//! open the file itself. So a privileged process can open what it has checked and hand it on, and a server
//! can give a connection to a worker.
//!
//! Here a keeper opens a file, removes its name, and passes it to a worker. The worker could not open it: it
//! has no name. Then the worker is sent three descriptors where it has asked for one at most. A careless
//! receiver would now have two files open that it knows nothing of, and would run out of descriptors some
//! day.
//!
//! Run it: `cargo run -p ipc --example pass_descriptor`
//!
//! Look at: the position in the keeper's file after the worker has read; the number of the worker's open
//! descriptors before and after the message that it refuses.

use std::error::Error;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;

use ipc::process::{self, Process};
use ipc::socket::Stream;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("worker", worker)]);
    let path = std::env::temp_dir().join(format!("ipc-example-file-{}", std::process::id()));
    let mut file = File::create_new(&path)?;
    file.write_all(b"a secret of 22 letters")?;
    let mut file = File::open(&path)?; // for reading only; the worker can do no more with it
    fs::remove_file(&path)?;
    println!("keeper: the file is open, and has no name any more");

    let (socket, other) = Stream::pair()?;
    let worker = Process::new("worker").pass(other).start()?;
    socket.send_descriptors(b"read this", &[file.as_fd()])?;
    await_answer(&socket)?;
    println!("keeper: my position in the file is now {}", file.stream_position()?);

    println!("\nkeeper: now three at once");
    socket.send_descriptors(b"and these", &[file.as_fd(), file.as_fd(), socket.as_fd()])?;
    await_answer(&socket)?;
    drop(socket);
    println!("keeper: the worker ended with {}", worker.join()?);
    Ok(())
}

fn await_answer(mut socket: &Stream) -> Result<(), Box<dyn Error>> {
    socket.read_exact(&mut [0])?;
    Ok(())
}

fn worker(_: &[String]) -> Result<(), Box<dyn Error>> {
    let mut socket = Stream::from_fd(process::passed(0)?)?;
    let mut message = [0; 64];
    loop {
        let before = open_files()?;
        match socket.receive_descriptors(&mut message, 1) {
            Ok((0, _)) => return Ok(()), // the keeper has closed
            Ok((length, descriptors)) => {
                println!(
                    "worker: {:?} with {} descriptor",
                    String::from_utf8_lossy(&message[..length]),
                    descriptors.len()
                );
                for descriptor in descriptors {
                    let mut file = File::from(descriptor);
                    let mut text = String::new();
                    file.read_to_string(&mut text)?;
                    println!("worker: it says {text:?}");
                    println!("worker: writing into it fails: {}", file.write(b"x").unwrap_err());
                }
            }
            Err(error) => println!("worker: refused: {error}"),
        }
        println!("worker: open descriptors before and after: {before}, {}", open_files()?);
        socket.write_all(b".")?;
    }
}

fn open_files() -> std::io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}
