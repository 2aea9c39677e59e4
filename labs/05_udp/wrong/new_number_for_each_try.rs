// check: loss.same_id
// mistake: each try has a number of its own, so the server takes it for another request
// lab:fill call
    for _ in 0..self.tries {
        let id = self.next_id();
        self.socket.send_to(&wire::ask(id, words), self.server)?;
        let deadline = Instant::now() + self.timeout;
        while let Some(datagram) = udp::receive_until(&self.socket, deadline)? {
            if let Some(answer) = self.accept(&datagram, id) {
                return Ok(Some(answer));
            }
        }
    }
    Ok(None)
// lab:end
