//! Lab 02, the server: sends back what it is sent, one client at a time. There is nothing to do in this file.
//!
//! ```sh
//! server                  # on a free port
//! server 127.0.0.1:5000
//! ```

mod net;

use std::io;
use std::net::SocketAddrV4;

fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let address: SocketAddrV4 = address.parse().map_err(io::Error::other)?;
    net::signals_as_in_c()?;
    let listener = net::listen_on(address)?;
    println!("listening on {}", net::address_of(listener)?);
    loop {
        match net::accept(listener) {
            Ok(client) => {
                if let Err(error) = net::echo(client) {
                    eprintln!("a client: {error}");
                }
                net::close(client);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
