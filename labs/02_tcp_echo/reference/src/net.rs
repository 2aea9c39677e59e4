//! Sockets by the system's own calls.
#![allow(dead_code)] // the server needs one half of it, the client the other

// lab:canary heron-02-net
use std::io;
use std::mem;
use std::net::{Ipv4Addr, SocketAddrV4};

/// A descriptor, as the kernel numbers it.
pub type Fd = libc::c_int;

/// Sets an option that is a number.
pub fn set_option(
    fd: Fd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // lab:hole set-option
    let size = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer leads to a number that lives through the call, and its size is told.
    check(unsafe { libc::setsockopt(fd, level, name, (&raw const value).cast(), size) })?;
    Ok(())
    // lab:stub // setsockopt takes a pointer and a size. To what, and of what?
    // lab:stub let _ = (fd, level, name, value);
    // lab:stub todo!("set an option")
    // lab:end
}

/// What an option that is a number has become.
pub fn option(fd: Fd, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    // lab:hole option
    let mut value: libc::c_int = 0;
    let mut size = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: both pointers lead to numbers that live through the call; the kernel writes no more than it is told.
    check(unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &mut size) })?;
    Ok(value)
    // lab:stub // The size goes in and comes out: how much room there is, and how much was written.
    // lab:stub let _ = (fd, level, name);
    // lab:stub todo!("read an option")
    // lab:end
}

/// A socket that listens on this address, and on no other. A server that was just stopped must not bar its successor;
/// one that runs must.
pub fn listen_on(address: SocketAddrV4) -> io::Result<Fd> {
    // lab:hole listen
    let fd = tcp_socket()?;
    // Before bind, which is what it is about.
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    let address = to_sockaddr(address);
    let size = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer leads to an address that lives through the call, and its size is told.
    check(unsafe { libc::bind(fd, (&raw const address).cast(), size) })?;
    // SAFETY: this call takes integers.
    check(unsafe { libc::listen(fd, 128) })?;
    Ok(fd)
    // lab:stub // bind and listen. Which option lets a server start again at once, and when is it set?
    // lab:stub let _ = address;
    // lab:stub todo!("a listening socket")
    // lab:end
}

/// A socket that is connected to this address.
pub fn connect_to(address: SocketAddrV4) -> io::Result<Fd> {
    // lab:hole connect
    let fd = tcp_socket()?;
    let address = to_sockaddr(address);
    let size = mem::size_of_val(&address) as libc::socklen_t;
    // SAFETY: the pointer leads to an address that lives through the call, and its size is told.
    check(unsafe { libc::connect(fd, (&raw const address).cast(), size) })?;
    Ok(fd)
    // lab:stub let _ = address;
    // lab:stub todo!("a connected socket")
    // lab:end
}

/// Sends all of `bytes`, or says why not. That the other end is gone is an error, and not the end of the program.
pub fn send_all(fd: Fd, bytes: &[u8]) -> io::Result<()> {
    // lab:hole send-all
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        // SAFETY: the pointer and the length are those of a slice that lives through the call.
        match unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            n => sent += n as usize,
        }
    }
    Ok(())
    // lab:stub // How much of it does one send take? What if a signal comes, and what if nobody reads any more?
    // lab:stub todo!("send all of it")
    // lab:end
}

/// Reads some bytes; 0 is the end of what the other side sends.
pub fn receive(fd: Fd, buffer: &mut [u8]) -> io::Result<usize> {
    // lab:hole receive
    loop {
        // SAFETY: the pointer and the length are those of a slice that lives through the call and that nobody else uses.
        match unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), 0) } {
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            n => return Ok(n as usize),
        }
    }
    // lab:stub todo!("read some of it")
    // lab:end
}

/// Sends back what comes, until its end.
pub fn echo(client: Fd) -> io::Result<()> {
    // lab:hole echo
    let mut buffer = [0; 16 * 1024];
    loop {
        match receive(client, &mut buffer)? {
            0 => return Ok(()),
            n => send_all(client, &buffer[..n])?,
        }
    }
    // lab:stub // How does it learn that the client has nothing more to say?
    // lab:stub todo!("send back what comes")
    // lab:end
}

/// Sends `bytes`, ends this side, and gives all that comes back until the server ends its own.
///
/// The server may send back what has come while more comes, as an echo does; or wait for the end before it answers.
pub fn ask(server: Fd, bytes: &[u8]) -> io::Result<Vec<u8>> {
    // lab:hole ask
    std::thread::scope(|scope| {
        // While one thread waits for room to write, the other makes some by reading.
        let writer = scope.spawn(|| -> io::Result<()> {
            send_all(server, bytes)?;
            // SAFETY: this call takes integers.
            check(unsafe { libc::shutdown(server, libc::SHUT_WR) })?;
            Ok(())
        });
        let mut reply = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            match receive(server, &mut buffer)? {
                0 => break,
                n => reply.extend_from_slice(&buffer[..n]),
            }
        }
        writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))?;
        Ok(reply)
    })
    // lab:stub // Sixteen megabytes there and back: who reads while you write? And how does the server learn that this was all?
    // lab:stub let _ = (server, bytes);
    // lab:stub todo!("send all, end this side, read to the end")
    // lab:end
}

// ---- What is there ----

/// A socket for TCP over IPv4.
pub fn tcp_socket() -> io::Result<Fd> {
    // SAFETY: this call takes integers.
    check(unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM, 0) })
}

/// The next client.
pub fn accept(listener: Fd) -> io::Result<Fd> {
    // SAFETY: the address of the client is not asked for.
    check(unsafe { libc::accept(listener, std::ptr::null_mut(), std::ptr::null_mut()) })
}

pub fn close(fd: Fd) {
    // SAFETY: this call takes an integer.
    unsafe { libc::close(fd) };
}

/// Where a socket listens.
pub fn address_of(fd: Fd) -> io::Result<SocketAddrV4> {
    // SAFETY: all zero is a valid sockaddr_in; the call is given its address and its size.
    unsafe {
        let mut address: libc::sockaddr_in = mem::zeroed();
        let mut size = mem::size_of_val(&address) as libc::socklen_t;
        check(libc::getsockname(fd, (&raw mut address).cast(), &mut size))?;
        let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
        Ok(SocketAddrV4::new(ip, u16::from_be(address.sin_port)))
    }
}

/// An address as the calls want it: numbers in network order.
pub fn to_sockaddr(address: SocketAddrV4) -> libc::sockaddr_in {
    // SAFETY: all zero is a valid sockaddr_in.
    let mut raw: libc::sockaddr_in = unsafe { mem::zeroed() };
    raw.sin_family = libc::AF_INET as libc::sa_family_t;
    raw.sin_port = address.port().to_be();
    raw.sin_addr.s_addr = u32::from(*address.ip()).to_be();
    raw
}

/// What a call of the system gives, or its error.
pub fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Has signals do what they do in C, where many programs were written that are still taught.
///
/// - SIGPIPE ends the program. (Rust's own start has it ignored.)
/// - SIGALRM comes a hundred times a second, to a handler that does nothing: as in any larger program, a signal may come in
///   the middle of every call, and a call that waits is interrupted by it.
pub fn signals_as_in_c() -> io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: all zero is a valid sigaction, the handler does nothing, the timer lives through the call.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        check(libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()))?;
        let every = libc::timeval { tv_sec: 0, tv_usec: 10_000 };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        check(libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()))?;
    }
    Ok(())
}
