// check: loss.retries
// mistake: the time-out is given in whole seconds; what is left of 150 ms is 0, which means for ever
// lab:fill receive-until
    use std::os::fd::AsRawFd;
    let left = deadline.saturating_duration_since(Instant::now());
    let time = libc::timeval { tv_sec: left.as_secs() as libc::time_t, tv_usec: 0 };
    // SAFETY: the value lives through the call and has the length that is given.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVTIMEO,
            (&raw const time).cast(),
            size_of::<libc::timeval>() as libc::socklen_t,
        );
    }
    match receive(socket) {
        Ok(datagram) => Ok(Some(datagram)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
// lab:end
