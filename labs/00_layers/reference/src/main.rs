//! Lab 00: what a frame consists of. Reads frames as hexadecimal digits, one a line, and writes what is in
//! them. There is nothing to do in this file.

mod frame;

use std::io::{self, BufRead};

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        match from_hex(line?.trim()) {
            None => println!("error not-hexadecimal"),
            Some(bytes) => match frame::parse(&bytes) {
                Ok((layers, association)) => println!("{layers} {association}"),
                Err(error) => println!("error {error}"),
            },
        }
    }
    Ok(())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
