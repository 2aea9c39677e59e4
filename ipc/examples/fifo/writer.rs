//! A client: three requests, each in one call.

use std::error::Error;

use ipc::pipe::Writer;

use crate::protocol;

pub fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let server = Writer::open(&arguments[0])?; // waits for the server
    let number: u32 = arguments[1].parse()?;
    for step in 1..=3 {
        server.write_atomic(&protocol::encode(std::process::id(), number + step))?;
    }
    Ok(())
}
