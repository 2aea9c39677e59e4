// check: accept.junk
// mistake: every datagram that is no answer begins the time-out again
// lab:fill call
    let id = self.next_id();
    for _ in 0..self.tries {
        self.socket.send_to(&wire::ask(id, words), self.server)?;
        while let Some(datagram) =
            udp::receive_until(&self.socket, Instant::now() + self.timeout)?
        {
            if let Some(answer) = self.accept(&datagram, id) {
                return Ok(Some(answer));
            }
        }
    }
    Ok(None)
// lab:end
