//! A TCP socket as the transport of a session.

use file_service::{Peer, Transport};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::sendfile;
use rustix::ioctl::{Getter, Opcode, ioctl};
use rustix::net::{RecvFlags, SendFlags, connect_unspec, recv, send};
use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::net::{Shutdown, TcpStream};

/// The most that one call of sendfile is asked for, so that a deadline is looked at now and then.
const SEND_FILE_CHUNK: u64 = 4 << 20;

/// A TCP socket, in whichever mode it is.
#[derive(Debug)]
pub struct Socket<'a>(pub &'a TcpStream);

impl Transport for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (copied, _) = recv(self.0, buffer, RecvFlags::empty())?;
        Ok(copied)
    }

    fn write(&mut self, bytes: &[u8], more: bool) -> io::Result<usize> {
        let more = if more { SendFlags::MORE } else { SendFlags::empty() };
        Ok(send(self.0, bytes, SendFlags::NOSIGNAL | more)?)
    }

    fn send_file(&mut self, file: &File, offset: &mut u64, length: u64) -> io::Result<usize> {
        Ok(sendfile(self.0, file, Some(offset), length.min(SEND_FILE_CHUNK) as usize)?)
    }

    fn unacknowledged(&mut self) -> Option<u64> {
        // SAFETY: TIOCOUTQ, which tcp(7) names SIOCOUTQ, writes one `int` to its argument, and nothing else.
        let count = unsafe { ioctl(self.0, Getter::<{ libc::TIOCOUTQ as Opcode }, c_int>::new()) };
        count.ok().and_then(|count| u64::try_from(count).ok())
    }

    fn peer(&mut self) -> Peer {
        let mut fds = [PollFd::new(self.0, PollFlags::RDHUP)];
        let now = Timespec::default();
        match poll(&mut fds, Some(&now)) {
            Ok(1..) if fds[0].revents().intersects(PollFlags::ERR | PollFlags::HUP) => Peer::Gone,
            Ok(1..) => Peer::HalfClosed,
            Ok(0) | Err(_) => Peer::Present,
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.0.shutdown(Shutdown::Write)
    }

    fn reset(&mut self) {
        // The end of a TCP connection by `connect` (connect(2), AF_UNSPEC) is a reset, and happens now:
        // SO_LINGER would wait for the last descriptor of the socket, and for operations of a ring. Where it
        // fails, the connection is gone already or will end short.
        let _ = connect_unspec(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn pair() -> (TcpStream, TcpStream) {
        let listener = crate::listen("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, client)
    }

    /// Waits until the socket reports something more than that its peer is present.
    fn changed(socket: &TcpStream) {
        poll(&mut [PollFd::new(socket, PollFlags::RDHUP)], None).unwrap();
    }

    #[test]
    fn peer_leaves_by_halves() {
        let (server, client) = pair();
        assert_eq!(Socket(&server).peer(), Peer::Present);
        client.shutdown(Shutdown::Write).unwrap();
        changed(&server);
        assert_eq!(Socket(&server).peer(), Peer::HalfClosed);
        Socket(&client).reset();
        while Socket(&server).peer() == Peer::HalfClosed {}
        assert_eq!(Socket(&server).peer(), Peer::Gone);
    }

    #[test]
    fn unread_bytes_are_unacknowledged_beyond_window() {
        let (mut server, mut client) = pair();
        server.set_nonblocking(true).unwrap();
        let mut written = 0;
        // Until neither the client's window nor the send buffer takes any more.
        while let Ok(n) = server.write(&[0; 65536]) {
            written += n as u64;
        }
        let before = Socket(&server).unacknowledged().unwrap();
        assert!(before > 0 && before < written, "{before} of {written}");
        client.read_exact(&mut vec![0; written as usize / 2]).unwrap();
        while Socket(&server).unacknowledged() == Some(before) {}
        assert!(Socket(&server).unacknowledged() < Some(before));
    }
}
