// way: the types of nix, and poll instead of a second thread
// lab:fill listen
    use nix::sys::socket::{self as net, AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, sockopt};
    use std::os::fd::IntoRawFd;
    let socket = net::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    net::setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    net::bind(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrIn::from(address))?;
    net::listen(&socket, Backlog::MAXCONN)?;
    Ok(socket.into_raw_fd())
// lab:end
// lab:fill ask
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::socket::{MsgFlags, Shutdown, send, shutdown};
    // SAFETY: the descriptor stays open through this function.
    let borrowed = unsafe { std::os::fd::BorrowedFd::borrow_raw(server) };
    let (mut sent, mut ended) = (0, false);
    let mut reply = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        if sent == bytes.len() && !ended {
            shutdown(server, Shutdown::Write)?;
            ended = true;
        }
        let out = if ended { PollFlags::empty() } else { PollFlags::POLLOUT };
        let mut fds = [PollFd::new(borrowed, PollFlags::POLLIN | out)];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            other => other?,
        };
        let ready = fds[0].revents().unwrap_or(PollFlags::empty());
        if ready.intersects(PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR) {
            match receive(server, &mut buffer)? {
                0 => return Ok(reply),
                n => reply.extend_from_slice(&buffer[..n]),
            }
        }
        if ready.contains(PollFlags::POLLOUT) {
            match send(server, &bytes[sent..], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(n) => sent += n,
                Err(nix::Error::EAGAIN | nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
// lab:end
