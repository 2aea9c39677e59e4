//! The server: reads requests until it is told to stop.

use std::error::Error;
use std::io::Read;

use ipc::pipe::{Reader, Writer};

use crate::protocol;
use crate::story::{self, say};

pub fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let mut requests = Reader::open_timeout(&arguments[0], story::LIMIT)?; // waits for the first client
    say!("has opened the FIFO: the first client is there")?;
    let _never_used = Writer::open(&arguments[0])?; // without it, the end of file after each last client
    let mut sum = 0;
    loop {
        let mut request = [0; protocol::LENGTH];
        requests.read_exact(&mut request)?;
        if request == protocol::STOP {
            say!("gets the request to stop; the sum is {sum}")?;
            return Ok(());
        }
        let (pid, number) = protocol::decode(request);
        sum += number;
        say!("adds {number:>4} for client[{pid}]")?;
    }
}
