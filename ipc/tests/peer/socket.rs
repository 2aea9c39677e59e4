//! Servers, clients and receivers of descriptors.

use std::fs::File;
use std::io::{Read, Write};

use crate::{next_line, read_interrupted, wait_for_eof};
use ipc::Error;
use ipc::socket::{Address, Datagram, Listener, Stream};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

type Outcome = Result<(), Box<dyn std::error::Error>>;

pub fn run(role: &str, arguments: &[String]) -> Outcome {
    let address = || -> Result<Address, Box<dyn std::error::Error>> {
        let name = arguments.first().ok_or("an address is missing")?;
        Ok(match name.strip_prefix('@') {
            Some(name) => Address::abstract_name(name)?,
            None => Address::path(name)?,
        })
    };
    match role {
        "listen" => listen(&address()?),
        "race" => race(&address()?),
        "connect" => connect(&address()?),
        "datagram" => datagram(&address()?),
        "receive" => receive(&address()?),
        "starved" => starved(&address()?),
        "interrupted" => interrupted(&address()?),
        "descriptors" => descriptors(),
        _ => Err(format!("nothing called {role:?}").into()),
    }
}

/// Serves one client after the other: sends each its greeting.
fn listen(address: &Address) -> Outcome {
    let listener = Listener::bind(address)?;
    println!("listening");
    loop {
        listener.accept()?.write_all(b"welcome")?;
    }
}

/// Binds when it is told to.
fn race(address: &Address) -> Outcome {
    println!("ready");
    next_line()?;
    match Listener::bind(address) {
        Ok(_listener) => {
            println!("bound");
            wait_for_eof()
        }
        Err(Error::WouldBlock { .. }) => {
            println!("refused");
            wait_for_eof()
        }
        Err(error) if error.errno() == Some(nix::errno::Errno::EADDRINUSE) => {
            println!("refused");
            wait_for_eof()
        }
        Err(error) => Err(error.into()),
    }
}

/// Connects and stays.
fn connect(address: &Address) -> Outcome {
    let _stream = Stream::connect(address)?;
    println!("connected");
    wait_for_eof()
}

/// Sends one message.
fn datagram(address: &Address) -> Outcome {
    let socket = Datagram::bind_any()?;
    socket.send_to(b"from a peer", address)?;
    println!("{}", socket.address()?);
    wait_for_eof()
}

/// Takes at most one descriptor per message, and tells what became of it.
fn receive(address: &Address) -> Outcome {
    let stream = Stream::connect(address)?;
    let mut buffer = [0; 64];
    loop {
        let before = open_descriptors()?;
        match stream.receive_descriptors(&mut buffer, 1) {
            Ok((0, _)) => return Ok(()),
            Ok((length, mut descriptors)) => {
                let text = buffer[..length].escape_ascii();
                let Some(descriptor) = descriptors.pop() else {
                    println!("{text}: none");
                    continue;
                };
                let flags = FdFlag::from_bits_retain(fcntl(&descriptor, FcntlArg::F_GETFD)?);
                let mut content = String::new();
                File::from(descriptor).read_to_string(&mut content)?;
                println!("{text}: {content} {flags:?}");
            }
            Err(error) => println!("{error}"),
        }
        println!("leaked {}", open_descriptors()? - before);
    }
}

/// Receives descriptors when it may open only two more files.
fn starved(address: &Address) -> Outcome {
    let stream = Stream::connect(address)?;
    println!("ready");
    next_line()?;
    let before = open_descriptors()?;
    let free = File::open("/dev/null")?;
    let lowest = std::os::fd::AsRawFd::as_raw_fd(&free);
    drop(free);
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, lowest as u64 + 2, hard)?;
    let mut buffer = [0; 64];
    let result = stream.receive_descriptors(&mut buffer, 100).map(|(_, got)| got.len());
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    println!("{result:?}");
    println!("leaked {}", open_descriptors()? - before);
    let (length, got) = stream.receive_descriptors(&mut buffer, 100)?;
    println!("{} {}", buffer[..length].escape_ascii(), got.len());
    wait_for_eof()
}

/// Reads from the stream while signals interrupt it.
fn interrupted(address: &Address) -> Outcome {
    let mut stream = Stream::connect(address)?;
    read_interrupted(|| {
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    })
}

/// Prints the sockets that it has inherited.
fn descriptors() -> Outcome {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let target = std::fs::read_link(entry?.path())?.display().to_string();
        if target.starts_with("socket:") {
            found.push(target);
        }
    }
    found.sort();
    println!("inherited {found:?}");
    wait_for_eof()
}

fn open_descriptors() -> std::io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/fd")?.count())
}
