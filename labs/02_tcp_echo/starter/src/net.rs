//! Sockets by the system's own calls.
#![allow(dead_code)] // the server needs one half of it, the client the other

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
    // hole: set-option
    // setsockopt takes a pointer and a size. To what, and of what?
    let _ = (fd, level, name, value);
    todo!("set an option")
}

/// What an option that is a number has become.
pub fn option(fd: Fd, level: libc::c_int, name: libc::c_int) -> io::Result<libc::c_int> {
    // hole: option
    // The size goes in and comes out: how much room there is, and how much was written.
    let _ = (fd, level, name);
    todo!("read an option")
}

/// A socket that listens on this address, and on no other. A server that was just stopped must not bar its successor;
/// one that runs must.
pub fn listen_on(address: SocketAddrV4) -> io::Result<Fd> {
    // hole: listen
    // bind and listen. Which option lets a server start again at once, and when is it set?
    let _ = address;
    todo!("a listening socket")
}

/// A socket that is connected to this address.
pub fn connect_to(address: SocketAddrV4) -> io::Result<Fd> {
    // hole: connect
    let _ = address;
    todo!("a connected socket")
}

/// Sends all of `bytes`, or says why not. That the other end is gone is an error, and not the end of the program.
pub fn send_all(fd: Fd, bytes: &[u8]) -> io::Result<()> {
    // hole: send-all
    // How much of it does one send take? What if a signal comes, and what if nobody reads any more?
    todo!("send all of it")
}

/// Reads some bytes; 0 is the end of what the other side sends.
pub fn receive(fd: Fd, buffer: &mut [u8]) -> io::Result<usize> {
    // hole: receive
    todo!("read some of it")
}

/// Sends back what comes, until its end.
pub fn echo(client: Fd) -> io::Result<()> {
    // hole: echo
    // How does it learn that the client has nothing more to say?
    todo!("send back what comes")
}

/// Sends `bytes`, ends this side, and gives all that comes back until the server ends its own.
///
/// The server may send back what has come while more comes, as an echo does; or wait for the end before it answers.
pub fn ask(server: Fd, bytes: &[u8]) -> io::Result<Vec<u8>> {
    // hole: ask
    // Sixteen megabytes there and back: who reads while you write? And how does the server learn that this was all?
    let _ = (server, bytes);
    todo!("send all, end this side, read to the end")
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
