//! Lab 02, the client: sends and prints what comes back. There is nothing to do in this file.
//!
//! ```sh
//! client HOST:PORT           # sends its input, prints the reply
//! client HOST:PORT 16000000  # sends so many bytes, says whether the same came back
//! client options             # what options of a socket are, and what they become
//! ```

mod net;

use std::io::{self, Read, Write};
use std::net::SocketAddrV4;

fn main() -> io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["options"] => options(),
        [address] => send_input(address),
        [address, count] => compare(address, count.parse().map_err(io::Error::other)?),
        _ => Err(io::Error::other("usage: client HOST:PORT [COUNT], or client options")),
    }
}

fn send_input(address: &str) -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    io::stdout().lock().write_all(&ask(address, &input)?)
}

/// What is sent is counted in words of four bytes, so that every place in it is another.
fn compare(address: &str, count: usize) -> io::Result<()> {
    let mut sent = Vec::with_capacity(count + 4);
    for number in 0..count.div_ceil(4) as u32 {
        sent.extend_from_slice(&number.to_be_bytes());
    }
    sent.truncate(count);
    let back = ask(address, &sent)?;
    println!("{} bytes sent, {} came back", sent.len(), back.len());
    if sent == back {
        println!("they are the same");
    } else {
        let same = sent.iter().zip(&back).take_while(|(a, b)| a == b).count();
        println!("they differ from byte {same} on");
    }
    Ok(())
}

fn ask(address: &str, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let address: SocketAddrV4 = address.parse().map_err(io::Error::other)?;
    let server = net::connect_to(address)?;
    net::signals_as_in_c()?;
    let reply = net::ask(server, bytes)?;
    net::close(server);
    Ok(reply)
}

/// Sets options of a socket that is not connected, and reads them back: not all become what was asked for.
fn options() -> io::Result<()> {
    let options = [
        ("SO_REUSEADDR", libc::SOL_SOCKET, libc::SO_REUSEADDR, 1),
        ("SO_KEEPALIVE", libc::SOL_SOCKET, libc::SO_KEEPALIVE, 7),
        ("SO_RCVBUF", libc::SOL_SOCKET, libc::SO_RCVBUF, 20_000),
        ("SO_SNDBUF", libc::SOL_SOCKET, libc::SO_SNDBUF, 1),
        ("TCP_NODELAY", libc::IPPROTO_TCP, libc::TCP_NODELAY, 1),
    ];
    let socket = net::tcp_socket()?;
    println!("SO_TYPE {}", net::option(socket, libc::SOL_SOCKET, libc::SO_TYPE)?);
    for (name, level, number, value) in options {
        let before = net::option(socket, level, number)?;
        net::set_option(socket, level, number, value)?;
        let after = net::option(socket, level, number)?;
        println!("{name} was {before}, set to {value}, is {after}");
    }
    // An option that does not exist.
    match net::set_option(socket, libc::SOL_SOCKET, 9_999, 1) {
        Ok(()) => println!("9999 can be set"),
        Err(error) => println!("9999: {error}"),
    }
    net::close(socket);
    Ok(())
}
