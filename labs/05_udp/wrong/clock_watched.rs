// check: loss.sleeps
// mistake: a socket that does not block is read again and again until the deadline
// lab:fill receive-until
    socket.set_nonblocking(true)?;
    while Instant::now() < deadline {
        match receive(socket) {
            Ok(datagram) => return Ok(Some(datagram)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
// lab:end
