//! Readers and writers of FIFOs.

use std::io::{Read, Write, stdin};
use std::os::fd::AsFd;

use crate::{next_line, read_interrupted, wait_for_eof};
use ipc::pipe::{PIPE_BUF, Reader, Writer};

type Outcome = Result<(), Box<dyn std::error::Error>>;

pub fn run(role: &str, arguments: &[String]) -> Outcome {
    let argument = |index: usize| arguments.get(index).ok_or("an argument is missing");
    match role {
        "hold" => hold(argument(0)?),
        "read" => read(argument(0)?),
        "write" => write(argument(0)?, argument(1)?),
        "hammer" => hammer(argument(0)?, argument(1)?, argument(2)?, argument(3)?),
        "interrupted" => interrupted(),
        "descriptors" => descriptors(),
        _ => Err(format!("nothing called {role:?}").into()),
    }
}

/// Keeps a write end open without using it.
fn hold(path: &str) -> Outcome {
    let _writer = Writer::try_open(path)?;
    println!("open");
    wait_for_eof()
}

/// Opens for reading, waiting for a writer, and prints everything.
fn read(path: &str) -> Outcome {
    println!("opening");
    let mut reader = Reader::open(path)?;
    println!("open");
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    println!("{text}");
    Ok(())
}

/// Opens for writing, waiting for a reader, and writes a text.
fn write(path: &str, text: &str) -> Outcome {
    println!("opening");
    let mut writer = Writer::open(path)?;
    println!("open");
    writer.write_all(text.as_bytes())?;
    wait_for_eof()
}

/// Writes `count` blocks of `size` times the same letter, each in one call.
fn hammer(path: &str, letter: &str, size: &str, count: &str) -> Outcome {
    let (size, count) = (size.parse()?, count.parse::<u32>()?);
    let block = vec![letter.as_bytes()[0]; size];
    // Waits for the reader, so that all writers begin together.
    let mut writer = Writer::open(path)?;
    println!("open");
    next_line()?;
    for _ in 0..count {
        if size <= PIPE_BUF { writer.write_atomic(&block)? } else { writer.write_all(&block)? }
    }
    Ok(())
}

/// Reads its standard input while signals interrupt it.
fn interrupted() -> Outcome {
    let mut reader = Reader::from_fd(stdin().as_fd().try_clone_to_owned()?)?;
    read_interrupted(|| {
        let mut buffer = [0; 64];
        let length = reader.read(&mut buffer)?;
        Ok(buffer[..length].escape_ascii().to_string())
    })
}

/// Prints the descriptors that it has inherited, besides the standard three.
fn descriptors() -> Outcome {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let path = entry?.path();
        let target = std::fs::read_link(&path)?;
        let number: i32 =
            path.file_name().and_then(|name| name.to_str()).ok_or("no name")?.parse()?;
        if number > 2 && !target.starts_with("/proc") {
            found.push(format!("{number} {}", target.display()));
        }
    }
    println!("inherited {found:?}");
    wait_for_eof()
}
