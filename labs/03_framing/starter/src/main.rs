//! Lab 03: messages over a stream that knows none. There is nothing to do in this file.
//!
//! ```sh
//! framing encode length            # messages as hexadecimal digits, a line each; what travels comes out
//! framing decode length            # what arrives, a line for each piece; messages come out
//! framing exchange length ADDRESS  # sends each line as a message, prints the replies
//! framing serve length             # sends every message back
//! ```
//!
//! In place of `length` there may be `line`.

mod codec;
mod exchange;

use codec::{Decoder, Framing};
use std::fmt::Write as _;
use std::io::{self, BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let framing = match words.get(1) {
        Some(&"length") => Framing::Length,
        Some(&"line") => Framing::Line,
        _ => return usage(),
    };
    let outcome = match words[..] {
        ["encode", _] => encode(framing),
        ["decode", _] => decode(framing),
        ["exchange", _, address] => exchange(framing, address),
        ["serve", _] => serve(framing),
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: framing encode|decode|exchange|serve length|line [ADDRESS]");
    ExitCode::from(2)
}

fn encode(framing: Framing) -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let mut wire = Vec::new();
        match codec::encode(framing, &from_line(&line?)?, &mut wire) {
            Ok(()) => println!("{}", hex(&wire)),
            Err(error) => println!("error {error}"),
        }
    }
    Ok(())
}

fn decode(framing: Framing) -> io::Result<()> {
    let mut decoder = Decoder::new(framing);
    for line in io::stdin().lock().lines() {
        decoder.push(&from_hex(&line?)?);
        while let Some(message) = decoder.message().map_err(io::Error::other)? {
            println!("message {}", hex(&message));
        }
        println!("read");
    }
    println!("{}", if decoder.is_empty() { "end" } else { "error inside" });
    Ok(())
}

fn exchange(framing: Framing, address: &str) -> io::Result<()> {
    let messages: Vec<Vec<u8>> =
        io::stdin().lock().lines().map(|line| from_line(&line?)).collect::<io::Result<_>>()?;
    let stream = TcpStream::connect(address)?;
    for reply in exchange::exchange(stream, framing, &messages)? {
        println!("reply {}", to_line(&reply));
    }
    Ok(())
}

/// One client at a time, which is enough to try an exchange with.
#[expect(clippy::disallowed_methods, reason = "one client needs no long queue")]
fn serve(framing: Framing) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    for client in listener.incoming() {
        if let Err(error) = echo(framing, client?) {
            eprintln!("a client: {error}");
        }
    }
    Ok(())
}

fn echo(framing: Framing, mut client: TcpStream) -> io::Result<()> {
    let mut decoder = Decoder::new(framing);
    let mut chunk = [0; 4096];
    loop {
        let n = client.read(&mut chunk)?;
        if n == 0 {
            return Ok(());
        }
        decoder.push(&chunk[..n]);
        while let Some(message) = decoder.message().map_err(io::Error::other)? {
            let mut wire = Vec::new();
            codec::encode(framing, &message, &mut wire).map_err(io::Error::other)?;
            client.write_all(&wire)?;
        }
    }
}

/// As hexadecimal digits, or, where all bytes are the letter m, as `*` and how many.
fn from_line(line: &str) -> io::Result<Vec<u8>> {
    match line.strip_prefix('*').and_then(|number| number.parse().ok()) {
        Some(length) => Ok(vec![b'm'; length]),
        None => from_hex(line),
    }
}

fn to_line(message: &[u8]) -> String {
    let short = message.len() < 1000 || message.iter().any(|byte| *byte != b'm');
    if short { hex(message) } else { format!("*{}", message.len()) }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> io::Result<Vec<u8>> {
    let wrong = || io::Error::other("expected hexadecimal digits");
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err(wrong());
    }
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).map_err(|_| wrong())).collect()
}
