//! Lab 08: a file server with a process for every client.
//!
//! ```sh
//! server --root FOLDER                              # until it is killed
//! server --root FOLDER --addr 127.0.0.1:9000 --count 3    # three clients, and how they fared
//! ```

// lab:canary wagtail-08-server
mod children;
mod options;

use lab04::serve_blocking;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket,
    sockopt::ReuseAddr,
};
use options::Options;
use std::io::{self, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match Options::read().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("server: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    let listener = listen_on(options.address)?;
    children::prepare()?;
    options::print_address(listener.local_addr()?)?;
    // The end of this line comes at the end, so it stays in the buffer of this process, and in every copy of it.
    print!("clients:");
    let mut clients = 0;
    while options.count != Some(clients) {
        children::reap();
        let (stream, client) = next_client(&listener)?;
        if options.count.is_some() {
            print!(" {client}");
        }
        serve(&listener, stream, &options.root);
        clients += 1;
    }
    children::reap_all()?;
    let (served, lost) = children::counts();
    println!("\nserved {served}, lost {lost}");
    Ok(())
}

/// Waits for the next client. Only what would go wrong for ever is an error.
fn next_client(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    // lab:hole accept
    loop {
        match listener.accept() {
            // A signal came; or this client went away before it was accepted.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted
                ) => {}
            outcome => return outcome,
        }
    }
    // lab:stub // A child may end while you wait here. Which errors are no reason to end the server?
    // lab:stub todo!("accept a client")
    // lab:end
}

/// Has a child of its own serve this client, and does not wait for it. The child ends with code 0 if the
/// conversation came to its end, and with 1 if not. If there can be no child, the client is told: `ERR busy MESSAGE`.
fn serve(listener: &TcpListener, stream: TcpStream, root: &Path) {
    // lab:hole serve
    let child = children::spawn(|| {
        // SAFETY: the child ends by `_exit`, so nobody uses this descriptor or closes it again.
        unsafe { libc::close(listener.as_raw_fd()) };
        match serve_client(&stream, root) {
            Ok(()) => 0,
            Err(error) => {
                eprintln!("server: a client was lost: {error}");
                1
            }
        }
    });
    if let Err(error) = child {
        eprintln!("server: no process for a client: {error}");
        let _ = (&stream).write_all(b"ERR busy no process for this client\n");
    }
    // The parent's copy of the connection ends here, with `stream`.
    // lab:stub // Two processes, and each has both sockets. Which does each of them close? And if there is no child?
    // lab:stub let _ = (listener, stream, root);
    // lab:stub todo!("a child for this client")
    // lab:end
}

/// Serves one client until its session is over.
fn serve_client(stream: &TcpStream, root: &Path) -> io::Result<()> {
    stream.set_nodelay(true)?;
    serve_blocking(stream, root)
}

/// A listening socket. That of std has room for no more than 128 clients that are not accepted yet.
fn listen_on(address: SocketAddrV4) -> io::Result<TcpListener> {
    let (stream, cloexec) = (SockType::Stream, SockFlag::SOCK_CLOEXEC);
    let socket = socket(AddressFamily::Inet, stream, cloexec, None)?;
    setsockopt(&socket, ReuseAddr, &true)?;
    bind(socket.as_raw_fd(), &SockaddrIn::from(address))?;
    listen(&socket, Backlog::new(4096)?)?;
    Ok(TcpListener::from(socket))
}
