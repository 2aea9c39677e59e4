//! Readers and writers of FIFOs.

use std::io::{Read, Write, stdin};
use std::os::fd::AsFd;
use std::time::Duration;

use crate::{next_line, read_interrupted, wait_for_eof};
use ipc::Error;
use ipc::pipe::{Fifo, PIPE_BUF, Reader, Writer};

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
        "unprivileged" => unprivileged(argument(0)?),
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

/// Opens both ends as root, and uses them as somebody who may not.
fn unprivileged(path: &str) -> Outcome {
    let open =
        |path: &str| -> ipc::Result<_> { Ok((Reader::try_open(path)?, Writer::try_open(path)?)) };
    let (reader, writer) = open(path)?;
    let other = Fifo::create(format!("{path}.other"), 0o600)?;
    let (gone, unread) = open(other.path().to_str().ok_or("no text")?)?;
    nix::unistd::setgid(65_534.into())?;
    nix::unistd::setuid(65_534.into())?;
    assert!(Reader::try_open(path).is_err(), "root's FIFO");
    println!("nobody");
    let (mut buffer, short) = ([0; 1 << 17], Duration::from_millis(20));
    let blocked = |now: ipc::Result<usize>, later: ipc::Result<usize>| match (now, later) {
        (Err(Error::WouldBlock { .. }), Err(Error::TimedOut { .. })) => {
            "would have to wait, late".to_owned()
        }
        other => format!("{other:?}"),
    };
    let text = blocked(reader.try_read(&mut buffer), reader.read_timeout(&mut buffer, short));
    println!("empty: {text}");

    writer.try_write(b"one ")?;
    assert_eq!(writer.write_timeout(b"two", short)?, 3);
    let length = reader.try_read(&mut buffer[..5])?;
    let rest = reader.read_timeout(&mut buffer[5..], short)?;
    assert_eq!((length, rest), (5, 2));
    println!("{}", buffer[..7].escape_ascii());

    let bytes: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    let mut written = 0;
    while let Ok(length) = writer.try_write(&bytes[written..]) {
        written += length;
    }
    let text = blocked(writer.try_write(b"x"), writer.write_timeout(b"x", short));
    println!("full after {written}: {text}");
    let mut read = 0;
    while let Ok(length) = reader.try_read(&mut buffer[read..]) {
        read += length;
    }
    assert_eq!(&buffer[..read], &bytes[..written]);
    println!("all came back");

    drop(writer);
    println!("end: {} {}", reader.try_read(&mut buffer)?, reader.read_timeout(&mut buffer, short)?);
    drop(gone);
    match unread.try_write(b"x") {
        Err(Error::Closed { .. }) => println!("closed"),
        other => println!("{other:?}"),
    }
    Ok(())
}
