//! When do the bytes of two writers mix in a pipe?
//!
//! Several processes write blocks into one pipe, each block of a single letter. The reader looks whether
//! the blocks come out whole. POSIX promises that for writes of up to PIPE_BUF bytes (4,096 on Linux): the
//! kernel puts them in at once, or waits until there is room for all. For larger ones it promises nothing:
//! Linux puts in what there is room for, then waits, and meanwhile another writer can come.
//!
//! That is why a log of short lines, appended to by many processes through one pipe, stays readable, and
//! why it stops being so when a line gets too long. `write_atomic` refuses such a write.
//!
//! Run it: `cargo run -p ipc --example pipe_atomicity`
//!
//! Look at: the count of mixed blocks, which must be 0 up to PIPE_BUF. For the larger ones it differs from
//! run to run, and may even be 0: it is chance, and that is the trouble with it.

use std::error::Error;
use std::io::{Read, Write};
use std::os::fd::AsFd;

use ipc::pipe::{self, PIPE_BUF, Writer};
use ipc::process::{self, Process};

const WRITERS: u8 = 4;
const BYTES_PER_WRITER: usize = 2_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    process::init(&[("writer", writer)]);
    println!("PIPE_BUF is {PIPE_BUF}; {WRITERS} processes write into one pipe\n");
    for size in [100, PIPE_BUF, PIPE_BUF + 1, 100_000] {
        let (mixed, blocks) = experiment(size)?;
        println!("blocks of {size:>6} bytes: {mixed:>5} of {blocks} came out mixed");
        if size <= PIPE_BUF {
            assert_eq!(mixed, 0, "the kernel has broken its promise");
        }
    }
    let (_reader, writer) = pipe::pipe()?;
    println!("\nwrite_atomic says: {}", writer.write_atomic(&[0; PIPE_BUF + 1]).unwrap_err());
    Ok(())
}

/// Counts the blocks with more than one letter in them, and all blocks.
fn experiment(size: usize) -> Result<(usize, usize), Box<dyn Error>> {
    let (mut reader, writer) = pipe::pipe()?;
    let mut writers = Vec::new();
    for letter in b'a'..b'a' + WRITERS {
        let end = writer.as_fd().try_clone_to_owned()?;
        let arguments = [(letter as char).to_string(), size.to_string()];
        writers.push(Process::new("writer").args(arguments).pass(end).start()?);
    }
    drop(writer); // or the end of file never comes
    let (mut mixed, mut blocks) = (0, 0);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    for block in bytes.chunks(size) {
        blocks += 1;
        mixed += usize::from(block.iter().any(|letter| *letter != block[0]));
    }
    for writer in writers {
        writer.join()?;
    }
    Ok((mixed, blocks))
}

fn writer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut end = Writer::from_fd(process::passed(0)?)?;
    let size = arguments[1].parse()?;
    let block = vec![arguments[0].as_bytes()[0]; size];
    for _ in 0..BYTES_PER_WRITER / size {
        end.write_all(&block)?;
    }
    Ok(())
}
