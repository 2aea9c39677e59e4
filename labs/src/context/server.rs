//! A student's server, as its clients see it.

use super::client::Client;
use super::describe::quote;
use super::program::Program;
use super::verdict::{TIMEOUT, Verdict, fail};
use std::net::{SocketAddr, SocketAddrV4, TcpStream};

/// A running server of the student's.
#[derive(Debug)]
pub struct Server {
    /// The program.
    pub program: Program,
    /// Where it listens.
    pub address: SocketAddrV4,
}

impl Program {
    /// Takes the address from the first line of its output.
    pub fn listening(mut self) -> Verdict<Server> {
        let line =
            self.read_line("the address that it listens on, as the first line of its output")?;
        let address = line.rsplit(' ').next().and_then(|word| word.parse().ok());
        match address {
            Some(address) => Ok(Server { program: self, address }),
            None => {
                fail("the first line of output to end with an address, HOST:PORT", quote(&line))
            }
        }
    }
}

impl Server {
    /// A new client.
    pub fn connect(&self) -> Verdict<Client> {
        match TcpStream::connect_timeout(&SocketAddr::V4(self.address), TIMEOUT) {
            Ok(stream) => Client::over(stream),
            Err(error) => fail("a connection to be taken", error),
        }
    }
}
