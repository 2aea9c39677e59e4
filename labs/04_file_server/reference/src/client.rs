//! A client of the file server.
//!
//! ```sh
//! client ADDR list [DIR]
//! client ADDR get PATH [FILE]     # to standard output, or into FILE
//! client ADDR put FILE PATH
//! client ADDR quit
//! ```
//!
//! DIR and PATH are written as the protocol has them: `%20` for a space.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;

// lab:canary plover-04-client
/// The longest line that a server may send, in bytes.
const LINE_MAX: u64 = 4096;

/// Reads the first line of a reply. Gives how many bytes follow; a refusal is an error.
fn reply(stream: &mut impl BufRead) -> io::Result<u64> {
    // lab:hole reply
    let mut line = Vec::new();
    stream.take(LINE_MAX).read_until(b'\n', &mut line)?;
    let Some(line) = line.strip_suffix(b"\n") else {
        return Err(io::Error::other("the connection was closed in the middle of a reply"));
    };
    let line = String::from_utf8_lossy(line);
    if let Some(refusal) = line.strip_prefix("ERR ") {
        return Err(io::Error::other(refusal));
    }
    let length = line.strip_prefix("OK ").and_then(|length| length.parse().ok());
    length.ok_or_else(|| io::Error::other(format!("not a reply: {line}")))
    // lab:stub // `OK n`, or `ERR code message`, and LF. What comes behind the line must still be there afterwards.
    // lab:stub todo!("read one line, and understand it")
    // lab:end
}

/// Copies exactly `length` bytes. Fewer are an error.
fn copy_exactly(length: u64, from: &mut impl Read, into: &mut impl Write) -> io::Result<()> {
    // lab:hole exactly
    match io::copy(&mut from.take(length), into)? {
        copied if copied == length => Ok(()),
        copied => Err(io::Error::other(format!("ended after {copied} of {length} bytes"))),
    }
    // lab:stub // The connection stays open after the last byte, and any byte may be in a file.
    // lab:stub todo!("copy exactly so many bytes")
    // lab:end
}

/// Sends the request to store a file under `path`, and the file.
fn upload(mut file: File, path: &str, stream: &mut impl Write) -> io::Result<()> {
    // lab:hole upload
    let length = file.metadata()?.len();
    writeln!(stream, "PUT {path} {length}")?;
    copy_exactly(length, &mut file, stream)
    // lab:stub // The server counts bytes: the length must be right, and nothing but the file may follow.
    // lab:stub todo!("PUT, the path, the length, and then the bytes of the file")
    // lab:end
}

fn run(words: &[&str]) -> io::Result<()> {
    let [address, words @ ..] = words else { return Err(usage()) };
    // Nothing is asked of the server before the whole command is understood.
    if !matches!(words, ["list"] | ["list" | "get", _] | ["get" | "put", _, _] | ["quit"]) {
        return Err(usage());
    }
    let file = if let ["put", file, _] = words { Some(File::open(file)?) } else { None };
    let mut stream = BufReader::new(TcpStream::connect(address)?);
    let sent = match (words, file) {
        (["list"], _) => writeln!(stream.get_mut(), "LIST"),
        (["list", directory], _) => writeln!(stream.get_mut(), "LIST {directory}"),
        (["get", path, ..], _) => writeln!(stream.get_mut(), "GET {path}"),
        (["put", _, path], Some(file)) => upload(file, path, stream.get_mut()),
        _ => writeln!(stream.get_mut(), "QUIT"),
    };
    // Who is refused in the middle of sending would rather know why than that it could not send.
    let length = reply(&mut stream)?;
    sent?;
    match words {
        ["get", _, name] => {
            let mut file = File::create(name)?;
            copy_exactly(length, &mut stream, &mut file).inspect_err(|_| {
                // Half a file is worse than none.
                let _ = fs::remove_file(name);
            })
        }
        _ => copy_exactly(length, &mut stream, &mut io::stdout().lock()),
    }
}

fn usage() -> io::Error {
    io::Error::other("usage: client ADDR list [DIR] | get PATH [FILE] | put FILE PATH | quit")
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("client: {error}");
            ExitCode::FAILURE
        }
    }
}
