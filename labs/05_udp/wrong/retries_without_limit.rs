// check: loss.gives_up
// mistake: asks again as long as there is no answer
// lab:fill call
    let id = self.next_id();
    loop {
        self.socket.send_to(&wire::ask(id, words), self.server)?;
        let deadline = Instant::now() + self.timeout;
        while let Some(datagram) = udp::receive_until(&self.socket, deadline)? {
            if let Some(answer) = self.accept(&datagram, id) {
                return Ok(Some(answer));
            }
        }
    }
// lab:end
