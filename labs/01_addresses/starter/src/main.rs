//! Lab 01: addresses and byte order. Reads a question a line and answers each with a line. There is nothing to do
//! in this file.
//!
//! ```sh
//! echo 'network 192.168.7.9/20' | addresses
//! ```

mod address;
mod pack;
mod services;

use std::fmt::Write;
use std::io::{self, BufRead};

fn main() -> io::Result<()> {
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        println!("{}", answer(&words).unwrap_or_else(|| "error".into()));
    }
    Ok(())
}

fn answer(words: &[&str]) -> Option<String> {
    match *words {
        ["aton", text] => Some(hex(&address::aton(text)?)),
        ["ntoa", text] => Some(address::ntoa(from_hex(text)?.try_into().ok()?)),
        ["pton6", text] => Some(hex(&address::pton6(text)?)),
        ["ntop6", text] => Some(address::ntop6(from_hex(text)?.try_into().ok()?)),
        ["network", text] => {
            let (at, length) = text.split_once('/')?;
            let network =
                address::network(address::aton(at)?, length.parse().ok().filter(|n| *n <= 32)?);
            let [mask, first, last] =
                [network.mask, network.first, network.last].map(address::ntoa);
            Some(format!(
                "mask {mask} network {first} broadcast {last} addresses {}",
                network.addresses
            ))
        }
        ["hton16", number] => Some(hex(&pack::hton16(number.parse().ok()?))),
        ["hton32", number] => Some(hex(&pack::hton32(number.parse().ok()?))),
        ["ntoh32", text] => Some(pack::ntoh32(from_hex(text)?.try_into().ok()?).to_string()),
        ["pack", kind, number, name, value] => {
            let name = name.as_bytes();
            let record = pack::Record {
                kind: kind.parse().ok()?,
                number: number.parse().ok()?,
                name: name.to_vec(),
                value: value.parse().ok()?,
            };
            Some(hex(&pack::pack(&record)?))
        }
        ["unpack", text] => {
            let record = pack::unpack(&from_hex(text)?)?;
            let name = String::from_utf8_lossy(&record.name).into_owned();
            Some(format!("{} {} {name} {}", record.kind, record.number, record.value))
        }
        ["port", file, name, protocol] => {
            let text = std::fs::read_to_string(file).ok()?;
            services::port(&text, name, protocol).map(|port| port.to_string())
        }
        ["service", file, port, protocol] => {
            let text = std::fs::read_to_string(file).ok()?;
            services::name(&text, port.parse().ok()?, protocol)
        }
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2).map(|at| &text[at..at + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}
