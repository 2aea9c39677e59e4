// way: poll keeps the time, a read that does not block fetches the datagram, and recvfrom with MSG_TRUNC tells its length
// lab:fill receive
    use std::os::fd::AsRawFd;
    let mut buffer = [0u8; MAX];
    // SAFETY: all zero is a valid address.
    let mut from: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: the buffer and the address are as long as the call is told, and live through it.
    let got = unsafe {
        libc::recvfrom(
            socket.as_raw_fd(),
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_TRUNC,
            (&raw mut from).cast(),
            &mut length,
        )
    };
    if got < 0 {
        return Err(io::Error::last_os_error());
    }
    let host = std::net::Ipv4Addr::from(u32::from_be(from.sin_addr.s_addr));
    let from = SocketAddrV4::new(host, u16::from_be(from.sin_port));
    let got = got as usize;
    Ok(Datagram { from, bytes: buffer[..got.min(MAX)].to_vec(), truncated: got > MAX })
// lab:end
// lab:fill receive-until
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    // What poll has seen may be gone when it is read (man 2 select, BUGS).
    socket.set_nonblocking(true)?;
    loop {
        match receive(socket) {
            Ok(datagram) => return Ok(Some(datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        // Rounded up, or the last part of a millisecond would be spent asking again and again.
        let left = PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], left) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
// lab:end
// lab:fill broadcaster
    use nix::sys::socket::{setsockopt, sockopt::Broadcast};
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    setsockopt(&socket, Broadcast, &true)?;
    Ok(socket)
// lab:end
