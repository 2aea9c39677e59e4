//! When do the bytes of two writers mix in a pipe?
//!
//! Two processes write blocks into one pipe, each block of a single letter. The reader looks whether
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
use std::process::ExitCode;

use ipc::pipe::{self, PIPE_BUF, Writer};
use ipc::process::{self, Process};

mod story;

use story::{note, say};

/// Each by the letter that it writes.
const WRITERS: [&str; 2] = ["a", "b"];
const BYTES_PER_WRITER: usize = 4_000_000;

fn main() -> ExitCode {
    process::main(&[("writer", writer)], story)
}

fn story() -> Result<(), Box<dyn Error>> {
    say!(
        "reads from one pipe what {} processes write into it; PIPE_BUF is {PIPE_BUF} bytes",
        WRITERS.len()
    )?;
    for size in [100, PIPE_BUF, PIPE_BUF + 1, 100_000] {
        note!("\n-- blocks of {size} bytes --")?;
        let (mixed, blocks) = experiment(size)?;
        say!("finds {mixed} of {blocks} blocks mixed")?;
        if size <= PIPE_BUF && mixed > 0 {
            return Err("the kernel has broken its promise".into());
        }
    }
    note!("\n-- a write that is refused --")?;
    let (_reader, writer) = pipe::pipe()?;
    say!("calls write_atomic with {} bytes:", PIPE_BUF + 1)?;
    say!("  {}", writer.write_atomic(&[0; PIPE_BUF + 1]).unwrap_err())?;

    note!("\nNotice: up to PIPE_BUF bytes no block is mixed; above it, chance decides.")?;
    note!("Without that promise: the lines of two processes could mix in a log.")?;
    Ok(())
}

/// Counts the blocks with more than one letter in them, and all blocks.
fn experiment(size: usize) -> Result<(usize, usize), Box<dyn Error>> {
    let (mut reader, end) = pipe::pipe()?;
    let mut writers = Vec::new();
    for letter in WRITERS {
        let writer = Process::new("writer").name(format!("writer-{letter}")).daemon(true);
        let end = story::copy(end.as_fd())?;
        writers.push(writer.args([letter, &size.to_string()]).pass(end).start()?);
    }
    drop(end); // or the end of file never comes
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    story::join_all(&writers)?;
    let mixed = |block: &[u8]| block.iter().any(|letter| *letter != block[0]);
    Ok((bytes.chunks(size).filter(|block| mixed(block)).count(), bytes.len().div_ceil(size)))
}

fn writer(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut end = Writer::from_fd(process::passed(0)?)?;
    let size = arguments[1].parse()?;
    let block = vec![arguments[0].as_bytes()[0]; size];
    let blocks = BYTES_PER_WRITER / size;
    say!("writes {blocks} blocks of the letter {}", arguments[0])?;
    for _ in 0..blocks {
        end.write_all(&block)?;
    }
    Ok(())
}
