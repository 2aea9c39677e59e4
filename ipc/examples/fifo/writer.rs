//! A client: three requests, each in one call.

use std::error::Error;

use ipc::pipe::Writer;

use crate::protocol;
use crate::story::{self, say};

pub fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let number: u32 = arguments[1].parse()?;
    say!("sends {}, {} and {}", number + 1, number + 2, number + 3)?;
    let server = Writer::open_timeout(&arguments[0], story::LIMIT)?; // waits for the server
    for step in 1..=3 {
        server.write_atomic(&protocol::encode(std::process::id(), number + step))?;
    }
    Ok(())
}
