// check: server.sleeps
// mistake: a socket that does not block is read in a loop
// lab:fill serve
    socket.set_nonblocking(true)?;
    loop {
        match udp::receive(socket) {
            Ok(datagram) => {
                if let Some(answer) = service.handle(&datagram) {
                    let _ = socket.send_to(&answer, datagram.from);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
// lab:end
