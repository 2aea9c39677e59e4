//! What both programs take from their command line, and what they print first. There is nothing to do in this file.

use std::io::{self, Write};
use std::net::{SocketAddr, SocketAddrV4};
use std::path::PathBuf;

/// The command line.
pub struct Options {
    /// The folder that is served: `--root DIR`.
    pub root: PathBuf,
    /// Where: `--addr HOST:PORT`. Port 0 is any that is free.
    pub address: SocketAddrV4,
    /// After so many clients the program ends and says how they fared: `--count N`.
    pub count: Option<u32>,
}

impl Options {
    /// Reads the command line.
    pub fn read() -> io::Result<Options> {
        let mut options = Options {
            root: ".".into(),
            address: SocketAddrV4::new([127, 0, 0, 1].into(), 0),
            count: None,
        };
        let mut words = std::env::args().skip(1);
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| usage(&name))?;
            match &name[..] {
                "--root" => options.root = value.into(),
                "--addr" => options.address = value.parse().map_err(|_| usage(&name))?,
                "--count" => options.count = Some(value.parse().map_err(|_| usage(&name))?),
                _ => return Err(usage(&name)),
            }
        }
        Ok(options)
    }
}

fn usage(word: &str) -> io::Error {
    io::Error::other(format!("{word}: expected --root DIR, --addr HOST:PORT, --count N"))
}

/// The first line of output: where the program can be reached.
pub fn print_address(address: SocketAddr) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {address}")?;
    stdout.flush()
}
