// check: server.answers
// mistake: the server connects its socket to the first client, as if it were a connection
// lab:fill serve
    let mut first = true;
    loop {
        let datagram = udp::receive(socket)?;
        if std::mem::take(&mut first) {
            socket.connect(datagram.from)?;
        }
        if let Some(answer) = service.handle(&datagram) {
            socket.send(&answer)?;
        }
    }
// lab:end
