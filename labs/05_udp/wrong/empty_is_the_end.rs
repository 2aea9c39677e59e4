// check: server.survives
// mistake: an empty datagram is taken for the end of the input, as with TCP
// lab:fill serve
    loop {
        let datagram = udp::receive(socket)?;
        if datagram.bytes.is_empty() {
            return Ok(());
        }
        if let Some(answer) = service.handle(&datagram) {
            socket.send_to(&answer, datagram.from)?;
        }
    }
// lab:end
