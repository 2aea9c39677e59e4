// way: sendmsg and read, and a thread that reads while the caller writes
// lab:fill send-all
    let mut rest = bytes;
    while !rest.is_empty() {
        let piece = libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
        // SAFETY: all zero is a valid msghdr: null pointers and zero lengths.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = (&raw const piece).cast_mut();
        message.msg_iovlen = 1;
        // SAFETY: `message` leads to one piece, the address and length of `rest`; all three live through the call.
        let sent = unsafe { libc::sendmsg(fd, &message, libc::MSG_NOSIGNAL) };
        if sent >= 0 {
            rest = &rest[sent as usize..];
        } else if io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
// lab:end
// lab:fill receive
    loop {
        // SAFETY: `buffer` is as long as the call is told, lives through it, and nobody else uses it.
        let n = unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) };
        if n >= 0 {
            return Ok(n as usize);
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() != Some(libc::EINTR) {
            return Err(error);
        }
    }
// lab:end
// lab:fill ask
    let reader = std::thread::spawn(move || -> io::Result<Vec<u8>> {
        let mut reply = Vec::new();
        let mut buffer = vec![0; 1 << 16];
        loop {
            match receive(server, &mut buffer)? {
                0 => return Ok(reply),
                n => reply.extend_from_slice(&buffer[..n]),
            }
        }
    });
    send_all(server, bytes)?;
    // SAFETY: this call takes integers.
    check(unsafe { libc::shutdown(server, libc::SHUT_WR) })?;
    reader.join().unwrap_or_else(|_| Err(io::Error::other("the reader panicked")))
// lab:end
